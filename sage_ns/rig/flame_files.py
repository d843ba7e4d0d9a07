"""Files of FLAME parameters: reading and checking the fields of one npz, and the order of files in a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from sage_ns.errors import FlameParamsError
from sage_ns.system.array_fields import ArrayFields, read_npz

MOTION_SHAPES = {
    "expr": "num_timesteps num_expression",
    "rotation": "num_timesteps 3",
    "neck_pose": "num_timesteps 3",
    "jaw_pose": "num_timesteps 3",
    "eyes_pose": "num_timesteps 6",
    "translation": "num_timesteps 3",
}
"""Fields with one row per timestep. The first defines the number of timesteps that the others must have."""
IDENTITY_SHAPES = {"shape": "num_shape", "static_offset": "num_vertices 3"}
_MOST_DIGITS = 18
"""Of a number in a name; more do not fit into 64 bits."""
EXPORT_AGAIN = "Export the sequence again with its tracker."


def read_fields(path: Path, identity: Collection[str] = tuple(IDENTITY_SHAPES)) -> dict[str, Tensor]:
    """Load the fields of `FlameParams` from an npz file; `static_offset` only if the file has one.

    Args:
        path: The npz file.
        identity: Fields of `IDENTITY_SHAPES` to load. The others may be absent or have any shape.

    Raises:
        FlameParamsError: The file is missing or broken, or a field is missing, misshapen or not finite.
    """
    shapes = {**MOTION_SHAPES, **{name: IDENTITY_SHAPES[name] for name in identity}}
    arrays = read_npz(path, FlameParamsError, shapes)
    arrays = {name: _with_usual_dimensions(name, array) for name, array in arrays.items()}
    read = ArrayFields(str(path), arrays, FlameParamsError, EXPORT_AGAIN)
    fields = {}
    for name, shape in shapes.items():
        if name == "static_offset" and name not in read:
            continue
        fields[name] = read.floats(name, shape)
        if name == "expr" and len(fields[name]) == 0:
            raise read.fail("expr", "no timesteps", "at least one")
    return fields


def in_time_order(paths: Iterable[Path]) -> list[Path]:
    """Sort files that are numbered by their names in the order of the numbers: 9 before 10."""
    return sorted(paths, key=lambda path: (len(path.stem), path.stem))


def timesteps_of(paths: Sequence[Path]) -> list[int]:
    """Return the timestep ids of files: the numbers in their names, or else their positions in the sequence."""

    def numbered(stem: str) -> bool:
        return stem.isdecimal() and len(stem) <= _MOST_DIGITS

    return [int(path.stem) if numbered(path.stem) else row for row, path in enumerate(paths)]


def _with_usual_dimensions(name: str, array: np.ndarray) -> np.ndarray:
    """Normalise leading dimensions of size 1, which differ between files: none for a shape, timesteps for motion."""
    if name == "shape" and array.ndim == 2 and len(array) and (array == array[:1]).all():
        return array[0]
    if name == "static_offset" and array.ndim == 3 and len(array) == 1:
        return array[0]
    if name in MOTION_SHAPES and array.ndim == 1:
        return array[None]
    return array
