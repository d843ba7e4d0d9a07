"""Start of jobs in processes of their own, and display of their progress."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sage_ns.bench.clock import Clock
from sage_ns.bench.job import Job
from sage_ns.system.console import escape

LOG_FILE = "log.txt"

_POLL_SECONDS = 0.3
_LINES_OF_LOG = 15
_SECONDS_TO_STOP = 60
"""Enough for a step of the largest training and its checkpoint."""


class Display:
    """Progress on the console: a bar for finished rows, a bar for steps of the running row, a line per finished row.

    Args:
        console: console to print to.
        num_jobs: number of jobs of the benchmark.
    """

    def __init__(self, console: Console, num_jobs: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._rows = self._progress.add_task("rows", total=num_jobs)
        self._steps = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def print_line(self, job: Job, text: str) -> None:
        """Print a line about ``job``."""
        number, total = self._progress.tasks[self._rows].completed + 1, self._progress.tasks[self._rows].total
        self._progress.console.print(
            f"row {number:.0f} of {total:.0f}: [bold]{escape(job.row)}[/bold], {escape(job.capture.name)}, "
            f"seed {job.seed}: {text}",
            soft_wrap=True,
        )

    def begin(self, job: Job) -> None:
        """Show that ``job`` has started."""
        self._progress.reset(self._steps, description=f"{job.row}: preparing", total=None, visible=True)

    def show(self, job: Job) -> None:
        """Show the progress of ``job``."""
        clock = Clock.read(job.training_folder)
        if clock is not None:
            doing = "training" if clock.step < clock.num_steps else "evaluating"
            description = f"{job.row}: {doing}"
            self._progress.update(self._steps, description=description, completed=clock.step, total=clock.num_steps)

    def advance(self) -> None:
        """Show that one more row has ended."""
        self._progress.update(self._steps, visible=False)
        self._progress.advance(self._rows)


def run_apart(job: Job, display: Display) -> bool:
    """Run ``job`` in a process of its own, whose output goes to ``log.txt`` in the job's folder.

    Returns:
        whether it succeeded; if not, the end of its log is printed.
    """
    job.save()
    log = job.folder / LOG_FILE
    start = time.perf_counter()
    display.begin(job)
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "sage_ns.bench.run", str(job.folder), "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
            start_new_session=True,  # Ctrl-C reaches this process only, which then passes it on once
        )
        try:
            while process.poll() is None:
                display.show(job)
                time.sleep(_POLL_SECONDS)
        finally:
            _stop(process)
    if process.returncode == 0:
        display.print_line(job, f"{time.perf_counter() - start:.0f} s")
        return True
    failure = f"[red]failed[/red] (exit code {process.returncode}); the end of {escape(str(log))}:\n{_end(log)}"
    display.print_line(job, failure)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process that still runs: a training writes a checkpoint, from which the next run continues."""
    if process.poll() is not None:
        return
    try:
        process.send_signal(signal.SIGINT)
        process.wait(_SECONDS_TO_STOP)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C
        process.kill()
        process.wait()


def _end(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return escape("\n".join(lines[-_LINES_OF_LOG:]))
