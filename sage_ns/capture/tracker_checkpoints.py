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

import torch
from jaxtyping import Float
from torch import Tensor

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
    sizes = [len(expr) for expr, _, _ in rows]
    other = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        raise CaptureError(
            f"{paths[other]}: 'flame.exp' has {sizes[other]} coefficients, but {paths[0]} has {sizes[0]}. {_HINT}"
        )
    turns = matrix_to_axis_angle(rotation_6d_to_matrix(torch.stack([turn for _, turn, _ in rows])))
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


def _read(path: Path) -> tuple[Float[Tensor, "num_expression"], Float[Tensor, "3 6"], Float[Tensor, "2"]]:
    """Return expression, 6D rotations of jaw, left and right eye, and the coefficients of the eyelids."""
    read = read_checkpoint(path)
    expr = read.floats("flame.exp", "1 num_expression")[0]
    turns = torch.cat([read.floats("flame.jaw", "1 6"), read.floats("flame.eyes", "1 12").reshape(2, 6)])
    for name, rows in (("flame.jaw", turns[:1]), ("flame.eyes", turns[1:])):
        read.check_magnitude(name, rows, _MOST_6D)
    if bool((torch.linalg.cross(turns[:, :3], turns[:, 3:]).norm(dim=-1) < 1e-6).any()):
        raise CaptureError(
            f"{path}: 'flame.jaw' or 'flame.eyes' is not a 6D rotation (its two rows are parallel). {_HINT}"
        )
    lids = read.floats("flame.eyelids", "1 2") if "flame.eyelids" in read else torch.zeros(1, 2)
    return expr, turns, lids[0]


def read_checkpoint(path: Path) -> ArrayFields:
    """Return the arrays of a checkpoint's groups "flame" and, if present, "opencv", under names like "flame.exp".

    Raises:
        CaptureError: The file is not a checkpoint, or contains other things than arrays.
    """
    contents = _contents(path)
    arrays: dict[str, Any] = {}
    for group in ("flame", "opencv"):
        found = contents.get(group, {} if group == "opencv" else None)
        if not isinstance(found, Mapping):
            raise CaptureError(f"{path}: '{group}': found {type(found).__name__}, expected a dict of arrays. {_HINT}")
        arrays |= {f"{group}.{key}": value for key, value in found.items()}
    return ArrayFields(str(path), arrays, CaptureError, _HINT)


def _contents(path: Path) -> Mapping[str, Any]:
    with open_regular(path, CaptureError, _HINT) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                pickled = _pickled(archive, path)
        except BROKEN as error:
            raise CaptureError(f"{path}: not a checkpoint of torch.save ({error}). {_HINT}") from error
    try:
        return unpickle(pickled, str(path))
    except HeadModelError as error:
        raise CaptureError(str(error)) from error


def _pickled(archive: zipfile.ZipFile, path: Path) -> bytes:
    inner = next((info for info in archive.infolist() if info.filename.rpartition("/")[2] == "data.pkl"), None)
    if inner is None:
        raise CaptureError(f"{path}: no 'data.pkl' in the archive: not written by torch.save. {_HINT}")
    if inner.file_size > MAX_PICKLE_BYTES:
        found, expected = in_bytes(inner.file_size), in_bytes(MAX_PICKLE_BYTES)
        raise CaptureError(f"{path}: 'data.pkl' claims {found}, expected at most {expected}. {_HINT}")
    return archive.read(inner)
