"""Write files and folders completely or not at all: under a temporary name, which is then renamed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sage_ns.errors import SageError
from sage_ns.system.json_files import load_json


def cache_dir() -> Path:
    """Return the folder of results that runs share (pre-trained fields, kernels): SAGE_CACHE, else ~/.cache/sage_ns."""
    return Path(os.environ.get("SAGE_CACHE") or Path("~/.cache/sage_ns").expanduser())


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
    """Raise an error, before any work starts, if an output file exists and may not be replaced.

    Raises:
        SageError: A file exists, and ``overwrite`` is not set.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise SageError(f"{existing[0]}{more} exists already. Give --overwrite, or write to another place.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; the file replaces ``path`` on success and is deleted on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Writers choose the format by the file's extension, which is therefore kept.
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``out``; it replaces ``out`` on success and is deleted on failure."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield folder
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        if out.exists():
            retired = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.old.")) / out.name
            out.replace(retired)
            folder.replace(out)
            shutil.rmtree(retired.parent)
        else:
            folder.replace(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
