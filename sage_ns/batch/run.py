"""Training and exports of one capture; sage-batch runs this module in a process of its own.

    python -m sage_ns.batch.run FOLDER

FOLDER contains the ``job.json`` that sage-batch has written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from sage_ns.batch.exports import EXPORTS
from sage_ns.batch.job import RESULT_FILE, CaptureJob
from sage_ns.bench.clock import Clock
from sage_ns.bench.provenance import provenance
from sage_ns.bench.training import train_or_continue
from sage_ns.jobs.process import inside_task
from sage_ns.system.files import write_json
from sage_ns.system.processes import locked_folder

PICTURE_FILE = "contact_sheet.png"


def run_job(job: CaptureJob) -> None:
    """Train unless the training is finished, draw the contact sheet, export, and write the result.

    Raises:
        SageError: the capture or a setting cannot be used, or an export fails.
    """
    from sage_ns.plugin.run_setup import load_run
    from sage_ns.plugin.showcase import write_sheet

    job.settings.check_device()
    train_or_continue(job.config(), job.folder, job.run_folder, job.training_key)
    pipeline = load_run(job.run_folder / "config.yml", "test").pipeline
    write_sheet(pipeline, job.folder / PICTURE_FILE)
    written = {name: EXPORTS[name].write(pipeline, job.folder) for name in job.settings.exports}
    clock = Clock.read(job.folder)
    write_json(
        job.folder / RESULT_FILE,
        {
            "key": job.key,
            "num_surfels": pipeline.model.learner.surfels.num_surfels,
            "training_seconds": {} if clock is None else clock.seconds,
            "picture": str((job.folder / PICTURE_FILE).relative_to(job.out)),
            "exports": {name: str(path.relative_to(job.out)) for name, path in written.items()},
            "made_by": provenance(),
        },
    )


def main(folder: Annotated[Path, tyro.conf.Positional], parent: int | None = None) -> None:
    """Run the job of a folder.

    Args:
        folder: folder with ``job.json``.
        parent: number of the process that started this one, and with which this one ends; default: go on without it.
    """
    with inside_task(folder, parent), locked_folder(folder, "training"):
        run_job(CaptureJob.load(folder))


if __name__ == "__main__":
    tyro.cli(main)
