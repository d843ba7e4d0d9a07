"""Errors that a user can act on. Every message names the file, the field, what was found and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any


def printable(text: object) -> str:
    """Return a text with every character that could steer a terminal written as its escape sequence (``\\x1b``).

    Names of files and texts from files may hold escape sequences, line separators, marks that reverse the reading
    direction, and bytes that are not UTF-8. Line breaks and tabs stay: messages may have several lines.
    """
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode("ascii")
        for each in str(text)
    )


class SageError(Exception):
    """Base class of all errors that sage_ns raises for the user to act on. Its text is safe to print on a terminal."""

    def __str__(self) -> str:
        return printable(super().__str__())


class OptionError(SageError):
    """An option of a function or a command has a value that cannot be used.

    Args:
        problem: what is wrong with the value, and what to give instead.
        options: the values in question, by the name of the function's argument.
    """

    def __init__(self, problem: str, **options: object) -> None:
        self.problem = problem
        self.options = {name: f"{value:g}" if isinstance(value, float) else value for name, value in options.items()}
        super().__init__(f"{', '.join(f'{name}={value}' for name, value in self.options.items())}: {problem}")

    def as_flags(self) -> str:
        """Return the message with the options written as command-line flags: ``--neutral-frame 4: ...``."""
        flags = [f"--{name.replace('_', '-')} {value}" for name, value in self.options.items()]
        return printable(f"{' '.join(flags)}: {self.problem}")


class HeadModelError(SageError):
    """A head model file is missing, broken, unsafe, or not in FLAME's format."""


class FlameParamsError(SageError):
    """FLAME parameters are missing, of the wrong shape, not finite, or belong to another head model."""


class CaptureError(SageError):
    """A capture folder cannot be read: missing file, broken field, wrong size, impossible camera."""


class RasterError(SageError):
    """Surfels or a camera cannot be drawn: wrong shapes, mixed types or devices, a backend that is not available."""


class FieldError(SageError):
    """A signed distance field cannot be used: its checkpoint has another grid, or its backend is not available."""


def show_as_panels() -> None:
    """Show every uncaught :class:`SageError` of this process as a panel instead of a stack trace, from now on.

    nerfstudio's commands do not catch errors; the exit code stays 1, and other errors are shown as before.
    """
    if getattr(sys.excepthook, "func", None) is not _show:
        sys.excepthook = partial(_show, sys.excepthook)


def _show(
    others: Callable[[type[BaseException], BaseException, TracebackType | None], Any],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    if not isinstance(error, SageError):
        others(kind, error, trace)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel

    Console(stderr=True).print(Panel(escape(str(error)), title=f"[red]{kind.__name__}[/red]", expand=False))
