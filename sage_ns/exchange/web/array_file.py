"""Named arrays in one binary file that JavaScript reads without copying.

Layout, little-endian: the 8 bytes `SAGEWEB1`, the length of the header in bytes (uint32), 4 unused bytes, the header as
JSON in UTF-8, and the arrays one after the other. The header's `arrays` gives type, shape and offset of each by name.
Offsets count from the file's start and are multiples of 8, as typed arrays require.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

MAGIC = b"SAGEWEB1"
TYPES = ("float32", "float16", "int16", "uint32", "uint16", "uint8")
_ALIGNMENT = 8
_BEFORE_HEADER = 16


def array_file(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode a header and arrays as the content of a file.

    Args:
        header: values that JSON can represent, without the key `arrays`.
        arrays: arrays of the types in `TYPES`, by name.

    Raises:
        TypeError: an array is of another type.
    """
    for name, array in arrays.items():
        if array.dtype.name not in TYPES:
            raise TypeError(f"array '{name}' is {array.dtype.name}, expected one of {', '.join(TYPES)}")
    # The header contains the offsets of the arrays, and the offsets depend on the header's length. The length is
    # therefore reserved for the longest possible offsets.
    room = _aligned(_BEFORE_HEADER + len(_encoded(header, _table(arrays, 10**9))))
    encoded = _encoded(header, _table(arrays, room)).ljust(room - _BEFORE_HEADER)
    parts = [MAGIC, np.array([len(encoded), 0], "<u4").tobytes(), encoded]
    for array in arrays.values():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        parts.append(data.ljust(_aligned(len(data)), b"\0"))
    return b"".join(parts)


def _table(arrays: Mapping[str, np.ndarray], start: int) -> dict[str, Any]:
    table = {}
    for name, array in arrays.items():
        table[name] = {"type": array.dtype.name, "shape": list(array.shape), "offset": start}
        start += _aligned(array.nbytes)
    return table


def _encoded(header: Mapping[str, Any], table: Mapping[str, Any]) -> bytes:
    return json.dumps({**header, "arrays": table}, separators=(",", ":")).encode()


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
