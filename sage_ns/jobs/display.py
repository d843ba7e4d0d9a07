"""What the user sees of tasks: a live table of those that run, and a line for each that has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sage_ns.jobs.process import LOG_FILE, end_of_log
from sage_ns.jobs.task import Task
from sage_ns.system.console import escape

_MOST_WAITING = 5
"""Waiting tasks that the table shows by name."""
_SECONDS_PER_UPDATE = 0.5


@dataclass
class _Running:
    where: str
    tries: int
    since: float


class Display:
    """Progress on the console. A terminal shows a live table; any other output gets lines only.

    Args:
        console: console to print to.
        kind: what a task is called in lines: "row".
        columns: titles of the tasks' cells.
        tasks: all tasks.
    """

    def __init__(self, console: Console, kind: str, columns: Sequence[str], tasks: Sequence[Task]) -> None:
        self._console, self._kind, self._columns = console, kind, columns
        self._waiting = dict.fromkeys(tasks)
        self._running: dict[Task, _Running] = {}
        self._total, self._num_done, self._num_failed = len(tasks), 0, 0
        self._begin = self._updated = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, task: Task, where: str, tries: int) -> None:
        """Show that a task has started.

        Args:
            task: the task.
            where: name of the machine; "" = this one, which needs no line of its own.
            tries: number of this try, from 1.
        """
        self._waiting.pop(task, None)
        self._running[task] = _Running(where, tries, time.monotonic())
        if where and self._live is None:
            self._line(task, f"started on {escape(where)}{f', try {tries}' if tries > 1 else ''}")
        self.update(now=True)

    def waits_again(self, task: Task, reason: str) -> None:
        """Print why a task starts again."""
        running = self._running.pop(task)
        self._waiting = {task: None, **self._waiting}
        where = f" on {escape(running.where)}" if running.where else ""
        self._line(task, f"[yellow]lost[/yellow]{where} ({escape(reason)}); it starts again")

    def ended(self, task: Task) -> None:
        """Take a task that has ended from the table; `succeeded` or `failed` prints the line about it."""
        self._running.pop(task, None)

    def succeeded(self, task: Task, text: str) -> None:
        """Print the line about a task that is done, now or before."""
        self._waiting.pop(task, None)
        self._num_done += 1
        self._line(task, text, self._num_done + self._num_failed)
        self.update(now=True)

    def failed(self, task: Task, reason: str) -> None:
        """Print why a task has failed, and the end of its log."""
        self._waiting.pop(task, None)
        self._num_failed += 1
        log = task.folder / LOG_FILE
        text = (
            f"[red]failed[/red] ({escape(reason or 'no result')}); the end of {escape(log)}:\n{end_of_log(task.folder)}"
        )
        self._line(task, text, self._num_done + self._num_failed)
        self.update(now=True)

    def update(self, now: bool = False) -> None:
        """Draw the table again; twice a second unless ``now``."""
        if self._live is not None and (now or time.monotonic() - self._updated > _SECONDS_PER_UPDATE):
            self._updated = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def _line(self, task: Task, text: str, number: int | None = None) -> None:
        first, *others = (escape(cell) for cell in task.cells)
        count = "" if number is None else f" {number} of {self._total}"
        self._console.print(
            f"{self._kind}{count}: {', '.join((f'[bold]{first}[/bold]', *others))}: {text}", soft_wrap=True
        )

    def _table(self) -> Table:
        failed = f"{self._num_failed} failed, " if self._num_failed else ""
        ended = f"{self._num_done} of {self._total} done, {failed}"
        others = f"{len(self._running)} running, {len(self._waiting)} waiting, {_clock(time.monotonic() - self._begin)}"
        table = Table(caption=ended + others, caption_justify="left")
        for name in (*self._columns, "state", "steps", "", "time", "where"):
            table.add_column(name)
        for task, running in self._running.items():
            progress = task.progress()
            again = f", try {running.tries}" if running.tries > 1 else ""
            seconds = _clock(time.monotonic() - running.since)
            cells = [escape(cell) for cell in task.cells]
            if progress is None:
                table.add_row(*cells, f"preparing{again}", "", "", seconds, escape(running.where))
            else:
                bar = ProgressBar(max(1, progress.num_steps), progress.step, width=20)
                steps = f"{progress.step:,} of {progress.num_steps:,}"
                table.add_row(*cells, f"{progress.doing}{again}", steps, bar, seconds, escape(running.where))
        for task in list(self._waiting)[:_MOST_WAITING]:
            table.add_row(*(escape(cell) for cell in task.cells), "waiting", style="dim")
        return table


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
