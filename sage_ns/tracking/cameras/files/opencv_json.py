"""Cameras of a `cameras.json`: what OpenCV's calibration finds, with names that leave nothing open.

::

    {"units": "m",
     "cameras": {"NAME": {"K": 3x3, "dist": [k1, k2, p1, p2], "width": 2200, "height": 3208,
                          "R": 3x3, "t": [x, y, z]}}}

- "units": "m", "cm" or "mm"; of all translations.
- "cameras": an object by camera, or a list of objects with "name". The picture of a camera is the one that is called
  like it, or the one that "picture" names.
- intrinsics: "K" or "camera_matrix" or "intrinsics".
- lens: "dist" or "dist_coeffs" or "distortion" or "distortion_coefficients"; 4, 5 or 8 numbers; absent = none.
- pose, by exactly one of: "world_to_camera" or "w2c" or "world_2_cam" (4x4 or 3x4); "R" and "t", which map the world
  to the camera as in OpenCV; "camera_to_world" or "c2w" or "cam_2_world". "rvec" and "tvec" are "R" and "t" with a
  rotation vector. Names that do not say the direction ("extrinsics", "pose", "transform") are refused.

Axes are OpenCV's: x right, y down, z forward. OpenCV counts pixel centres from 0, so half a pixel is added to cx, cy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.frames import read_json
from sage_ns.capture.paths import FolderListing, absolute_path
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.system.json_files import shown
from sage_ns.tracking.cameras.files.json_cameras import one_of, opencv_lens, pinhole, rigid, stated_size
from sage_ns.tracking.cameras.files.registry import CameraReader, register_reader
from sage_ns.tracking.cameras.lens import NO_LENS
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera

_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_INTRINSICS = ("K", "camera_matrix", "intrinsics")
_LENSES = ("dist", "dist_coeffs", "distortion", "distortion_coefficients")
_TO_CAMERA = ("world_to_camera", "w2c", "world_2_cam")
_TO_WORLD = ("camera_to_world", "c2w", "cam_2_world")
_TURNS = ("R", "rvec")
_OPEN = ("extrinsics", "extrinsic", "pose", "transform", "transform_matrix", "matrix", "T", "RT", "Rt")


@register_reader
class OpencvReader(CameraReader):
    """An OpenCV calibration as JSON."""

    name = "an OpenCV calibration as JSON"
    places = ("cameras.json",)
    states = (
        'OpenCV\'s calibration: "units" ("m", "cm", "mm"), and per camera "K", "dist" and a pose whose name says its '
        "direction; see below"
    )

    def recognises(self, path: Path) -> bool:
        """Return whether the file is called so."""
        return path.is_file() and path.name.startswith("cameras") and path.suffix == ".json"

    def read(self, path: Path) -> CameraRig:
        """Read all cameras."""
        content = read_json(path)
        unit = content.get("units")
        if not isinstance(unit, str) or unit not in _UNITS:
            found = "is missing" if unit is None else f"is {shown(unit)}"
            raise CaptureError(
                f'{path}: \'units\' {found}; state the unit of all translations: "units": "m", "cm" or "mm".'
            )
        listing = FolderListing()
        cameras = tuple(_camera(name, entry, path, listing) for name, entry in _entries(content, path))
        return CameraRig(cameras, _UNITS[unit], str(path), self.name)


def _entries(content: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    cameras = content.get("cameras")
    if isinstance(cameras, list):
        named = [(each.get("name") if isinstance(each, Mapping) else None, each) for each in cameras]
    elif isinstance(cameras, Mapping):
        named = list(cameras.items())
    else:
        named = []
    if not named:
        raise CaptureError(
            f"{path}: 'cameras' is {shown(cameras)}; expected an object of cameras by name, or a list of objects with "
            "'name'."
        )
    for index, (name, entry) in enumerate(named):
        if not isinstance(name, str) or not name or not isinstance(entry, Mapping):
            raise CaptureError(f"{path}, camera {index}: expected an object with a name, found {shown(entry)}.")
        yield name, entry


def _camera(name: str, entry: Mapping[str, Any], path: Path, listing: FolderListing) -> RigCamera:
    source = f"{path}, camera '{shown(name)[1:-1]}'"
    field = one_of(entry, _INTRINSICS, source, "the intrinsics")
    if field is None:
        raise CaptureError(f"{source}: no intrinsics; expected one of {', '.join(_INTRINSICS)} (found {_keys(entry)}).")
    size = stated_size(entry, source)
    focal, center = pinhole(entry[field], size, source, field)
    lens = one_of(entry, _LENSES, source, "the lens")
    picture = entry.get("picture")
    folder = path.parent.resolve()
    return RigCamera(
        name=name,
        focal=focal,
        center=(center[0] + 0.5, center[1] + 0.5),
        size=size,
        world_to_camera=_pose(entry, source),
        source=source,
        lens=NO_LENS if lens is None else opencv_lens(entry[lens], source, lens),
        picture=None if picture is None else listing.image(absolute_path(folder, picture, "picture", source)),
    )


def _pose(entry: Mapping[str, Any], source: str) -> Float[np.ndarray, "4 4"]:
    field = one_of(entry, (*_TO_CAMERA, *_TO_WORLD, *_TURNS), source, "the pose")
    unclear = [name for name in _OPEN if name in entry]
    if field is None:
        clue = f"'{unclear[0]}' does not say its direction" if unclear else f"found {_keys(entry)}"
        raise CaptureError(
            f"{source}: no pose ({clue}); expected 'world_to_camera', 'camera_to_world', or 'R' and 't' (world to "
            "camera, as in OpenCV)."
        )
    if field in _TURNS:
        return rigid(_turn_and_shift(entry, field, source), source, field)
    matrix = rigid(entry[field], source, field)
    return matrix if field in _TO_CAMERA else np.linalg.inv(matrix)


def _turn_and_shift(entry: Mapping[str, Any], field: str, source: str) -> Float[np.ndarray, "3 4"]:
    shift = {"R": "t", "rvec": "tvec"}[field]
    try:
        turn = np.array(entry[field], dtype=np.float64)
        moved = np.array(entry.get(shift), dtype=np.float64).reshape(-1)
        if field == "rvec":
            turn = axis_angle_to_matrix(torch.from_numpy(turn.reshape(3))).numpy()
    except (TypeError, ValueError, OverflowError):
        turn = moved = np.empty(0)
    if turn.shape != (3, 3) or moved.shape != (3,):
        expected = "3x3 numbers" if field == "R" else "3 numbers"
        raise CaptureError(f"{source}: '{field}' and '{shift}' are no pose; expected {expected}, and 3 numbers.")
    return np.concatenate([turn, moved[:, None]], axis=1)


def _keys(entry: Mapping[str, Any]) -> str:
    return shown(sorted(entry), 200)
