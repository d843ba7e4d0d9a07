"""Fits of many people as jobs: several processes or machines at the same time, a few people each.

    python -m sage_ns.batch.people FOLDER

FOLDER contains the ``job.json`` that sage-prior has written.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.errors import SageError
from sage_ns.jobs.display import Display
from sage_ns.jobs.process import inside_task
from sage_ns.jobs.queue import run_all
from sage_ns.jobs.task import JOB_FILE, Progress, Task
from sage_ns.jobs.workplace import Workplace
from sage_ns.priors.learning import FitSettings, PersonToFit, fit_to_file, is_fitted
from sage_ns.system.files import write_json
from sage_ns.system.typed_json import load_typed, plain

MOST_PER_JOB = 8
"""People of one job: starting a process and registering the rig take as long as fitting one person."""
_FOLDER = "jobs"


@dataclass(frozen=True)
class FitJob:
    """People that one process fits, one after the other."""

    people: tuple[PersonToFit, ...]
    settings: FitSettings
    device: str

    @classmethod
    def load(cls, folder: Path) -> FitJob:
        """Read a job back.

        Raises:
            SageError: ``folder`` contains no job, or a broken one; names the file and the field.
        """
        hint = "It is not a job of sage-prior, which writes and starts jobs."
        return load_typed(cls, folder / JOB_FILE, SageError, hint)


def fit_in_jobs(
    people: Sequence[PersonToFit], settings: FitSettings, device: str, workplace: Workplace, console: Console
) -> None:
    """Fit people in jobs; a job whose process is lost is done again.

    Args:
        people: who do not depend on each other; files of one folder.
        settings: see `FitSettings`.
        device: where people are fitted, unless the workplace has a device of its own.
        workplace: where the jobs run.
        console: console for progress.

    Raises:
        SageError: a job failed; names the first person of it. The fits of the others are kept.
    """
    people = [_absolute(person) for person in people]
    fits = people[0].file.parent
    folder = fits / _FOLDER
    workplace.check(_made(fits), [each.options.data for each in people])
    tasks = []
    for start in range(0, len(people), MOST_PER_JOB):
        part = people[start : start + MOST_PER_JOB]
        name = part[0].name
        title = name if len(part) == 1 else f"{name} and {len(part) - 1} more"
        task = Task((title,), "sage_ns.batch.people", folder / name, progress=partial(_progress, part))
        write_json(task.folder / JOB_FILE, plain(FitJob(tuple(part), settings, workplace.device or device)))
        tasks.append(task)
    failed = []
    with Display(console, "people", ("people",), tasks) as display, closing(
        run_all(tasks, workplace, display)
    ) as outcomes:  # fmt: skip
        for outcome in outcomes:
            if outcome.succeeded:
                display.succeeded(outcome.task, f"{outcome.seconds:.0f} s")
            else:
                display.failed(outcome.task, outcome.reason)
                failed.append(f"{outcome.task.title}: {outcome.reason}")
    if failed:
        raise SageError("\n".join(("People could not be fitted; the same command tries only these again.", *failed)))
    shutil.rmtree(folder)


def _absolute(person: PersonToFit) -> PersonToFit:
    """Return the person with absolute paths: processes on other machines have other working directories."""
    options, head_model = person.options, person.options.head_model
    options = replace(
        options, data=options.data.absolute(), head_model=None if head_model is None else head_model.absolute()
    )
    before = tuple(path.absolute() for path in person.before)
    return replace(person, options=options, file=person.file.absolute(), before=before)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _progress(people: Sequence[PersonToFit]) -> Progress:
    return Progress("fitting", sum(person.file.exists() for person in people), len(people))


def main(folder: Annotated[Path, tyro.conf.Positional], parent: int | None = None) -> None:
    """Run the job of a folder.

    Args:
        folder: folder with ``job.json``.
        parent: number of the process that started this one, and with which this one ends; default: go on without it.
    """
    with inside_task(folder, parent):
        job = FitJob.load(folder)
        # A job that is done again, because its process was lost, goes on where it was.
        for person in (each for each in job.people if not is_fitted(each, job.settings)):
            fit_to_file(person, job.settings, job.device)


if __name__ == "__main__":
    tyro.cli(main)
