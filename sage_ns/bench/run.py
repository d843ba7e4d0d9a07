"""Training and evaluation of one job; sage-bench runs this module in a process of its own.

    python -m sage_ns.bench.run FOLDER

FOLDER contains the ``job.json`` that sage-bench has written. A training in it is continued if it has the same settings,
and started again otherwise.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Annotated

import tyro

from sage_ns.bench.clock import CLOCK_FILE, Clock, clocked
from sage_ns.bench.evaluation import frontal_camera, image_figures, yardstick_of
from sage_ns.bench.job import Job
from sage_ns.bench.provenance import provenance
from sage_ns.bench.result import Result
from sage_ns.errors import SageError
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.system.files import read_json, write_json
from sage_ns.system.processes import die_with, locked_folder

TRAINING_FILE = "training.json"
"""File with the key of the training in a folder, written when the training starts."""


def run_job(job: Job) -> Result:
    """Train unless the training is finished, evaluate, and write the result.

    Raises:
        SageError: the capture or a setting cannot be used.
    """
    _train(job)
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


def _train(job: Job) -> None:
    """Start or continue the training; a finished training is not changed."""
    from sage_ns.plugin.scripted_training import train

    config = job.training_config()
    key = {"key": job.training_key}
    if read_json(job.training_folder / TRAINING_FILE) != key:
        shutil.rmtree(job.run_folder, ignore_errors=True)
        (job.training_folder / CLOCK_FILE).unlink(missing_ok=True)
        write_json(job.training_folder / TRAINING_FILE, key)
    checkpoints = job.run_folder / config.relative_model_dir
    if any(checkpoints.glob("*.ckpt")):
        config.load_dir = checkpoints
    train(clocked(config))


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
    if parent is not None:
        die_with(parent)
    # Deprecations inside nerfstudio, and its logging of losses with gradients: a user cannot fix these.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
    job = Job.load(folder)
    # Also without the lock of sage-bench's own folder, two processes never train in one folder.
    with locked_folder(job.training_folder, "training"):
        run_job(job)


if __name__ == "__main__":
    tyro.cli(main)
