"""LAM and GAGAvatar: pictures of an avatar under a FLAME motion, with the tracking that drove it.

LAM is driven by VHAP's exports: the folder that drove it, with its pictures replaced by LAM's, is all there is to read.
GAGAvatar's own tracker writes the motion of the head into the camera.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from sage_ns.capture.frames import Frame, frame_entries, moment_of, read_json, read_pictures
from sage_ns.capture.layout import ALL_FRAMES
from sage_ns.capture.pseudo_formats.registry import (
    CanonicalHead,
    ViewsConverter,
    listed_pictures,
    picture_and_mask,
    register_converter,
    require,
)
from sage_ns.capture.pseudo_views import NewView
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.rig import FlameParams
from sage_ns.rig.skull import skull_motions
from sage_ns.system.json_files import finite_number, shown

_STRONGEST = 40
_FOCAL = 12.0
CAMERAS = "cameras.json"


@register_converter
class Lam(ViewsConverter):
    """Reads a VHAP export whose pictures LAM has drawn."""

    name: ClassVar[str] = "lam"
    program: ClassVar[str] = "LAM"
    licence: ClassVar[str] = "code Apache-2.0; weights CC BY-NC 4.0"
    layout: ClassVar[str] = (
        "the VHAP export that drove it (transforms.json, flame_param/), with LAM's pictures, and masks"
    )

    def convert(self, source: Path, head: CanonicalHead) -> list[NewView]:
        """See `ViewsConverter.convert`."""
        path = require(source / ALL_FRAMES, self.layout)
        entries = frame_entries(read_json(path), path)
        frames = read_pictures(path, (0, path))
        found: list[tuple[float, Frame, FlameParams]] = []
        for position, (frame, entry) in enumerate(zip(frames, entries, strict=True)):
            file = moment_of(entry, f"{path}, frame {position}", source.resolve())[1]
            params = FlameParams.load(file)
            found.append((float(params.expr.norm()), frame, params))
        calm = sorted(found, key=lambda each: each[0])[:_STRONGEST]
        return [_driven(frame, params, head) for _, frame, params in calm]


def _driven(frame: Frame, params: FlameParams, head: CanonicalHead) -> NewView:
    """Return a picture of a driven head as a view of the canonical one: their skulls lie upon each other."""
    image, mask = picture_and_mask(frame.image_path)
    world_from_head = skull_motions(head.model, params.with_identity(head.params))[0].double().numpy()
    camera_from_head = np.linalg.inv(frame.camera_to_world @ CAMERA_AXES) @ world_from_head
    return NewView(image, mask, head.camera_to_world(camera_from_head), frame.fx, frame.fy, frame.cx, frame.cy)


@register_converter
class GagAvatar(ViewsConverter):
    """Reads pictures with the ``transform_matrix`` that the program was asked for.

    [reading] The matrix is PyTorch3D's world-to-view in its row convention's transpose, [R | T] with x left and y up in
    the view; the world is FLAME's unposed head [metres]; the focal length is 12 in half pictures.
    """

    name: ClassVar[str] = "gagavatar"
    program: ClassVar[str] = "GAGAvatar"
    licence: ClassVar[str] = "code MIT; terms of the weights not stated"
    layout: ClassVar[str] = (
        'cameras.json {"frames": [{"file_path": ..., "transform_matrix": 3x4}, ...]}, the pictures, and masks'
    )

    def convert(self, source: Path, head: CanonicalHead) -> list[NewView]:
        """See `ViewsConverter.convert`."""
        path = require(source / CAMERAS, self.layout)
        content = read_json(path)
        focal = finite_number(content.get("focal_length", _FOCAL))
        if focal is None or focal <= 0:
            raise CaptureError(f"{path}: 'focal_length' is {shown(content['focal_length'])}; expected a number > 0.")
        views = []
        for listed in listed_pictures(path):
            rows = np.array(_matrix(listed.entry.get("transform_matrix"), listed.source))
            height, width = listed.mask.shape
            # PyTorch3D's view has x to the left and y up; OpenCV's x to the right and y down.
            camera_from_head = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])
            pixels = float(focal) * min(width, height) / 2
            at = head.camera_to_world(camera_from_head)
            views.append(NewView(listed.image, listed.mask, at, pixels, pixels, width / 2, height / 2))
        return views


def _matrix(value: object, place: str) -> list[list[float]]:
    rows = value if isinstance(value, list) else []
    numbers = [[finite_number(each) for each in row] if isinstance(row, list) else [] for row in rows[:3]]
    if len(numbers) != 3 or any(len(row) != 4 or None in row for row in numbers):
        raise CaptureError(f"{place}: 'transform_matrix' is {shown(value)}; expected 3 rows of 4 numbers.")
    rotation = np.array(numbers, dtype=np.float64)[:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
        raise CaptureError(f"{place}: the left part of 'transform_matrix' is no rotation; expected [R | T].")
    return [[float(each) for each in row if each is not None] for row in numbers]
