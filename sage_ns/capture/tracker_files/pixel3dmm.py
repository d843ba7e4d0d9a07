"""Pixel3DMM (Giebenhain et al. 2025, github.com/SimonGiebenhain/pixel3dmm, commit 98b5d79): heads in crops of pictures.

`scripts/track.py` writes `TRACKING_OUTPUT/<video>_nV1_.../checkpoint/{frame:05d}.frame` by `torch.save`: dicts of numpy
arrays, as metrical-tracker, from which it descends (`sage_ns.capture.tracker_checkpoints`), with these differences.

- "flame": "shape" [1, 300] and "exp" [1, 100] of FLAME 2020, or of FLAME 2023 without jaw rotation where it ran with
  `use_flame2023=True`: then the jaw stays at rest in every frame. "jaw", "neck" [1, 6] and "eyes" [1, 12] (left, right)
  are 6D rotations, first two rows. "eyelids" [1, 2] (left, right; metrical-tracker's blendshapes).
- The head moves: FLAME's vertices x, with the neck turned, come to ``R x + t`` in the world ("R" [1, 6], "t" [1, 3]
  metres). The rotation is about the origin, not about FLAME's root joint.
- "camera": "R_base_0" [1, 3, 3] and "t_base_0" [1, 3] take the world to a camera of OpenGL's axes; "fl" [1, 1] is the
  focal length in widths of the picture, "pp" [1, 2] the principal point: its renderer has it at
  ``(size / 2 + 0.5) (1 + pp)`` pixels from the left and the top.
- "img_size" [2]: pixels at which it has tracked (256); the pictures are `PREPROCESSED_DATA/<video>/cropped/*.jpg`, 512
  pixels, one crop for all frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.tracker_checkpoints import (
    SUFFIX,
    check_same_sizes,
    checkpoints_in,
    eyelids_of,
    pickle_of,
    read_checkpoint,
    rotations_6d,
    world_to_camera,
)
from sage_ns.capture.tracker_files.registry import TrackedHeads, TrackerFile, register_tracker
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import moved_points
from sage_ns.geometry.rotations import matrix_to_axis_angle
from sage_ns.rig import FlameParams, concatenate, in_time_order
from sage_ns.rig.flame_files import timesteps_of

_HINT = "Give Pixel3DMM's own checkpoints (TRACKING_OUTPUT/<video>_.../checkpoint/*.frame)."
_MOST_METRES = 100.0
_FOCAL = (0.1, 100.0)
"""Range of the focal length in widths of the picture; it begins at 3.9."""
_JAW_AT_REST = 1e-6
"""Radians. Where the jaw can turn, Pixel3DMM turns it in every frame."""


@dataclass(frozen=True, eq=False)
class _Frame:
    """What one checkpoint says, before its camera at the origin."""

    params: FlameParams
    eyelids: Float[Tensor, "2"]
    lens: Float[Tensor, "3"]
    """Focal length and principal point, in widths of the picture from its left and upper edge."""


@register_tracker
class Pixel3dmm(TrackerFile):
    """A `.frame` file, or a folder with them, or the folder above its folder `checkpoint`."""

    name: ClassVar[str] = "Pixel3DMM"
    licence: ClassVar[str] = "code and weights CC BY-NC 4.0"
    layout: ClassVar[str] = "a folder of Pixel3DMM's checkpoints (.frame)"

    def recognises(self, path: Path) -> bool:
        """Return whether the first checkpoint has Pixel3DMM's camera."""
        found = checkpoints_in(path)
        return bool(found) and b"R_base_0" in pickle_of(found[0])

    def read(self, path: Path) -> TrackedHeads:
        """Read the heads; see `TrackerFile.read`."""
        return read_pixel3dmm(path)[0]


def read_pixel3dmm(path: Path) -> tuple[TrackedHeads, Float[Tensor, "num_rows 3"]]:
    """Read checkpoints.

    Args:
        path: A `.frame` file, or a folder with them, or the folder above its folder `checkpoint`.

    Returns:
        The heads, and for each the focal length and the principal point of its camera, in widths of the square picture
        from its left and upper edge.

    Raises:
        CaptureError: A file is broken, or a field is missing, misshapen or not finite.
        FlameParamsError: No head can have the parameters.
    """
    paths = in_time_order(checkpoints_in(path))
    if not paths:
        raise CaptureError(f"{path}: contains no *{SUFFIX}. {_HINT}")
    read = [_read(each) for each in paths]
    check_same_sizes(paths, [each.params.expr.shape[1] for each in read])
    params = concatenate([each.params for each in read])
    params = replace(params, shape=torch.stack([each.params.shape for each in read]).mean(dim=0))
    heads = TrackedHeads(
        params,
        torch.stack([each.eyelids for each in read]),
        torch.tensor(timesteps_of(paths)),
        path,
        Pixel3dmm.name,
        Pixel3dmm.licence,
        "2020" if bool((params.jaw_pose.abs() > _JAW_AT_REST).any()) else "2023_no_jaw",
        pivot="origin",
        place="room",
    )
    return heads.checked(lambda row: str(paths[row])), torch.stack([each.lens for each in read])


def _read(path: Path) -> _Frame:
    read = read_checkpoint(path, ("camera",), _HINT)
    to_camera = torch.from_numpy(world_to_camera(read, "camera.R_base_0", "camera.t_base_0")).float()
    moved = read.floats("flame.t", "1 3")
    read.check_magnitude("flame.t", moved, _MOST_METRES)
    size = read.floats("img_size", "2")
    focal, point = read.floats("camera.fl", "1 1")[0], read.floats("camera.pp", "1 2")[0]
    if not (_FOCAL[0] <= float(focal) <= _FOCAL[1] and float(point.abs().max()) < 1):
        expected = f"{_FOCAL[0]:g} to {_FOCAL[1]:g} widths of the picture, and a point in it"
        raise read.fail("camera.fl", f"{float(focal):.3g} and 'camera.pp' {point.tolist()}", expected)
    if not (float(size[0]) == float(size[1]) >= 1):
        raise read.fail("img_size", f"{size.tolist()}", "the sides of a square picture")
    params = FlameParams(
        shape=read.floats("flame.shape", "1 300")[0],
        expr=read.floats("flame.exp", "1 num_expression"),
        rotation=matrix_to_axis_angle(to_camera[:3, :3] @ rotations_6d(read, "flame.R")),
        neck_pose=matrix_to_axis_angle(rotations_6d(read, "flame.neck")),
        jaw_pose=matrix_to_axis_angle(rotations_6d(read, "flame.jaw")),
        eyes_pose=matrix_to_axis_angle(rotations_6d(read, "flame.eyes", 2)).reshape(1, 6),
        translation=moved_points(to_camera, moved),
    )
    middle = (0.5 + 0.5 / size) * (1 + point)
    return _Frame(params, eyelids_of(read), torch.cat([focal, middle]))
