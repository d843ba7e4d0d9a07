"""Read npz and npy files whose headers may lie: every size is checked before memory is taken for it."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from sage_ns.errors import SageError
from sage_ns.system.user_files import in_bytes, open_regular

MAX_ARRAY_BYTES = 2**30
"""Most memory that one array of a file may take."""
MAX_FILE_BYTES = 3 * 2**29
"""Most memory that all arrays of a file may take together."""
MAX_RATIO, RATIO_FROM = 200, 2**26
"""Arrays that take at least `RATIO_FROM` bytes (64 MiB), alone or together, and were compressed to less than a part in
`MAX_RATIO` are refused as archive bombs. Small arrays of zeros reach ratios of 1000."""
_MAX_MEMBERS = 100_000
_SUFFIX = ".npy"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
"""Bit of a zip member's flags."""
BROKEN = (
    OSError,
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
    RuntimeError,  # includes NotImplementedError: zip features that Python does not read
    SyntaxError,  # of an array's header
    tokenize.TokenError,  # of the same
    TypeError,
    KeyError,
    IndexError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and numpy raise about damaged files."""


def read_npz(path: Path, error: type[SageError], names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file; arrays that would need unpickling are skipped.

    Args:
        path: The file.
        error: Class of the error to raise.
        names: Arrays to read; names that the file lacks are skipped. None reads all arrays.

    Raises:
        SageError: Of the given class; the file is missing, is not a regular file or not a readable npz file, an array
            claims more than `MAX_ARRAY_BYTES` or another size than the archive holds of it, or the arrays together
            claim more than `MAX_FILE_BYTES`. Names the file and the array.
    """
    with open_regular(path, error) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, names, os.fstat(file.fileno()).st_size)
        except _Refused as refused:
            raise error(f"{path}: {refused}") from None
        except BROKEN as cause:
            raise error(f"{path}: not a readable npz file ({cause}). It may be truncated: write it again.") from cause


def read_npy(path: Path, error: type[SageError], hint: str = "") -> np.ndarray:
    """Read the array of an npy file.

    Raises:
        SageError: Of the given class; the file is missing, is not a regular file or not a readable npy file, holds
            Python objects, or claims more than `MAX_ARRAY_BYTES` or another size than it has. Names the file.
    """
    with open_regular(path, error, hint) as file:
        try:
            shape, dtype = _read_header(file)
            held = os.fstat(file.fileno()).st_size - file.tell()
            if dtype.hasobject:
                raise _Refused("found Python objects, expected numbers")
            if held > MAX_ARRAY_BYTES:
                raise _Refused(f"has {in_bytes(held)}, expected at most {in_bytes(MAX_ARRAY_BYTES)}")
            _check_size("array", shape, dtype, held)
            file.seek(0)
            return _native(npy.read_array(file, allow_pickle=False))
        except _Refused as refused:
            raise error(f"{path}: {refused}. {hint}".rstrip()) from None
        except BROKEN as cause:
            raise error(f"{path}: not a readable npy file ({cause}). {hint}".rstrip()) from cause


def npz_names(path: Path) -> frozenset[str] | None:
    """Return the names of the arrays in an npz file, whatever its suffix, from its table of contents alone.

    None where the path is not a regular file, or the file is no npz or a broken one.
    """
    try:
        with open_regular(path, SageError) as file, zipfile.ZipFile(file) as archive:
            return frozenset(_members(archive, None)) or None
    except (SageError, *BROKEN):
        return None


class _Refused(Exception):
    """A member of the archive is not what it claims to be, or too large."""


def _members(archive: zipfile.ZipFile, names: Collection[str] | None) -> dict[str, zipfile.ZipInfo]:
    """Return the members that are arrays, by the arrays' names."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise _Refused(f"found {len(infos)} members, expected at most {_MAX_MEMBERS}")
    found = {info.filename.removesuffix(_SUFFIX): info for info in infos if info.filename.endswith(_SUFFIX)}
    return {name: info for name, info in found.items() if names is None or name in names}


def _read(archive: zipfile.ZipFile, names: Collection[str] | None, size: int) -> dict[str, np.ndarray]:
    members = _members(archive, names)
    total = 0
    compressed = sum(info.compress_size for info in members.values())
    for name, info in members.items():
        _check_member(name, info)
        total += info.file_size
        if total > MAX_FILE_BYTES:
            raise _Refused(
                f"its arrays up to '{name}' claim {in_bytes(total)}; expected at most {in_bytes(MAX_FILE_BYTES)}"
            )
    if compressed > size:
        raise _Refused(f"its members claim {in_bytes(compressed)} of the file, which has {in_bytes(size)}")
    _check_ratio("its arrays", total, compressed)
    arrays = {}
    for name, info in members.items():
        try:
            array = _read_array(archive, name, info)
        except BROKEN as cause:
            raise _Refused(f"'{name}': not a readable array ({cause}). Write the file again.") from cause
        if array is not None:
            arrays[name] = array
    return arrays


def _check_member(name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise _Refused(f"'{name}': found an encrypted member. Write the file without a password.")
    if info.compress_type not in _METHODS:
        raise _Refused(
            f"'{name}': found compression method {info.compress_type}, expected none or deflate. Write it with numpy."
        )
    if info.file_size > MAX_ARRAY_BYTES:
        raise _Refused(
            f"'{name}': claims {in_bytes(info.file_size)}, expected at most {in_bytes(MAX_ARRAY_BYTES)} for an array"
        )
    _check_ratio(f"'{name}'", info.file_size, info.compress_size)


def _check_ratio(what: str, size: int, compressed: int) -> None:
    if size >= RATIO_FROM and size > MAX_RATIO * compressed:
        raise _Refused(
            f"{what}: found {in_bytes(size)}, compressed to {in_bytes(compressed)}, expected a ratio of at most "
            f"{MAX_RATIO}. This is an archive bomb, or an array of one repeated value."
        )


def _read_array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> np.ndarray | None:
    """Return the array of a member; None for an array of Python objects, which only unpickling could read."""
    with archive.open(info) as member:
        shape, dtype = _read_header(member)
        if dtype.hasobject:
            return None
        _check_size(name, shape, dtype, info.file_size - member.tell())
    with archive.open(info) as member:
        return _native(npy.read_array(member, allow_pickle=False))


def _native(array: np.ndarray) -> np.ndarray:
    """Return the array in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_size(name: str, shape: tuple[int, ...], dtype: np.dtype, held: int) -> None:
    if min(shape, default=0) < 0:
        raise _Refused(f"'{name}': found shape {list(shape)}, expected sizes >= 0")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != held:
        raise _Refused(
            f"'{name}': found shape {list(shape)} of {dtype}, which is {in_bytes(claimed)}, but {in_bytes(held)} "
            "of data. Write the file again."
        )


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(member)
    else:
        raise ValueError(f"version {version} of numpy's format; expected 1.0 or 2.0")
    return shape, dtype
