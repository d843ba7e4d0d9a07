"""The one place that opens files which a user gives: only regular files, at once, with an error that names the file.

Opening a named pipe waits until another program writes to it, and reading some devices never ends. Every reader
therefore checks the path here before it opens the file, or opens the file here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from sage_ns.errors import SageError

NO_SUCH_FILE = "no such file"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def fault_of_file(path: Path | str) -> str | None:
    """Return why a path is not a regular file ("no such file", "is a folder; expected a file"), or None if it is one.

    Never opens the file.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            return f"is a link to {os.readlink(path)}, which does not exist"
        return NO_SUCH_FILE
    except OSError as error:  # a file in place of a folder, a name that is too long, a folder that may not be entered
        return f"cannot be opened ({error.strerror})"
    except ValueError as error:  # a null character in the name
        return f"is no name of a file ({error})"
    return None if stat.S_ISREG(mode) else f"is {_kind(mode)}; expected a file"


def check_regular(path: Path | str, error: type[SageError], hint: str = "") -> None:
    """Refuse a path that is not a regular file (nor a link to one): missing, a folder, a named pipe, a device.

    Args:
        path: The file that a reader will open.
        error: Class of the error to raise.
        hint: What the user should do; ends the message.

    Raises:
        SageError: Of the given class; names the path and what is there.
    """
    fault = fault_of_file(path)
    if fault is not None:
        raise _refusal(path, error, fault, hint)


def open_regular(path: Path | str, error: type[SageError], hint: str = "") -> BinaryIO:
    """Open a regular file for reading bytes; never waits, even if the path is exchanged for a named pipe meanwhile.

    Raises:
        SageError: Of the given class; the path is not a regular file, or may not be read.
    """
    check_regular(path, error, hint)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as cause:
        raise _refusal(path, error, f"cannot be opened ({cause.strerror})", hint) from cause
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise _refusal(path, error, f"is {_kind(mode)}; expected a file", hint)
    return os.fdopen(handle, "rb")


def read_bytes(path: Path | str, error: type[SageError], limit: int, hint: str = "") -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        error: Class of the error to raise.
        limit: Largest size in bytes; the size is checked before anything is read.
        hint: What the user should do; ends the message.

    Raises:
        SageError: Of the given class; the path is not a regular file, cannot be read, or is larger than the limit.
    """
    with open_regular(path, error, hint) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _refusal(path, error, f"has {in_bytes(size)}; expected at most {in_bytes(limit)}", hint)
        try:
            return file.read(limit)
        except OSError as cause:
            raise _refusal(path, error, f"cannot be read ({cause.strerror})", hint) from cause


def sha256_of(path: Path | str, error: type[SageError]) -> str:
    """Return the SHA-256 of a file of any size, in hexadecimal.

    Raises:
        SageError: as for `open_regular`.
    """
    digest = hashlib.sha256()
    with open_regular(path, error) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def in_bytes(size: int) -> str:
    """Return a number of bytes with a unit that suits it: "512 MiB"."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}" if size < 1000 * scale else f"{size // scale} {unit}"
    return f"{size} bytes"


def _kind(mode: int) -> str:
    return next((name for matches, name in _KINDS if matches(mode)), "no regular file")


def _refusal(path: Path | str, error: type[SageError], fault: str, hint: str) -> SageError:
    separator = ":" if fault == NO_SUCH_FILE else ""
    return error(f"{path}{separator} {fault}. {hint}".rstrip())
