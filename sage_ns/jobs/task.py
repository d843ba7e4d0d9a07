"""A task: a job as those see it who start it, show it and wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

JOB_FILE = "job.json"
"""Input of a task, in its folder."""


@dataclass(frozen=True)
class Progress:
    """How far a task is."""

    doing: str
    """what its process does now: "training" """
    step: int
    num_steps: int


def _unknown() -> Progress | None:
    return None


@dataclass(frozen=True, eq=False)
class Task:
    """Work of one process, ``python -m MODULE FOLDER``: the folder holds its input, and later its output and log."""

    cells: tuple[str, ...]
    """its name, in the columns of the table: row, capture, seed"""
    module: str
    """module whose ``main`` does the work"""
    folder: Path
    """absolute; all machines see it under this path"""
    group: str = ""
    """tasks of one group never run at the same time, and start in their order; "" = of no group"""
    progress: Callable[[], Progress | None] = _unknown
    """tells how far the task is, from its files; None while it is not known"""

    @property
    def title(self) -> str:
        """Name in one line."""
        return ", ".join(self.cells)


@dataclass(frozen=True)
class Exit:
    """End of a task's process."""

    task: Task
    code: int | None
    """exit code; negative = killed by the signal of this number; None = the process is lost with its machine"""
    reason: str = ""
    """what happened, if the machine knows more than the code"""

    @property
    def killed(self) -> bool:
        """Whether the process did not end by itself: another try may succeed."""
        return self.code is None or self.code < 0
