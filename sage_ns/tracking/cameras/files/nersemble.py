"""Cameras of a `camera_params.json` of the NeRSemble data set (Kirschstein et al. 2023).

The file has "world_2_cam" (4x4 by serial number; OpenCV's axes, metres), "intrinsics" (3x3, for all cameras or by
serial number), and sometimes "width" and "height" of the pictures that the intrinsics belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sage_ns.capture.frames import read_json
from sage_ns.errors import CaptureError
from sage_ns.system.json_files import shown
from sage_ns.tracking.cameras.files.json_cameras import pinhole, rigid, stated_size
from sage_ns.tracking.cameras.files.registry import CameraReader, register_reader
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera

_POSES, _INTRINSICS = "world_2_cam", "intrinsics"


@register_reader
class NersembleReader(CameraReader):
    """NeRSemble's file."""

    name = "NeRSemble's calibration"
    places = ("camera_params.json",)
    states = "`world_2_cam` by serial number (metres) and `intrinsics`, `width`, `height`; pictures are `cam_SERIAL.*`"

    def recognises(self, path: Path) -> bool:
        """Return whether the file is called so."""
        return path.is_file() and path.name == self.places[0]

    def read(self, path: Path) -> CameraRig:
        """Read all cameras."""
        content = read_json(path)
        poses, intrinsics = content.get(_POSES), content.get(_INTRINSICS)
        if not isinstance(poses, Mapping) or not poses:
            raise CaptureError(f"{path}: '{_POSES}' is {shown(poses)}; expected an object of 4x4 matrices by camera.")
        size = stated_size(content, str(path))
        cameras = []
        for name, pose in poses.items():
            source = f"{path}, camera '{shown(name)[1:-1]}'"
            matrix = intrinsics.get(name) if isinstance(intrinsics, Mapping) else intrinsics
            focal, center = pinhole(matrix, size, source, _INTRINSICS)
            cameras.append(RigCamera(name, focal, center, size, rigid(pose, source, _POSES), source))
        return CameraRig(tuple(cameras), 1.0, str(path), self.name)
