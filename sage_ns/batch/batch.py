"""A batch: all captures are checked first, then each good one is trained and exported as a job of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from sage_ns.batch.exports import EXPORTS
from sage_ns.batch.job import BatchSettings, CaptureJob
from sage_ns.batch.report import REPORT_FILE, Entry, write_report
from sage_ns.bench.fingerprint import capture_fingerprint, fingerprint
from sage_ns.bench.folder import check_names, is_own, refuse_other_capture, refuse_other_settings
from sage_ns.bench.job import on_device, settled
from sage_ns.bench.plan import key_of_training
from sage_ns.bench.training import progress_of
from sage_ns.capture.checked import CaptureOptions, inspect_capture
from sage_ns.errors import SageError
from sage_ns.jobs.display import Display
from sage_ns.jobs.queue import run_all
from sage_ns.jobs.task import Task
from sage_ns.jobs.workplace import Workplace
from sage_ns.system.console import escape
from sage_ns.system.files import read_json
from sage_ns.system.processes import locked_folder
from sage_ns.system.progress import tracked
from sage_ns.system.typed_json import plain

_FIXED = ("method", "preset", "steps", "downscale_factor", "seed")
"""Settings that a folder keeps: another value would train everything in it again."""


def run_batch(
    out: Path, captures: Sequence[Path], settings: BatchSettings, console: Console, workplace: Workplace
) -> list[Entry]:
    """Check all captures, train and export the good ones, and return what became of each.

    A capture that cannot be used, or whose job fails, is reported, and the others go on. Earlier results with the same
    inputs stay.

    Args:
        out: folder of the batch: a new one, or that of an earlier run with the same settings.
        captures: folders of captures.
        settings: settings of all captures.
        console: console for progress.
        workplace: where the jobs run.

    Raises:
        SageError: a setting or the folder cannot be used; nothing has been trained or written.
    """
    out, captures = out.expanduser().absolute(), [capture.expanduser().absolute() for capture in captures]
    check_names(captures, "--output")
    settings = on_device(settings, workplace.device)
    jobs = [CaptureJob(out, capture, settings) for capture in captures]
    config = settled(jobs[0].config())
    settings = replace(settings, preset=config.preset)
    for name in settings.exports:
        EXPORTS[name].check(config, jobs[0].folder)
    _earlier(out, captures, settings)
    entries = {capture: Entry(capture) for capture in captures}
    good = _checked([replace(job, settings=settings) for job in jobs], entries, console)
    with locked_folder(out, "sage-batch"):
        earlier = _earlier(out, captures, settings)  # again: another process may have written since
        _run(out, good, earlier, entries, settings, console, workplace)
    return list(entries.values())


def _checked(jobs: Sequence[CaptureJob], entries: dict[Path, Entry], console: Console) -> list[CaptureJob]:
    """Return the jobs of the captures that pass all checks, with their keys; name the others."""
    good = []
    with tracked(jobs, "Checking captures") as shown:
        for job in shown:
            try:
                good.append(_keyed(job))
            except SageError as error:
                entries[job.capture].state, entries[job.capture].reason = "failed", str(error)
                console.print(f"[red]bad capture[/red] {escape(job.capture.name)}: {escape(error)}", soft_wrap=True)
    return good


def _keyed(job: CaptureJob) -> CaptureJob:
    """Return the job with its keys.

    Raises:
        SageError: the capture cannot be used: one of the checks of ``sage-capture inspect`` fails.
    """
    config = settled(job.config())
    datamanager: Any = config.pipeline.datamanager
    capture_key = capture_fingerprint(datamanager.dataparser.setup())
    training_key = key_of_training(config, capture_key, job.settings.device)
    job = replace(job, training_key=training_key, key=fingerprint(training_key, job.settings.exports))
    if job.result() is None:
        factor = job.settings.downscale_factor
        inspect_capture(CaptureOptions(job.capture, job.settings.head_model, "multi", downscale_factor=factor))
    return job


def _run(
    out: Path,
    jobs: Sequence[CaptureJob],
    earlier: dict[str, Entry],
    entries: dict[Path, Entry],
    settings: BatchSettings,
    console: Console,
    workplace: Workplace,
) -> None:
    """Run the jobs that have no result, and write the report after each."""
    others = [entry for name, entry in earlier.items() if name not in {capture.name for capture in entries}]
    tasks = {_task(job): job for job in jobs}

    def done(task: Task, seconds: float | None) -> bool:
        job = tasks[task]
        result = job.result()
        if result is not None:
            entries[job.capture] = Entry(job.capture, "done", seconds=seconds, result=result)
        return result is not None

    with Display(console, "capture", ("capture",), list(tasks)) as display:
        waiting = []
        for task, job in tasks.items():
            before = earlier.get(job.capture.name)
            if done(task, None if before is None else before.seconds):
                display.succeeded(task, "done before")
            else:
                waiting.append(task)
        write_report(out, [*others, *entries.values()], settings)
        if waiting:
            inputs = [*(tasks[task].capture for task in waiting), *filter(None, [settings.head_model])]
            workplace.check(out, inputs)
        for task in waiting:
            tasks[task].save()
        with closing(run_all(waiting, workplace, display)) as outcomes:
            for outcome in outcomes:
                task, seconds = outcome.task, outcome.seconds
                if outcome.succeeded and done(task, seconds):
                    display.succeeded(task, f"{seconds:.0f} s")
                else:
                    capture = tasks[task].capture
                    entries[capture] = Entry(capture, "failed", outcome.reason or "no result", seconds)
                    display.failed(task, outcome.reason)
                write_report(out, [*others, *entries.values()], settings)


def _task(job: CaptureJob) -> Task:
    progress = partial(progress_of, job.folder, "exporting")
    return Task((job.capture.name,), "sage_ns.batch.run", job.folder, progress=progress)


def _earlier(out: Path, captures: Sequence[Path], settings: BatchSettings) -> dict[str, Entry]:
    """Return what earlier runs of a folder have reported, by name of the capture; writes nothing.

    Raises:
        SageError: the folder is not new, nor of a batch with the same settings and captures; names what differs.
    """
    if out.exists() and not out.is_dir():
        raise SageError(f"--output {out} is a file. Name a folder.")
    content = read_json(out / REPORT_FILE)
    if content is None:
        if out.is_dir() and any(not is_own(path) for path in out.iterdir()):
            raise SageError(f"--output {out} is not empty and not a folder of sage-batch. Name another folder.")
        return {}
    refuse_other_settings(f"--output {out} belongs to another batch", content["settings"], plain(settings), _FIXED)
    earlier = {name: Entry(**{**each, "capture": Path(each["capture"])}) for name, each in content["captures"].items()}
    for capture in captures:
        known = earlier[capture.name].capture if capture.name in earlier else capture
        refuse_other_capture(f"--output {out}", known, capture)
    return earlier
