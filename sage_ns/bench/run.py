"""Training and evaluation of one job; sage-bench runs this module in a process of its own.

    python -m sage_ns.bench.run FOLDER

FOLDER contains the ``job.json`` that sage-bench has written. A training in it is continued if it has the same settings,
and started again otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from sage_ns.bench.clock import CLOCK_FILE, Clock
from sage_ns.bench.evaluation import frontal_camera, image_figures, yardstick_of
from sage_ns.bench.job import Job
from sage_ns.bench.provenance import provenance
from sage_ns.bench.result import Result
from sage_ns.bench.training import train_or_continue
from sage_ns.errors import SageError
from sage_ns.jobs.process import inside_task
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.system.processes import locked_folder


def run_job(job: Job) -> Result:
    """Train unless the training is finished, evaluate, and write the result.

    Raises:
        SageError: the capture or a setting cannot be used.
    """
    job.settings.check_device()
    train_or_continue(job.training_config(), job.training_folder, job.run_folder, job.training_key)
    clock = Clock.read(job.training_folder)
    if clock is None:
        raise SageError(f"{job.training_folder / CLOCK_FILE} is gone. Delete {job.training_folder} and start again.")
    pipeline = trained_pipeline(job)
    yardstick = yardstick_of(pipeline)
    result = Result(
        key=job.key,
        row=job.row,
        capture=job.capture.name,
        seed=job.seed,
        canonical_timestep=int(pipeline.model.motion.timesteps[pipeline.model.motion.canonical_row]),
        frontal_camera=frontal_camera(pipeline.datamanager.evaluation_pairs("test"), yardstick),
        num_surfels=pipeline.model.learner.surfels.num_surfels,
        num_steps=clock.num_steps,
        seconds=clock.seconds,
        peak_bytes=clock.peak_bytes,
        novel_view=image_figures(pipeline, "val", yardstick),
        reenactment=image_figures(pipeline, "test", yardstick),
        made_by=provenance(),
    )
    result.save(job.folder)
    return result


def trained_pipeline(job: Job) -> SagePipeline:
    """Load the trained avatar with the row's settings for drawing, and the capture's held-out pictures."""
    from sage_ns.plugin.run_setup import load_run

    return load_run(job.run_folder / "config.yml", "test", job.drawing_config()).pipeline


def main(folder: Annotated[Path, tyro.conf.Positional], parent: int | None = None) -> None:
    """Run the job of a folder.

    Args:
        folder: folder with ``job.json``.
        parent: number of the process that started this one, and with which this one ends; default: go on without it.
    """
    # Also without the lock of sage-bench's own folder, two processes never train in one folder.
    with inside_task(folder, parent):
        job = Job.load(folder)
        with locked_folder(job.training_folder, "training"):
            run_job(job)


if __name__ == "__main__":
    tyro.cli(main)
