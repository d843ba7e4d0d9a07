"""Files of networks: this package's npz, Google's `.task` (a zip of TensorFlow Lite files), and single `.tflite` files.

An npz holds for each network NAME two arrays: `NAME.structure` (JSON as UTF-8: shapes, operations, and the constants
that are integers) and `NAME.weights` (the other constants in half precision, one after another).
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage_ns.errors import NetworkError
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.json_files import MAX_JSON_VALUES
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.typed_json import plain, typed
from sage_ns.system.user_files import check_regular, open_regular, read_bytes
from sage_ns.system.zip_members import read_members
from sage_ns.tracking.networks.graph import HINT, Graph, Operation, check_shapes
from sage_ns.tracking.networks.tflite import IDENTIFIER, read_tflite

_SUFFIX = ".tflite"
_STRUCTURE, _WEIGHTS = ".structure", ".weights"
_MOST_BYTES = 256 * 2**20
"""Of a file; the largest known one has 4 MiB."""


@dataclass(frozen=True)
class _Constant:
    """A constant in a structure: integers, or the next weights."""

    tensor: int
    integers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class _Structure:
    """All of a network but its weights."""

    shapes: tuple[tuple[int, ...], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: tuple[_Constant, ...]
    operations: tuple[Operation, ...]


def read_graphs(path: Path, names: Collection[str]) -> dict[str, Graph]:
    """Return networks from a file of any of the three kinds; its content, not its suffix, says which.

    Args:
        path: the file.
        names: the networks that are needed. A `.tflite` file has no names: it can only be read for one.

    Raises:
        NetworkError: the file cannot be read, or lacks a network; names the file and what is wrong.
    """
    check_regular(path, NetworkError)
    if _begins_as_tflite(path):
        if len(names) != 1:
            raise NetworkError(
                f"{path}: holds one network, expected {', '.join(sorted(names))}. Use the .task file that has them all."
            )
        return {name: read_tflite(read_bytes(path, NetworkError, _MOST_BYTES), str(path)) for name in names}
    if _holds_tflite(path):
        return _read_task(path, names)
    return _read_npz(path, names)


def write_graphs(path: Path, graphs: Mapping[str, Graph]) -> None:
    """Write networks as npz, compressed.

    Raises:
        NetworkError: a weight does not fit half precision.
        WriteError: the file cannot be written.
    """
    arrays = {}
    for name, graph in graphs.items():
        structure, weights = _structure(graph)
        arrays[name + _STRUCTURE] = np.frombuffer(json.dumps(plain(structure), separators=(",", ":")).encode(), "u1")
        arrays[name + _WEIGHTS] = weights
    write_npz(path, arrays, compress=True)


def _structure(graph: Graph) -> tuple[_Structure, np.ndarray]:
    constants, weights = [], [np.zeros(0, np.float16)]
    for number, values in sorted(graph.constants.items()):
        if values.dtype.kind == "f":
            weights.append(_halved(values, number))
            constants.append(_Constant(number))
        else:
            constants.append(_Constant(number, tuple(values.reshape(-1).tolist())))
    structure = _Structure(graph.shapes, graph.inputs, graph.outputs, tuple(constants), graph.operations)
    return structure, np.concatenate(weights)


def _halved(values: np.ndarray, number: int) -> np.ndarray:
    """Return weights in half precision, flat; those that were published in it stay exactly what they are."""
    with np.errstate(over="ignore"):
        halved = values.astype(np.float16).reshape(-1)
    if not np.isfinite(halved).all():
        raise NetworkError(f"constant {number}: found weights up to {np.abs(values).max():g}, too large for float16.")
    return halved


def _begins_as_tflite(path: Path) -> bool:
    with open_regular(path, NetworkError) as file:
        return file.read(8)[4:] == IDENTIFIER


def _holds_tflite(path: Path) -> bool:
    try:
        with open_regular(path, NetworkError) as file, zipfile.ZipFile(file) as archive:
            return any(name.endswith(_SUFFIX) for name in archive.namelist())
    except BROKEN:
        return False  # the reader of npz files says what is wrong


def read_task_members(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the content of the TensorFlow Lite files in a `.task` file, by the names of the networks.

    Raises:
        NetworkError: the file cannot be read, or lacks a network.
    """
    members = read_members(path, NetworkError, lambda name: name.removesuffix(_SUFFIX) in names, _MOST_BYTES, HINT)
    missing = {name for name in names if name + _SUFFIX not in members}
    if missing:
        raise NetworkError(f"{path}: has no {sorted(missing)[0]}{_SUFFIX}. Use the .task file that has it.")
    return {name: members[name + _SUFFIX] for name in names}


def _read_task(path: Path, names: Collection[str]) -> dict[str, Graph]:
    contents = read_task_members(path, names)
    return {name: read_tflite(content, f"{path}: {name}{_SUFFIX}") for name, content in contents.items()}


def _read_npz(path: Path, names: Collection[str]) -> dict[str, Graph]:
    wanted = [name + part for name in names for part in (_STRUCTURE, _WEIGHTS)]
    hint = "Write it again with sage_ns.tracking.convert_task."
    fields = ArrayFields(str(path), read_npz(path, NetworkError, wanted), NetworkError, hint)
    return {name: _from_npz(fields, name, hint) for name in names}


def _from_npz(fields: ArrayFields, name: str, hint: str) -> Graph:
    place = f"{fields.source}: {name}"
    text = fields.pixels(name + _STRUCTURE, "num_bytes_of_" + name).tobytes()
    if text.count(b",") > MAX_JSON_VALUES:
        raise fields.fail(name + _STRUCTURE, "millions of values", "the structure of a network")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise fields.fail(name + _STRUCTURE, f"no JSON ({cause})", "the structure of a network") from cause
    structure = typed(_Structure, content, place, NetworkError, hint)
    check_shapes(structure.shapes, place)
    weights = fields.floats(name + _WEIGHTS, "num_weights_of_" + name).numpy()
    graph = Graph(
        structure.shapes,
        structure.inputs,
        structure.outputs,
        _constants(structure, weights, place, hint),
        structure.operations,
    )
    graph.check(place)
    return graph


def _constants(structure: _Structure, weights: np.ndarray, place: str, hint: str) -> dict[int, np.ndarray]:
    constants, start = {}, 0
    for each in structure.constants:
        if not 0 <= each.tensor < len(structure.shapes):
            raise NetworkError(f"{place}: has a constant {each.tensor}, but {len(structure.shapes)} tensors. {hint}")
        shape = structure.shapes[each.tensor]
        size = math.prod(shape)
        if each.integers is None:
            values = weights[start : start + size]
            start += size
        else:
            try:
                values = np.array(each.integers, dtype=np.int64)
            except OverflowError:
                raise NetworkError(
                    f"{place}: constant {each.tensor}: found an integer beyond 64 bits. {hint}"
                ) from None
        if values.size != size:
            raise NetworkError(f"{place}: constant {each.tensor}: found {values.size} values, expected {size}. {hint}")
        constants[each.tensor] = values.reshape(shape)
    if start != len(weights):
        raise NetworkError(f"{place}: found {len(weights)} weights, expected {start}. {hint}")
    return constants
