"""Processes that must not work twice on one folder, nor go on without the program that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path

from sage_ns.errors import SageError, WriteError

LOCK_FILE = ".lock"
_PR_SET_PDEATHSIG = 1
_WATCH_SECONDS = 1.0


@contextmanager
def locked_folder(folder: Path, user: str) -> Iterator[None]:
    """Lock a folder, which is created if needed; the lock ends with this process, also if the process is killed.

    The file ``.lock`` in the folder carries the lock and stays. On disks without locks (some network disks) and on
    Windows there is no lock.

    Args:
        folder: the folder.
        user: name of the program, for the message.

    Raises:
        SageError: another process has locked the folder; names its number.
        WriteError: the folder or the file cannot be created.
    """
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise WriteError(path, error) from error
    with file:
        if not _lock(file.fileno()):
            file.seek(0)
            raise SageError(
                f"{folder} is in use by another {user} (process {file.read().strip() or 'unknown'}). Wait for its end, "
                "or stop it, or name another folder."
            )
        with suppress(OSError):  # a full disk: the lock holds without the number
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


def _lock(file: int) -> bool:
    """Return whether this process has the lock now; True on disks that have no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@contextmanager
def children_ignore_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: this process alone ends them, without a stack trace from each."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would end the block
    # Processes inherit the block. In this process, Ctrl-C waits for the end of the block.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with(parent: int) -> None:
    """End this process when the process that started it ends, in whatever way.

    Linux kills this process at once; elsewhere it ends itself within a second.

    Args:
        parent: number of the process that started this one.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # After prctl: the parent may have ended before.
    if hasattr(os, "getppid"):
        _end_without(parent)
        threading.Thread(target=_watch, args=(parent,), name="sage-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        time.sleep(_WATCH_SECONDS)
        _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(1)
