"""The folder of results that runs share: compiled kernels, pre-trained fields, links to programs."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from sage_ns.errors import SageError

CACHE = "SAGE_CACHE"
KERNELS = "NUMBA_CACHE_DIR"


def cache_dir() -> Path:
    """Return the folder of results that runs share: SAGE_CACHE, XDG_CACHE_HOME/sage_ns, or ~/.cache/sage_ns.

    If that folder cannot be written, it is a temporary folder of this user, and a line on standard error says so.
    Child processes use the same folder.

    Raises:
        SageError: no temporary folder can be written either.
    """
    try:
        folder = _chosen()
        _require_writable(folder)
        return folder
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        folder = _temporary()
        os.environ[CACHE] = str(folder)
        reason = error.strerror or str(error) if isinstance(error, OSError) else "there is no home folder"
        place = getattr(error, "filename", None) or "~/.cache/sage_ns"
        sys.stderr.write(
            f"{place} cannot be written ({reason}): compiled kernels and other results that runs share go to {folder}. "
            f"To keep them, set {CACHE} (all) or {KERNELS} (kernels) to a folder that you may write to.\n"
        )
        return folder


def is_writable(folder: Path) -> bool:
    """Return whether files can be written into a folder; creates it if needed."""
    try:
        _require_writable(folder)
    except OSError:
        return False
    return True


def _require_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _chosen() -> Path:
    if given := os.environ.get(CACHE):
        return Path(given)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path("~/.cache").expanduser()) / "sage_ns"


def _temporary() -> Path:
    """Return a temporary folder that only this user can write: compiled kernels in it are run."""
    try:
        folder = Path(tempfile.gettempdir()) / f"sage_ns-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if _is_private(folder):
            _require_writable(folder)
            return folder
        own = tempfile.mkdtemp(prefix="sage_ns-")  # the name is taken by another user
    except OSError as error:
        raise SageError(
            f"No folder for compiled kernels and temporary files can be written ({error.strerror or error}). Set "
            f"{CACHE} and TMPDIR to folders that you may write to."
        ) from error
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return Path(own)


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
