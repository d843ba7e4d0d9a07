"""Errors that a user can act on. Every message names the file, the field, what was found and what to do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

_LONGEST = 3000
"""Characters of a message."""
INTERRUPTED = 130
"""Exit code of a command that the user stopped with Ctrl-C, as shells report it."""


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
        return printable(_shortened(super().__str__()))


def _shortened(text: str) -> str:
    """Leave the middle of a text out if a file's megabyte of text has come into it."""
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} ... ({len(text) - _LONGEST} characters left out) ... {text[-half:]}"


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


class TrackingError(SageError):
    """A picture cannot be tracked: no face or several, one turned away or too small, or no fit that holds."""


class RasterError(SageError):
    """Surfels or a camera cannot be drawn: wrong shapes, mixed types or devices, a backend that is not available."""


class FieldError(SageError):
    """A signed distance field cannot be used: its checkpoint has another grid, its backend is not available,
    or its prior mesh does not fit the head."""


class NetworkError(SageError):
    """A file of networks that find faces or people cannot be used: broken, of another kind, or with other networks."""


class WriteError(SageError):
    """A file or folder cannot be written: no space left, no permission, a read-only disk.

    Args:
        path: what could not be written; None if the system does not name it.
        cause: the system's error.
    """

    def __init__(self, path: Path | str | None, cause: OSError) -> None:
        self.path = path
        self.cause = cause
        reason = os.strerror(cause.errno) if cause.errno else str(cause)
        advice = _ADVICE.get(cause.errno or 0, "Give another place to write to.")
        super().__init__(f"{'A file' if path is None else path} cannot be written: {reason}. {advice}")


_FREE = "Free some space, or write to another disk."
_ALLOWED = "Give a place that you may write to."
_ADVICE = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: "Your quota is used up. " + _FREE,
    errno.EROFS: _ALLOWED,
    errno.EACCES: _ALLOWED,
    errno.EPERM: _ALLOWED,
}
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def no_place_to_write(error: BaseException) -> OSError | None:
    """Return the system's error if a full or read-only disk is the cause of ``error``, also indirectly; else None.

    Libraries report a full disk as other errors, e.g. torch as a RuntimeError while it handles the system's error.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, OSError) and current.errno in _NO_PLACE:
            return current
        seen.add(id(current))
        current = current.__cause__ or current.__context__
    return None


def explainable(error: BaseException) -> SageError | None:
    """Return the error to show the user without a stack trace; None if ``error`` is a fault of the program."""
    if isinstance(error, SageError):
        return error
    cause = no_place_to_write(error)
    return None if cause is None else WriteError(cause.filename2 or cause.filename, cause)


def show_as_panels() -> None:
    """Show every uncaught :class:`SageError` and full disk of this process as a panel instead of a stack trace.

    nerfstudio's commands do not catch errors; the exit code stays 1. Ctrl-C is one line. Other errors are shown as
    before.
    """
    if getattr(sys.excepthook, "func", None) is not _show:
        sys.excepthook = partial(_show, sys.excepthook)


def _show(
    others: Callable[[type[BaseException], BaseException, TracebackType | None], Any],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("Interrupted.\n")
        return
    explained = explainable(error)
    if explained is None:
        others(kind, error, trace)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel

    title = f"[red]{type(explained).__name__}[/red]"
    Console(stderr=True).print(Panel(escape(str(explained)), title=title, expand=False))
