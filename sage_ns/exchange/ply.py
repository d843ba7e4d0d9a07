"""PLY files of one element, `vertex`, whose properties are plain numbers: the exchange format of splat programs.

This module replaces plyfile, which is under the GPL: importing it would put its terms on this package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32

from sage_ns.errors import SageError
from sage_ns.system.files import whole_file
from sage_ns.system.json_files import shown
from sage_ns.system.npz_reader import MAX_ARRAY_BYTES
from sage_ns.system.user_files import in_bytes, open_regular

_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}
_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 16


class SplatFileError(SageError):
    """A splat file is missing, broken, of another kind, or does not fit the head model."""


def write_ply(path: Path, properties: Mapping[str, Float32[np.ndarray, "num"]], comments: Sequence[str] = ()) -> None:
    """Write float32 properties, in the order given, as binary little-endian PLY."""
    columns = {name: np.asarray(values, dtype="<f4") for name, values in properties.items()}
    table = np.stack(list(columns.values()), axis=-1)
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {comment}" for comment in comments),
        f"element vertex {len(table)}",
        *(f"property float {name}" for name in columns),
        "end_header",
    ]
    with whole_file(path) as unfinished:
        unfinished.write_bytes("\n".join([*header, ""]).encode("ascii") + table.tobytes())


def read_ply(path: Path) -> dict[str, np.ndarray]:
    """Read the properties of the vertices of a binary PLY, by name, in the file's order and types.

    Raises:
        SplatFileError: The file is missing, broken or text, or contains anything but vertices of plain numbers.
    """
    with open_regular(path, SplatFileError) as file:
        dtype, num_vertices = _read_header(path, file)
        # Compared before anything is read: the file may be larger than the memory.
        size = os.fstat(file.fileno()).st_size - file.tell()
        if size != num_vertices * dtype.itemsize:
            raise SplatFileError(
                f"{path}: found {size} bytes after the header, expected {num_vertices} vertices of "
                f"{dtype.itemsize} bytes. It may be truncated: write it again."
            )
        if size > MAX_ARRAY_BYTES:
            raise SplatFileError(f"{path}: holds {in_bytes(size)}, expected at most {in_bytes(MAX_ARRAY_BYTES)}")
        content = file.read()
    table = np.frombuffer(content, dtype)
    return {name: table[name] for name in dtype.names or ()}


def _read_header(path: Path, file: BinaryIO) -> tuple[np.dtype, int]:
    lines = _header_lines(path, file)
    byte_order, num_vertices, properties = "", -1, []
    for line in lines:
        words = line.split()
        match words:
            case ["format", name, _] if name in _BYTE_ORDERS:
                byte_order = _BYTE_ORDERS[name]
            case ["element", "vertex", count] if num_vertices < 0 and count.isdecimal() and len(count) < 16:
                num_vertices = int(count)
            case ["property", kind, name] if kind in _TYPES and num_vertices >= 0:
                properties.append((name, _TYPES[kind]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise SplatFileError(
                    f"{path}: found {shown(line)} in the header, expected binary vertices with properties of plain "
                    "numbers, as 3D Gaussian splatting programs write them"
                )
    names = [name for name, _ in properties]
    if not byte_order or not properties or len(set(names)) != len(names):
        raise SplatFileError(f"{path}: the header has no format, no vertex properties, or a property twice")
    return np.dtype([(name, byte_order + kind) for name, kind in properties]), num_vertices


def _header_lines(path: Path, file: BinaryIO) -> list[str]:
    if file.readline(16).strip() != b"ply":
        raise SplatFileError(f"{path}: not a PLY file: it does not begin with 'ply'")
    lines: list[str] = []
    while file.tell() < _LONGEST_HEADER and (line := file.readline(_LONGEST_HEADER)):
        if line.strip() == b"end_header":
            return lines
        lines.append(line.decode("ascii", errors="replace").strip())
    raise SplatFileError(f"{path}: the header has no end. It may be truncated: write it again.")
