"""Read members of a zip archive whose table of contents may lie: every size is checked before memory is taken."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.user_files import in_bytes, open_regular

_MOST_MEMBERS = 10_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
"""Bit of a member's flags."""


def read_members(
    path: Path, error: type[SageError], wanted: Callable[[str], bool], limit: int, hint: str = ""
) -> dict[str, bytes]:
    """Return members of an archive by their names; each is compared with its checksum.

    Args:
        path: the archive.
        error: class of the error to raise.
        wanted: whether a member of a name is read.
        limit: most bytes of all these members together.
        hint: what the user should do; ends the messages.

    Raises:
        SageError: of the given class; the file is missing, is not a regular file or not a readable archive, a member
            is encrypted or packed in a way that is not read, or the members claim more than ``limit``.
    """
    with open_regular(path, error, hint) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos = [info for info in archive.infolist() if wanted(info.filename)]
                fault = _fault(infos, limit, os.fstat(file.fileno()).st_size)
                if fault is None:
                    return {info.filename: archive.read(info) for info in infos}
        except BROKEN as cause:
            raise error(f"{path}: not a readable zip archive ({cause}). {hint}".rstrip()) from cause
    raise error(f"{path}: {fault}. {hint}".rstrip())


def _fault(infos: list[zipfile.ZipInfo], limit: int, size: int) -> str | None:
    if len(infos) > _MOST_MEMBERS:
        return f"found {len(infos)} members, expected at most {_MOST_MEMBERS}"
    for info in infos:
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            return f"'{info.filename}': found an encrypted member or an unknown compression, expected none or deflate"
    total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if total > limit or packed > size:
        return f"its members claim {in_bytes(total)}, expected at most {in_bytes(limit)}"
    return None
