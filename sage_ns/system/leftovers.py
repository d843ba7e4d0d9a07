"""Names of unfinished files and folders, and removal of those that killed processes have left.

A name holds the process that writes and the machine (or container) that it runs on. A name from this machine whose
process is gone is a leftover. A name from another machine, on a shared disk, counts as a leftover after a week.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\.sage-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)(?P<old>-old)?\.")
_OLD = 7 * 24 * 3600.0
"""Seconds."""
_swept: set[tuple[int, Path]] = set()


def unfinished_name(name: str) -> str:
    """Return the name under which this process writes a file or folder until it is complete; it ends in ``name``."""
    return f".sage-{_machine()}-{os.getpid()}.{name}"


def retired_name(name: str) -> str:
    """Return the name of the folder in which this process keeps an old folder ``name`` while it puts the new one."""
    return f".sage-{_machine()}-{os.getpid()}-old.{name}"


def is_unfinished(path: Path) -> bool:
    """Return whether a file or folder has the name of an unfinished one of this program."""
    return _NAME.match(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove what killed processes have left in ``folder``; does nothing at later calls of this process.

    An old folder that a killed process had put aside, without putting the new one in its place, gets its name back.
    """
    key = os.getpid(), folder
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError):
        for entry in os.scandir(folder):
            found = _NAME.match(entry.name)
            if found is not None and _is_left(Path(entry.path), found["machine"], int(found["process"])):
                _remove(Path(entry.path), found["old"] is not None)


def _remove(path: Path, retired: bool) -> None:
    with suppress(OSError):
        if retired:
            for kept in path.iterdir():
                if not (path.parent / kept.name).exists():
                    kept.replace(path.parent / kept.name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_left(path: Path, machine: str, process: int) -> bool:
    with suppress(OSError):
        found = path.lstat()
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            return False
        if machine == _machine() and os.name == "posix":
            return not _runs(process)
        return time.time() - found.st_mtime > _OLD
    return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    return True


@cache
def _machine() -> str:
    """Return eight digits for the machine and, on Linux, the container: process numbers are unique within it."""
    numbers = ""
    with suppress(OSError):
        numbers = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(f'{socket.gethostname()} {numbers}'.encode()):08x}"
