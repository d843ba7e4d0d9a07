"""Ctrl-C during a training: the current step ends, the checkpoint is written, and one line says how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape

from sage_ns.errors import INTERRUPTED


class StopRequest:
    """Whether the user has asked for the end of the training.

    Args:
        can_wait: whether a step is in progress, whose end the training can wait for.
    """

    def __init__(self, can_wait: Callable[[], bool]) -> None:
        self.made = False
        self._can_wait = can_wait

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Set `made` at the first Ctrl-C; a second one, or one between steps, raises KeyboardInterrupt as usual."""
        usual = signal.getsignal(signal.SIGINT)
        # Only the main thread can handle signals; another handler belongs to the program that runs the training.
        if threading.current_thread() is not threading.main_thread() or usual is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.made or not self._can_wait():
            raise KeyboardInterrupt
        self.made = True


@contextmanager
def one_line(text: Callable[[], str]) -> Iterator[None]:
    """End the program with a line and exit code 130 at Ctrl-C: nerfstudio would print a stack trace and report success.

    Raises:
        SystemExit: the user has pressed Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        CONSOLE.print(escape(text()), soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
