"""Workplaces: where tasks run. This module defines what all of them can do, and this machine as one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from sage_ns.jobs.process import TaskProcess, environment
from sage_ns.jobs.task import Exit, Task

Device = Literal["cuda", "cpu"]

_POLL_SECONDS = 0.1


class Workplace(Protocol):
    """Machines that run tasks."""

    @property
    def device(self) -> Device | None:
        """Device of every task; None = what torch finds on this machine."""
        ...

    def check(self, folder: Path, inputs: Sequence[Path]) -> None:
        """Check that all machines see the same files.

        Args:
            folder: existing folder of all outputs.
            inputs: files and folders that tasks read.

        Raises:
            SageError: a machine does not see one of them; names machine and path.
        """
        ...

    def start(self, task: Task) -> str | None:
        """Start a task if a place is free.

        Returns:
            the name of the machine ("" if there is only this one), or None if no place is free now.

        Raises:
            SageError: no machine is left.
        """
        ...

    def ended(self, seconds: float) -> list[Exit]:
        """Return the tasks that have ended since the last call; wait for the first one, but at most this long."""
        ...

    def stop(self) -> None:
        """Interrupt the running tasks, and wait until they have saved what they have."""
        ...


class ThisMachine:
    """This machine, with one task at a time.

    Args:
        cores: threads of a task; None = as the machine is set up.
    """

    device: Device | None = None

    def __init__(self, cores: int | None = None) -> None:
        self._variables = environment(cores)
        self._running: tuple[Task, TaskProcess] | None = None

    def check(self, folder: Path, inputs: Sequence[Path]) -> None:
        """Do nothing: there is no other machine."""

    def start(self, task: Task) -> str | None:
        """Start a task, unless one runs."""
        if self._running is not None:
            return None
        self._running = task, TaskProcess(task.module, task.folder, self._variables)
        return ""

    def ended(self, seconds: float) -> list[Exit]:
        """Return the task if it has ended within this time."""
        deadline = time.monotonic() + seconds
        while self._running is not None:
            task, process = self._running
            code = process.poll()
            if code is not None:
                self._running = None
                return [Exit(task, code)]
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_SECONDS)
        return []

    def stop(self) -> None:
        """Interrupt the task, if one runs."""
        if self._running is not None:
            self._running[1].stop()
            self._running = None
