"""Files and folders that are whole or absent: written under a temporary name and renamed."""

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


def cache_dir() -> Path:
    """Folder of what is kept between runs (pre-trained fields, kernels): SAGE_CACHE, else ~/.cache/sage_ns."""
    return Path(os.environ.get("SAGE_CACHE") or Path("~/.cache/sage_ns").expanduser())


def write_text(path: Path, text: str) -> None:
    """Write ``path``, and its folder if need be."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where there is none or it cannot be read, so that it is made again."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    """Refuse to replace files, before any work is done for them.

    Raises:
        SageError: One exists, and ``overwrite`` is not set.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise SageError(f"{existing[0]}{more} exists already. Give --overwrite, or write to another place.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; takes its place when all has gone well, and is gone otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Writers choose the format by the ending.
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place when all has gone well, and is gone otherwise."""
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
