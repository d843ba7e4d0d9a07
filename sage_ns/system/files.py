"""Write files and folders completely or not at all: under a temporary name, which is then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sage_ns.errors import SageError, WriteError, no_place_to_write
from sage_ns.system.json_files import load_json
from sage_ns.system.leftovers import is_unfinished, retired_name, sweep, unfinished_name


def write_text(path: Path, text: str) -> None:
    """Write a text file; its folder is created if needed."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None if it is missing or unreadable, so that the caller writes it again."""
    try:
        return load_json(path, SageError)
    except SageError:
        return None


def refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise an error, before any work starts, if an output file exists and may not be replaced, or cannot be written.

    Raises:
        WriteError: this user may not write there.
        SageError: A file exists, and ``overwrite`` is not set.
    """
    for path in paths:
        refuse_unwritable(path)
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise SageError(f"{existing[0]}{more} exists already. Give --overwrite, or write to another place.")


def refuse_unwritable(path: Path) -> None:
    """Raise an error, before any work starts, if a file or folder cannot be created; creates nothing.

    Raises:
        WriteError: the nearest folder above ``path`` that exists belongs to others, or its disk is read-only.
    """
    nearest = next((folder for folder in path.absolute().parents if folder.exists()), None)
    if nearest is None or not nearest.is_dir():
        raise WriteError(path, NotADirectoryError(errno.ENOTDIR, ""))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise WriteError(path, PermissionError(errno.EACCES, ""))


@contextmanager
def whole_file(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path; the file replaces ``path`` on success and is deleted on failure.

    Args:
        path: the file to write; its folder is created if needed.
        folder: folder of the temporary file, on the same disk; None = the folder of ``path``.

    Raises:
        WriteError: the folder cannot be created, the disk is full, or the file cannot be replaced.
    """
    folder = path.parent if folder is None else folder
    # Writers choose the format by the file's extension, which is therefore kept.
    unfinished = folder / unfinished_name(path.name)
    try:
        with _refused(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(folder)
            _check_writable(unfinished)
        with disk_errors_of(path):
            yield unfinished
        with _refused(path):
            os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``out``; it replaces ``out`` on success and is deleted on failure.

    Raises:
        WriteError: the folder cannot be created or replaced, or the disk is full; names the file in ``out``.
    """
    with _refused(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out.parent)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=unfinished_name(f"{out.name}.")))
    try:
        try:
            with disk_errors_of(out):
                yield folder
        except WriteError as error:
            raise _moved(error, folder, out) from error
        with _refused(out):
            _put(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def disk_errors_of(path: Path | str | None) -> Iterator[None]:
    """Turn errors that a full or read-only disk causes into a :class:`WriteError` that names ``path``.

    Raises:
        WriteError: the disk is full or read-only; names the file in the system's error, or else ``path``.
    """
    try:
        yield
    except SageError:
        raise
    except Exception as error:
        cause = no_place_to_write(error)
        if cause is None:
            raise
        known = cause.filename2 or cause.filename  # a copy has two: the source, and the file that is written
        known = known if isinstance(known, str) else None
        raise WriteError(known if known and not is_unfinished(Path(known)) else path, cause) from error


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Yield a temporary folder that is deleted at the end; also removes those of killed processes.

    Args:
        purpose: part of the folder's name.

    Raises:
        WriteError: there is no place for temporary files.
    """
    with _refused("The folder for temporary files (TMPDIR)"):
        place = Path(tempfile.gettempdir())
        sweep(place)
        folder = tempfile.TemporaryDirectory(prefix=unfinished_name(f"{purpose}."), dir=place)
    with folder as name:
        yield Path(name)


@contextmanager
def _refused(path: Path | str) -> Iterator[None]:
    """Turn every error of the system into a :class:`WriteError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise WriteError(path, error) from error


def _check_writable(unfinished: Path) -> None:
    """Create the file: a folder without permission is refused here, before other programs fail in their own ways."""
    with unfinished.open("wb"):
        pass


def _moved(error: WriteError, folder: Path, out: Path) -> WriteError:
    """Return the error with the path that the file would have had in ``out``."""
    path = out if error.path is None else Path(error.path)
    inside = path.is_relative_to(folder)
    return WriteError(out / path.relative_to(folder) if inside else path, error.cause)


def _put(folder: Path, out: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)
    if not out.exists():
        folder.replace(out)
        return
    retired = Path(tempfile.mkdtemp(dir=out.parent, prefix=retired_name(f"{out.name}."))) / out.name
    out.replace(retired)
    folder.replace(out)
    shutil.rmtree(retired.parent)
