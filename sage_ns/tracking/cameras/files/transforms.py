"""Cameras of a `transforms.json` of nerfstudio or VHAP.

Poses are camera-to-world in OpenGL's axes (x right, y up, z back). Lens coefficients are nerfstudio's: k1 to k4 are
radial, p1 and p2 tangential. VHAP's worlds are metric; nerfstudio states no unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sage_ns.capture.camera_checks import camera_to_world, check_intrinsics, check_pinhole
from sage_ns.capture.frame_record import FrameRecord
from sage_ns.capture.frames import frame_entries, read_json
from sage_ns.capture.paths import FolderListing, absolute_path
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.system.json_files import shown
from sage_ns.tracking.cameras.files.registry import CameraReader, register_reader
from sage_ns.tracking.cameras.lens import Lens
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera

_RADIAL, _TANGENTIAL = ("k1", "k2", "k3", "k4"), ("p1", "p2")
_VHAP = "flame_param_path"
"""Key of frames that only VHAP's exports have."""
_CENTERED = 0.5
"""Pixels between principal point and middle below which it does not matter which edge cy is measured from."""


@register_reader
class TransformsReader(CameraReader):
    """nerfstudio's and VHAP's file."""

    name = "nerfstudio's or VHAP's transforms"
    places = ("transforms.json",)
    states = (
        "poses (camera-to-world, OpenGL axes), intrinsics and lens (`k1` to `k4`, `p1`, `p2`), per frame or for all; "
        "pictures and masks. VHAP's are in metres; nerfstudio states no unit"
    )

    def recognises(self, path: Path) -> bool:
        """Return whether the name is that of a transforms file."""
        return path.is_file() and path.name.startswith("transforms") and path.suffix == ".json"

    def read(self, path: Path) -> CameraRig:
        """Read all frames, each as a camera; they must be of one moment."""
        content = read_json(path)
        entries = frame_entries(content, path)
        if not entries:
            raise CaptureError(f"{path}: 'frames' is an empty list. Give a file with the cameras of all pictures.")
        moments = {shown(entry["timestep_index"]) for entry in entries if "timestep_index" in entry}
        if len(moments) > 1:
            raise CaptureError(
                f"{path}: 'timestep_index' has {len(moments)} values; a rig is tracked at one moment. Keep the frames "
                "of one of them."
            )
        listing = FolderListing()
        cameras = tuple(
            _camera(FrameRecord(entry, content, f"{path}, frame {index}"), path.parent.resolve(), listing)
            for index, entry in enumerate(entries)
        )
        is_vhap = any(_VHAP in entry for entry in entries)
        return CameraRig(cameras, 1.0 if is_vhap else None, str(path), self.name)


def _camera(record: FrameRecord, folder: Path, listing: FolderListing) -> RigCamera:
    entry, source = record.frame, record.source
    picture = listing.image(absolute_path(folder, entry.get("file_path"), "file_path", source))
    mask = next((key for key in ("fg_mask_path", "mask_path") if entry.get(key) is not None), None)
    for scope in record.scopes:
        check_pinhole({key: value for key, value in scope.items() if key not in (*_RADIAL, *_TANGENTIAL)}, source)
    size = record.size(picture)
    focal, center = record.focal_lengths(*size), record.center(*size)
    check_intrinsics(focal, center, size, source)
    pose = camera_to_world(entry.get("transform_matrix"), source)
    camera_id = entry.get("camera_id", entry.get("camera_index"))
    return RigCamera(
        name=picture.name if camera_id is None else str(camera_id),
        focal=focal,
        center=(center[0], _cy_from_top(record, center[1], size[1], _VHAP in entry)),
        size=size,
        world_to_camera=np.linalg.inv(pose @ CAMERA_AXES),
        source=source,
        lens=_lens(record),
        picture=picture,
        mask=None if mask is None else listing.image(absolute_path(folder, entry[mask], mask, source)),
    )


def _lens(record: FrameRecord) -> Lens:
    values: Mapping[str, float] = {name: record.number(name) or 0.0 for name in (*_RADIAL, *_TANGENTIAL)}
    return Lens(tuple(values[name] for name in _RADIAL), (values["p1"], values["p2"]))


def _cy_from_top(record: FrameRecord, cy: float, height: int, is_vhap: bool) -> float:
    """Return cy from the upper edge. nerfstudio measures from there; VHAP's exports do not say whether they do."""
    stated: Any = record.shared.get("cy_origin")
    if stated not in (None, "top", "bottom"):
        raise CaptureError(f'{record.source}: \'cy_origin\' is {shown(stated)}; expected "top" or "bottom".')
    if stated is None and is_vhap and abs(cy - height / 2) > _CENTERED:
        raise CaptureError(
            f"{record.source}: 'cy' is {cy:g} of a height of {height}, and the file does not say which edge it is "
            'measured from. Add a key to the file: "cy_origin": "bottom" for VHAP exports since November 2024, "top" '
            "for older ones."
        )
    return height - cy if stated == "bottom" else cy
