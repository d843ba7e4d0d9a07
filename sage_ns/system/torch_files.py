"""Check files of `torch.save` before torch opens them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.pickle_limits import MAX_PICKLE_BYTES
from sage_ns.system.user_files import in_bytes, open_regular

_ENCRYPTED = 1
"""Bit of a zip member's flags."""


def check_torch_file(path: Path, error: type[SageError], hint: str = "") -> None:
    """Refuse a file that is no archive of `torch.save`, or whose members claim more than the file holds.

    torch stores tensors as they are; a compressed or encrypted member comes from another program, and torch would
    reserve as much memory as it claims. Nothing but the table of contents is read.

    Raises:
        SageError: Of the given class; the path is not a regular file, the file is no such archive or truncated, or a
            member is compressed, encrypted or too large. Names the file and the member.
    """
    with open_regular(path, error, hint) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except BROKEN as cause:
            problem = f"not a checkpoint that torch.save wrote, or truncated ({cause}; {in_bytes(size)})"
            raise error(f"{path}: {problem}. {hint}".rstrip()) from cause
    fault = _fault(members, size)
    if fault:
        raise error(f"{path}: {fault}. {hint}".rstrip())


def _fault(members: list[zipfile.ZipInfo], size: int) -> str | None:
    """Return what is wrong with the members of an archive; None if nothing is."""
    pickles = [info for info in members if info.filename.rpartition("/")[2] == "data.pkl"]
    if not pickles:
        return "found no 'data.pkl' in the archive, expected a checkpoint that torch.save wrote"
    for info in members:
        if info.flag_bits & _ENCRYPTED:
            return f"'{info.filename}': found an encrypted member, expected plain ones"
        if info.compress_type != zipfile.ZIP_STORED:
            return f"'{info.filename}': found a compressed member, expected plain ones, as torch.save writes them"
    largest = max(info.file_size for info in pickles)
    if largest > MAX_PICKLE_BYTES:
        return f"'data.pkl': claims {in_bytes(largest)}, expected at most {in_bytes(MAX_PICKLE_BYTES)}"
    total = sum(info.file_size for info in members)
    if total > size:
        return f"its members claim {in_bytes(total)}, but the file has {in_bytes(size)}"
    return None
