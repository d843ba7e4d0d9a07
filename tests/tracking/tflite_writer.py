"""Small networks as files in TensorFlow Lite's format, written independently of the reader."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int32): 2, np.dtype(np.int8): 9}
ADD, CONV_2D, DEQUANTIZE, LOGISTIC, CUSTOM = 0, 3, 6, 14, 32


def flatbuffer(root: Mapping[int, Any], identifier: bytes = b"TFL3") -> bytes:
    """Tables are dicts from the numbers of fields to numbers, tables, lists of tables, arrays and bytes."""
    out = bytearray(8)
    out[4:8] = identifier
    struct.pack_into("<I", out, 0, _put(out, root))
    return bytes(out)


def _put(out: bytearray, value: Any) -> int:
    out += bytes(-len(out) % 4)
    if isinstance(value, Mapping):
        return _put_table(out, value)
    place = len(out)
    if isinstance(value, list):
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for index, each in enumerate(value):
            spot = place + 4 + 4 * index
            struct.pack_into("<I", out, spot, _put(out, each) - spot)
        return place
    data = value if isinstance(value, bytes) else value.tobytes()
    out += struct.pack("<I", len(value)) + data
    return place


def _put_table(out: bytearray, fields: Mapping[int, Any]) -> int:
    count = max(fields, default=-1) + 1
    vtable = len(out)
    place = vtable + 4 + 2 * count + (2 * count) % 4
    spots = {field: place + 4 + 4 * index for index, field in enumerate(sorted(fields))}
    out += bytes(place + 4 + 4 * len(fields) - vtable)
    struct.pack_into("<HH", out, vtable, 4 + 2 * count, 4 + 4 * len(fields))
    struct.pack_into("<i", out, place, place - vtable)
    for field, spot in spots.items():
        struct.pack_into("<H", out, vtable + 4 + 2 * field, spot - place)
        value = fields[field]
        if isinstance(value, int):
            struct.pack_into("<i", out, spot, value)
        else:
            struct.pack_into("<I", out, spot, _put(out, value) - spot)
    return place


def model(
    tensors: Sequence[tuple[tuple[int, ...], np.ndarray | None]],
    operations: Sequence[tuple[int, Sequence[int], Sequence[int], Mapping[int, Any]]],
    inputs: Sequence[int],
    outputs: Sequence[int],
    **changes: Any,
) -> bytes:
    """A network: shapes and values of its tensors, and code, inputs, outputs and options of its operations."""
    codes = sorted({code for code, *_ in operations})
    buffers: list[dict[int, Any]] = [{}]
    tables = []
    for shape, values in tensors:
        table: dict[int, Any] = {0: np.array(shape, "<i4")}
        if values is not None:
            table |= {1: TYPES[values.dtype], 2: len(buffers)}
            buffers.append({0: values.tobytes()})
        tables.append(table)
    steps = [
        {0: codes.index(code), 1: np.array(ins, "<i4"), 2: np.array(outs, "<i4"), **options}
        for code, ins, outs, options in operations
    ]
    subgraph = {0: tables, 1: np.array(inputs, "<i4"), 2: np.array(outputs, "<i4"), 3: steps}
    custom = {1: changes.get("custom", b"Unheard")}
    root = {
        0: changes.get("version", 3),
        1: [{0: min(code, 127), 3: code, **(custom if code == CUSTOM else {})} for code in codes],
        2: [subgraph] * changes.get("subgraphs", 1),
        4: buffers,
    }
    return flatbuffer(root)


WEIGHT = np.arange(2 * 3 * 3 * 2, dtype=np.float16).reshape(2, 3, 3, 2) / 16
BIAS = np.array([0.5, -0.25], np.float16)


def small_network() -> bytes:
    """A picture [1, 4, 4, 2], folded with half-precision weights, then its logistic function."""
    return model(
        [
            ((1, 4, 4, 2), None),
            (WEIGHT.shape, WEIGHT),
            (BIAS.shape, BIAS),
            (WEIGHT.shape, None),
            (BIAS.shape, None),
            ((1, 2, 2, 2), None),
            ((1, 2, 2, 2), None),
        ],
        [
            (DEQUANTIZE, [1], [3], {}),
            (DEQUANTIZE, [2], [4], {}),
            (CONV_2D, [0, 3, 4], [5], {3: 1, 4: {1: 2, 2: 2}}),
            (LOGISTIC, [5], [6], {}),
        ],
        [0],
        [6],
    )


def task(members: Mapping[str, bytes]) -> bytes:
    """A zip of TensorFlow Lite files, as Google's `.task` files are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
