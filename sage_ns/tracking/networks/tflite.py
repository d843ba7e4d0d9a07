"""Read networks in TensorFlow Lite's format (version 3), as far as the networks for faces and people need it.

Format: `schema.fbs` of TensorFlow Lite (tensorflow/lite/schema, Apache-2.0), from which the numbers of fields and
operations are. Nothing in the file is run; an operation that is not in `OPTIONS` is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from sage_ns.errors import NetworkError
from sage_ns.tracking.networks.flatbuffer import Table, Truncated, root
from sage_ns.tracking.networks.graph import HINT, MOST_AXES, MOST_TENSORS, MOST_VALUES, Graph, Operation

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of a file."""
_VERSION = 3
_CUSTOM = 32
_DEQUANTIZE = 6
_BUILTIN = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 14: "LOGISTIC",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 34: "PAD", 39: "TRANSPOSE",
    40: "MEAN", 41: "SUB", 42: "DIV", 45: "STRIDED_SLICE", 54: "PRELU", 59: "NEG", 74: "SUM", 75: "SQRT", 76: "RSQRT",
    99: "SQUARED_DIFFERENCE", 117: "HARD_SWISH",
}  # fmt: skip
"""Names of the operations that are read, by their codes."""
TRANSPOSE_CONV_BIAS = "Convolution2DTransposeBias"
"""MediaPipe's own operation: a transposed convolution with a bias."""

Entry = TypeVar("Entry")
_Field = tuple[str, str, int]
"""Name, kind of number and default; the place in the list is the number of the field."""
_STRIDES: tuple[_Field, ...] = (("padding", "b", 0), ("stride_w", "i", 0), ("stride_h", "i", 0))
_DILATION: tuple[_Field, ...] = (("dilation_w_factor", "i", 1), ("dilation_h_factor", "i", 1))
_ACTIVATION: _Field = ("fused_activation_function", "b", 0)
_POOL = (*_STRIDES, ("filter_width", "i", 0), ("filter_height", "i", 0), _ACTIVATION)
_KEEP_DIMS: tuple[_Field, ...] = (("keep_dims", "b", 0),)
OPTIONS: Mapping[str, tuple[_Field, ...]] = {
    "CONV_2D": (*_STRIDES, _ACTIVATION, *_DILATION),
    "DEPTHWISE_CONV_2D": (*_STRIDES, ("depth_multiplier", "i", 0), _ACTIVATION, *_DILATION),
    "MAX_POOL_2D": _POOL,
    "AVERAGE_POOL_2D": _POOL,
    "ADD": (_ACTIVATION,),
    "SUB": (_ACTIVATION,),
    "MUL": (_ACTIVATION,),
    "DIV": (_ACTIVATION,),
    "MEAN": _KEEP_DIMS,
    "SUM": _KEEP_DIMS,
    "CONCATENATION": (("axis", "i", 0), _ACTIVATION),
    "RESIZE_BILINEAR": (("new_height", "i", 0), ("new_width", "i", 0), ("align_corners", "b", 0),
                        ("half_pixel_centers", "b", 0)),
    "STRIDED_SLICE": (("begin_mask", "i", 0), ("end_mask", "i", 0), ("ellipsis_mask", "i", 0),
                      ("new_axis_mask", "i", 0), ("shrink_axis_mask", "i", 0)),
}  # fmt: skip
"""Fields of the operations' options; those that are not here have none that count."""
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8"}
"""numpy's names of the types of tensors, by their codes."""
_TYPE_NAMES = {3: "uint8", 9: "int8", 7: "int16", 6: "bool", 5: "string"}


def read_tflite(content: bytes, source: str) -> Graph:
    """Return the network of a file.

    Args:
        content: the whole file.
        source: its name, for messages.

    Raises:
        NetworkError: the file is cut or broken, of another kind or version, or uses types or operations that are not
            read; names the file and what was found.
    """
    if content[4:8] != IDENTIFIER:
        raise NetworkError(f"{source}: is no network of TensorFlow Lite (bytes 4 to 8 are not 'TFL3'). {HINT}")
    try:
        graph = _read(root(content), source)
    except Truncated as fault:
        raise NetworkError(f"{source}: is cut or broken: {fault}. {HINT}") from None
    graph.check(source)
    return graph


def _read(model: Table, source: str) -> Graph:
    version = model.whole(0, "I")
    if version != _VERSION:
        raise NetworkError(
            f"{source}: found version {version} of TensorFlow Lite's format, expected {_VERSION}. {HINT}"
        )
    subgraphs = model.tables(2, 64)
    if len(subgraphs) != 1:
        raise NetworkError(f"{source}: found {len(subgraphs)} networks in one file, expected 1. {HINT}")
    codes = [_code(each) for each in model.tables(1, 1000)]
    buffers = model.tables(4, MOST_TENSORS)
    tensors = subgraphs[0].tables(0, MOST_TENSORS)
    shapes = tuple(tuple(each.numbers(0, "<i4").tolist()) for each in tensors)
    constants = {}
    for number, tensor in enumerate(tensors):
        values = _constant(tensor, shapes[number], buffers, f"{source}: tensor {number}")
        if values is not None:
            constants[number] = values
    operations = []
    for step, each in enumerate(subgraphs[0].tables(3, MOST_TENSORS)):
        place = f"{source}: operation {step}"
        code, name = _entry(codes, each.whole(0, "I"), place, "kinds of operations")
        inputs, outputs = (tuple(each.numbers(field, "<i4").tolist()) for field in (1, 2))
        if len(outputs) != 1:
            raise NetworkError(f"{place}: found {len(outputs)} outputs, expected 1. {HINT}")
        if code == _DEQUANTIZE and inputs and inputs[0] in constants:  # half precision, widened when the network runs
            constants[outputs[0]] = constants[inputs[0]]
            continue
        kind: str = _BUILTIN.get(code) or name
        operations.append(Operation(kind, inputs, outputs[0], _options(code, kind, each, place)))
    inputs, outputs = (tuple(subgraphs[0].numbers(field, "<i4").tolist()) for field in (1, 2))
    return _compact(shapes, inputs, outputs, constants, operations)


def _code(table: Table) -> tuple[int, str]:
    """Return the code of an operation, and the name of a custom one. Files from before 2020 have the first field."""
    name = table.raw(1)[:100].decode("ascii", "replace")
    return max(table.whole(0, "b"), table.whole(3)), name


def _entry(entries: Sequence[Entry], index: int, place: str, what: str) -> Entry:
    if not 0 <= index < len(entries):
        raise NetworkError(f"{place}: refers to entry {index} of {len(entries)} {what}. {HINT}")
    return entries[index]


def _constant(tensor: Table, shape: tuple[int, ...], buffers: list[Table], place: str) -> np.ndarray | None:
    """Return the values of a tensor; None for one that an operation makes."""
    buffer = _entry(buffers, tensor.whole(2, "I"), place, "buffers")
    data = buffer.raw(0)
    if not data:
        if buffer.whole(1, "Q") > 1:
            raise NetworkError(f"{place}: its values lie outside the FlatBuffer, which is not read. {HINT}")
        return None
    kind = tensor.whole(1, "b")
    if kind not in _TYPES:
        raise NetworkError(
            f"{place}: found type {_TYPE_NAMES.get(kind, kind)}, expected floating point or int32. Use the network in "
            "float16 or float32, not a quantised one."
        )
    if tensor.table(6) is not None:
        raise NetworkError(f"{place}: found sparse values, which are not read. Use a network without them.")
    sound = len(shape) <= MOST_AXES and min(shape, default=1) >= 1 and math.prod(shape) <= MOST_VALUES
    dtype = np.dtype(_TYPES[kind])
    if not sound or math.prod(shape) * dtype.itemsize != len(data):
        raise NetworkError(f"{place}: found {len(data)} bytes for shape {list(shape)[:8]} of {dtype}. {HINT}")
    return np.frombuffer(data, dtype).reshape(shape)


def _options(code: int, kind: str, operation: Table, place: str) -> dict[str, tuple[int, ...]]:
    if code not in _BUILTIN and not (code == _CUSTOM and kind == TRANSPOSE_CONV_BIAS):
        named = f"'{kind}'" if kind else f"with the code {code}"
        known = ", ".join([*_BUILTIN.values(), TRANSPOSE_CONV_BIAS])
        raise NetworkError(f"{place}: found an operation {named}, expected one of {known}. Use another network.")
    if code == _CUSTOM:
        raw = operation.raw(5)
        if len(raw) != 12:
            raise NetworkError(f"{place} ({kind}): found options of {len(raw)} bytes, expected 12. {HINT}")
        padding, stride_w, stride_h = np.frombuffer(raw, "<i4").tolist()
        # TfLitePadding counts from 1, the schema from 0.
        return {"padding": (padding - 1,), "stride_w": (stride_w,), "stride_h": (stride_h,)}
    table = operation.table(4)
    if kind == "RESHAPE":
        return {} if table is None else {"new_shape": tuple(table.numbers(0, "<i4").tolist())}
    fields = OPTIONS.get(kind, ())
    return {
        name: (default if table is None else table.whole(field, size, default),)
        for field, (name, size, default) in enumerate(fields)
    }


def _compact(
    shapes: tuple[tuple[int, ...], ...],
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    constants: Mapping[int, np.ndarray],
    operations: Iterable[Operation],
) -> Graph:
    """Leave out the tensors that no operation uses, such as those in half precision, and number the others anew."""
    operations = tuple(operations)
    used = {*inputs, *outputs, *(number for each in operations for number in (*each.inputs, each.output))}
    order = {old: new for new, old in enumerate(sorted(number for number in used if 0 <= number < len(shapes)))}

    def renumbered(numbers: Iterable[int]) -> tuple[int, ...]:
        # One that no tensor has stays out of range, for `Graph.check` to refuse; -1 stays, for an absent one.
        return tuple(order.get(number, -1 if number == -1 else len(shapes)) for number in numbers)

    return Graph(
        tuple(shapes[old] for old in order),
        renumbered(inputs),
        renumbered(outputs),
        {order[old]: values for old, values in constants.items() if old in order},
        tuple(
            Operation(each.kind, renumbered(each.inputs), renumbered([each.output])[0], each.options)
            for each in operations
        ),
    )
