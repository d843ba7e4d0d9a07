"""The order of tasks: each is done once, those that share a training one after the other, lost ones again."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from sage_ns.jobs.display import Display
from sage_ns.jobs.process import failure_of
from sage_ns.jobs.task import Exit, Task
from sage_ns.jobs.workplace import Workplace

MOST_TRIES = 3
"""A task whose process is killed (its machine is gone, or its memory was full) starts again until it has had so many
tries."""
_POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Ended:
    """Outcome of a task."""

    task: Task
    reason: str
    """why it failed; "" if it did not"""
    seconds: float
    """of the last try"""

    @property
    def succeeded(self) -> bool:
        """Whether the process ended without an error."""
        return not self.reason


class Queue:
    """Tasks that wait, and what runs.

    Args:
        tasks: tasks in the order of their start.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._waiting = list(tasks)
        self._running: dict[Task, float] = {}
        self._tries: dict[Task, int] = {}

    def __len__(self) -> int:
        """Return the number of tasks that have not ended."""
        return len(self._waiting) + len(self._running)

    def next(self) -> Task | None:
        """Return the first task that may start now; None if each of them shares its group with a running one."""
        busy = {task.group for task in self._running if task.group}
        return next((task for task in self._waiting if task.group not in busy), None)

    def started(self, task: Task) -> int:
        """Note that a waiting task has started, and return the number of this try, from 1."""
        self._waiting.remove(task)
        self._running[task] = time.monotonic()
        self._tries[task] = self._tries.get(task, 0) + 1
        return self._tries[task]

    def ended(self, end: Exit) -> Ended | None:
        """Note the end of a running task; return its outcome, or None if it is the next to start again."""
        task = end.task
        seconds = time.monotonic() - self._running.pop(task)
        if end.killed and self._tries[task] < MOST_TRIES:
            self._waiting.insert(0, task)
            return None
        return Ended(task, "" if end.code == 0 else reason_of(end, self._tries[task]), seconds)


def reason_of(end: Exit, tries: int = 1) -> str:
    """Return why the process of a task has failed, in one line."""
    if end.code is None:
        reason = end.reason or "its machine is gone"
    elif end.code < 0:
        reason = f"killed by signal {-end.code}{' (the memory may have been full)' if end.code == -9 else ''}"
    else:
        reason = failure_of(end.task.folder) or end.reason or f"exit code {end.code}"
    return f"{reason}, {tries} times" if tries > 1 else reason


def run_all(tasks: Sequence[Task], workplace: Workplace, display: Display) -> Generator[Ended, None, None]:
    """Run all tasks; yields each outcome as soon as it is known. Closing the generator stops the running tasks.

    Raises:
        SageError: no machine is left.
    """
    queue = Queue(tasks)
    try:
        while len(queue):
            while (task := queue.next()) is not None and (where := workplace.start(task)) is not None:
                display.started(task, where, queue.started(task))
            for end in workplace.ended(_POLL_SECONDS):
                outcome = queue.ended(end)
                if outcome is None:
                    display.waits_again(end.task, reason_of(end))
                else:
                    display.ended(end.task)
                    yield outcome
            display.update()
    finally:
        workplace.stop()
