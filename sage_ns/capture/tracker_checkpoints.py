"""Read FLAME motion from the checkpoints of metrical-tracker, which INSTA, FlashAvatar and others use.

`torch.save` writes `<actor>/checkpoint/{id:05d}.frame` from a dict of numpy arrays: a zip archive with a pickle.
The pickle is read as data (`sage_ns.system.safe_pickle`), never executed. This module reads from its key "flame":
"exp" [1, E], "jaw" [1, 6] and "eyes" [1, 12] (left, right), the last two as 6D rotations in PyTorch3D's convention
(first two rows of the matrix). The tracker keeps the head still in FLAME's space and moves the camera instead: global
rotation, neck and translation are zero. It closes eyes with two additional blendshapes ("eyelids" [1, 2], left and
right), which FLAME does not have; `sage_ns.rig.eyelids` adds them to a head model.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.camera_checks import camera_to_world
from sage_ns.errors import CaptureError, HeadModelError
from sage_ns.geometry.rotations import matrix_to_axis_angle, rotation_6d_to_matrix
from sage_ns.rig import FlameParams
from sage_ns.system.array_fields import ArrayFields
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.pickle_limits import MAX_PICKLE_BYTES
from sage_ns.system.safe_pickle import unpickle
from sage_ns.system.user_files import in_bytes, open_regular

SUFFIX = ".frame"
EYELIDS_IN_USE = 0.2
"""Eyelid coefficients (0 open, 1 closed) below this are noise of the tracker."""
_MOST_6D = 100.0
"""Numbers of a 6D rotation, which the tracker keeps near unit length but does not normalise."""
_HINT = "Give metrical-tracker's own checkpoints (<actor>/checkpoint/*.frame)."


def load_tracker_checkpoints(paths: Sequence[Path]) -> tuple[FlameParams, Float[Tensor, "num_timesteps 2"]]:
    """Return the motion of a sequence of checkpoints, one timestep each.

    Args:
        paths: The `.frame` files in the order of time, at least one.

    Returns:
        The motion (without identity), and the coefficients of the left and right eyelid (0 open, 1 closed).

    Raises:
        CaptureError: A file is not a checkpoint or contains more than arrays; or a field is missing, misshapen or not
            finite.
    """
    rows = [_read(path) for path in paths]
    check_same_sizes(paths, [len(expr) for expr, _, _ in rows])
    turns = matrix_to_axis_angle(torch.stack([turn for _, turn, _ in rows]))
    num = len(rows)
    params = FlameParams(
        shape=torch.zeros(0),
        expr=torch.stack([expr for expr, _, _ in rows]),
        rotation=torch.zeros(num, 3),
        neck_pose=torch.zeros(num, 3),
        jaw_pose=turns[:, 0],
        eyes_pose=turns[:, 1:].flatten(1),
        translation=torch.zeros(num, 3),
    )
    return params, torch.stack([lids for _, _, lids in rows])


def num_moved_eyelids(eyelids: Float[Tensor, "num_timesteps 2"]) -> int:
    """Return the number of timesteps that move an eyelid by more than the tracker's noise (`EYELIDS_IN_USE`)."""
    return int((eyelids.abs() > EYELIDS_IN_USE).any(dim=1).sum())


def _read(path: Path) -> tuple[Float[Tensor, "num_expression"], Float[Tensor, "3 3 3"], Float[Tensor, "2"]]:
    """Return expression, rotations of jaw, left and right eye, and the coefficients of the eyelids."""
    read = read_checkpoint(path)
    expr = read.floats("flame.exp", "1 num_expression")[0]
    turns = torch.cat([rotations_6d(read, "flame.jaw"), rotations_6d(read, "flame.eyes", 2)])
    return expr, turns, eyelids_of(read)


def rotations_6d(read: ArrayFields, key: str, count: int = 1) -> Float[Tensor, "count 3 3"]:
    """Return rotations that a checkpoint stores as one row of 6D rotations.

    Raises:
        CaptureError: The field is missing, misshapen or not finite, or holds no rotations.
    """
    rows = read.floats(key, f"1 {6 * count}").reshape(count, 6)
    read.check_magnitude(key, rows, _MOST_6D)
    if bool((torch.linalg.cross(rows[:, :3], rows[:, 3:]).norm(dim=-1) < 1e-6).any()):
        raise CaptureError(f"{read.source}: '{key}' is not a 6D rotation (its two rows are parallel). {read.hint}")
    return rotation_6d_to_matrix(rows)


def eyelids_of(read: ArrayFields) -> Float[Tensor, "2"]:
    """Return the coefficients of the left and the right eyelid in a checkpoint; zeros where it has none."""
    return read.floats("flame.eyelids", "1 2")[0] if "flame.eyelids" in read else torch.zeros(2)


def world_to_camera(read: ArrayFields, rotation: str, translation: str) -> Float[np.ndarray, "4 4"]:
    """Return the rigid motion of a checkpoint's fields [1, 3, 3] and [1, 3], metres.

    Raises:
        CaptureError: A field is missing, misshapen or not finite, or the first one is no rotation.
    """
    motion = np.eye(4)
    motion[:3, :3] = read.floats(rotation, "1 3 3")[0].double().numpy()
    motion[:3, 3] = read.floats(translation, "1 3")[0].double().numpy()
    return camera_to_world(motion, read.source, rotation)


def checkpoints_in(path: Path) -> list[Path]:
    """Return the `.frame` files that a path is or contains, directly or in its folder `checkpoint`, in no order."""
    if path.is_file():
        return [path] if path.suffix == SUFFIX else []
    return list((path / "checkpoint").glob(f"*{SUFFIX}")) or list(path.glob(f"*{SUFFIX}"))


def check_same_sizes(paths: Sequence[Path], sizes: Sequence[int]) -> None:
    """Refuse checkpoints with different numbers of expression coefficients.

    Raises:
        CaptureError: Names the first file with another number than the first one.
    """
    other = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        raise CaptureError(
            f"{paths[other]}: 'flame.exp' has {sizes[other]} coefficients, but {paths[0]} has {sizes[0]}. {_HINT}"
        )


def read_checkpoint(path: Path, groups: Sequence[str] = ("opencv",), hint: str = _HINT) -> ArrayFields:
    """Return the arrays of a checkpoint's group "flame" and, if present, of other groups, under names like "flame.exp".

    Arrays beside the groups keep their own names.

    Args:
        path: The file.
        groups: Names of the other groups.
        hint: What the user should do; ends every error message.

    Raises:
        CaptureError: The file is not a checkpoint, or contains other things than arrays.
    """
    contents = _contents(path, hint)
    arrays: dict[str, Any] = {name: value for name, value in contents.items() if not isinstance(value, Mapping)}
    for group in ("flame", *groups):
        found = contents.get(group, None if group == "flame" else {})
        if not isinstance(found, Mapping):
            raise CaptureError(f"{path}: '{group}': found {type(found).__name__}, expected a dict of arrays. {hint}")
        arrays |= {f"{group}.{key}": value for key, value in found.items()}
    return ArrayFields(str(path), arrays, CaptureError, hint)


def pickle_of(path: Path) -> bytes:
    """Return the pickle of a file of `torch.save`, or b"" if it is none, to look for names of fields in it."""
    try:
        with open_regular(path, CaptureError) as file, zipfile.ZipFile(file) as archive:
            return _pickled(archive, path, "")
    except (CaptureError, *BROKEN):
        return b""


def _contents(path: Path, hint: str) -> Mapping[str, Any]:
    with open_regular(path, CaptureError, hint) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                pickled = _pickled(archive, path, hint)
        except BROKEN as error:
            raise CaptureError(f"{path}: not a checkpoint of torch.save ({error}). {hint}") from error
    try:
        return unpickle(pickled, str(path))
    except HeadModelError as error:
        raise CaptureError(str(error)) from error


def _pickled(archive: zipfile.ZipFile, path: Path, hint: str) -> bytes:
    inner = next((info for info in archive.infolist() if info.filename.rpartition("/")[2] == "data.pkl"), None)
    if inner is None:
        raise CaptureError(f"{path}: no 'data.pkl' in the archive: not written by torch.save. {hint}")
    if inner.file_size > MAX_PICKLE_BYTES:
        found, expected = in_bytes(inner.file_size), in_bytes(MAX_PICKLE_BYTES)
        raise CaptureError(f"{path}: 'data.pkl' claims {found}, expected at most {expected}. {hint}")
    return archive.read(inner)
