"""A program that runs a command and kills itself at a chosen moment, as a power cut would.

    python -m tests.integration.killed OUT MOMENT COUNT MAIN ARGUMENTS...

Moments: the COUNT-th step of a training; half way through writing the COUNT-th checkpoint; before the COUNT-th time
that a file or folder in OUT is opened for writing, renamed or removed.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

_WRITING = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


class _Countdown:
    """Kills this process at the last count."""

    def __init__(self, count: int) -> None:
        self.left = count

    def tick(self, before: Callable[[], object] = lambda: None) -> None:
        self.left -= 1
        if self.left == 0:
            before()
            os.kill(os.getpid(), signal.SIGKILL)


def _at_steps(countdown: _Countdown) -> None:
    from sage_ns.plugin.trainer import SageTrainer

    train_iteration = SageTrainer.train_iteration

    def counted(trainer: SageTrainer, step: int) -> Any:
        countdown.tick()
        return train_iteration(trainer, step)

    SageTrainer.train_iteration = counted  # type: ignore[method-assign]


def _at_checkpoints(countdown: _Countdown) -> None:
    import torch

    save = torch.save

    def half(content: Any, file: BinaryIO) -> None:
        save(content, file)
        file.flush()
        countdown.tick(lambda: os.truncate(file.fileno(), os.fstat(file.fileno()).st_size // 2))

    torch.save = half  # type: ignore[assignment]


def _watch_files(out: Path, tick: Callable[[], object]) -> None:
    """Call ``tick`` before each change of a file in a folder; for the rest of this process, as Python has it."""
    inside = str(out) + os.sep

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _WRITING or not str(arguments[0]).startswith(inside):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        tick()

    sys.addaudithook(hook)


def count_changes(out: Path, call: Callable[[], object]) -> int:
    """Return how often ``call`` changes a file in a folder: the moments at which a program could be killed."""
    changes: list[None] = []
    _watch_files(out, lambda: changes.append(None))
    call()
    return len(changes)


def main(out: str, moment: str, count: str, command: str, *arguments: str) -> None:
    """Run the command until the moment comes."""
    countdown = _Countdown(int(count))
    if command == "ns-train":
        module, name = "nerfstudio.scripts.train", "entrypoint"
        sys.argv = ["ns-train", *arguments]
        given: tuple[Any, ...] = ()
    else:
        module, _, name = command.partition(":")
        given = (list(arguments),)
    call = getattr(importlib.import_module(module), name)
    if moment == "step":
        _at_steps(countdown)
    elif moment == "checkpoint":
        _at_checkpoints(countdown)
    else:
        _watch_files(Path(out), countdown.tick)
    call(*given)


if __name__ == "__main__":
    main(*sys.argv[1:])
