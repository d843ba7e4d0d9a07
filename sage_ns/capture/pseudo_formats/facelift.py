"""FaceLift (Lyu et al. 2025): six pictures of a head in a row, from fixed directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8

from sage_ns.capture.pseudo_formats.registry import (
    CanonicalHead,
    ViewsConverter,
    picture_and_mask,
    register_converter,
    require,
)
from sage_ns.capture.pseudo_views import NewView
from sage_ns.errors import CaptureError
from sage_ns.rig import pose_vertices

AZIMUTHS = (-90.0, -45.0, 0.0, 45.0, 90.0, 180.0)
"""Degrees of the six cameras, in the order of the row; 0 is the camera of the picture that FaceLift was given."""
RADIUS, FOCAL, SIZE = 2.7, 549.0, 512
"""Distance of its cameras from the origin in its own units, and their focal length in pixels at 512 pixels."""
_FOREGROUND = 127


@register_converter
class FaceLift(ViewsConverter):
    """Reads ``multiview.png``: six square pictures in a row.

    It knows no FLAME and no metres. [reading] Its view at 0 degrees shows what the real picture shows: the height and
    width of the head above the chin in both give scale and place; the other cameras stand around the tracked head.
    """

    name: ClassVar[str] = "facelift"
    program: ClassVar[str] = "FaceLift"
    licence: ClassVar[str] = "code Apache-2.0; weights under Adobe's research licence, not for commercial use"
    layout: ClassVar[str] = (
        "multiview.png, six square pictures in a row, with alpha or a mask in masks/ beside its folder"
    )

    def convert(self, source: Path, head: CanonicalHead) -> list[NewView]:
        """See `ViewsConverter.convert`."""
        image, mask = picture_and_mask(require(source / "multiview.png", self.layout))
        side = mask.shape[0]
        if mask.shape[1] != side * len(AZIMUTHS):
            raise CaptureError(
                f"{source / 'multiview.png'}: found {mask.shape[1]} x {side} px, expected {len(AZIMUTHS)} square "
                "pictures in a row."
            )
        parts = [slice(number * side, (number + 1) * side) for number in range(len(AZIMUTHS))]
        front = mask[:, parts[AZIMUTHS.index(0.0)]]
        at = _Alignment.of(front, _real_mask(head), FOCAL * side / SIZE, head)
        return [
            NewView(image[:, part], mask[:, part], at.camera(azimuth), at.focal, at.focal, side / 2, side / 2)
            for azimuth, part in zip(AZIMUTHS, parts, strict=True)
        ]


def _real_mask(head: CanonicalHead) -> UInt8[np.ndarray, "h w"]:
    from sage_ns.capture.images import load_image

    mask = load_image(head.frame.image_path, head.frame.mask_path)[1]
    if mask is None:
        raise CaptureError(f"{head.frame.image_path} has no mask; the size of the head is measured on it. Make one.")
    return mask[..., 0].numpy()


@dataclass(frozen=True, eq=False)
class _Alignment:
    """Cameras in a ring around the head, level with the real one."""

    center: Float[np.ndarray, "3"]
    """Of the ring, metres."""
    real_pose: Float[np.ndarray, "4 4"]
    distance: float
    focal: float

    @classmethod
    def of(cls, front: np.ndarray, real: np.ndarray, focal: float, head: CanonicalHead) -> _Alignment:
        frame, vertices = head.frame, pose_vertices(head.model, head.params)[0].double().numpy()
        pose = frame.camera_to_world
        local = (vertices - pose[:3, 3]) @ pose[:3, :3]
        middle = vertices.mean(axis=0)
        depth = -float(((middle - pose[:3, 3]) @ pose[:3, :3])[2])
        chin = int(np.clip(frame.cy - frame.fy * local[:, 1].min() / depth, 1, frame.height))
        there, here = _box(real[:chin]), _box(front)
        if there is None or here is None:
            raise CaptureError("FaceLift's front view or the real picture shows no head: their masks are empty.")
        # A head is as wide in metres in both pictures: its width is where hair or ears are widest.
        scale = (there.width * depth / frame.fx) / (here.width * RADIUS / focal)
        distance = RADIUS * scale
        # The top of the head is as high in both: the ring's middle is where the picture's middle shows it.
        top = depth * (frame.cy - there.top) / frame.fy
        up = top - distance * (front.shape[0] / 2 - here.top) / focal
        right = depth * (there.middle - frame.cx) / frame.fx - distance * (here.middle - front.shape[1] / 2) / focal
        center = pose[:3, 3] - depth * pose[:3, 2] + up * pose[:3, 1] + right * pose[:3, 0]
        return cls(center, pose, distance, focal)

    def camera(self, azimuth: float) -> Float[np.ndarray, "4 4"]:
        """Return the camera at an angle around the upward axis of the real camera; positive to the head's left."""
        cos, sin = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
        turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
        pose = np.eye(4)
        pose[:3, :3] = self.real_pose[:3, :3] @ turn
        pose[:3, 3] = self.center + self.distance * pose[:3, 2]
        return pose


@dataclass(frozen=True)
class _Box:
    top: int
    middle: float
    width: int


def _box(mask: np.ndarray) -> _Box | None:
    """Return top, and middle and width of the widest row, of a mask's upper part, as high as it is wide."""
    inside = mask > _FOREGROUND
    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows) == 0:
        return None
    widest = _Box(int(rows[0]), 0.0, 0)
    for row in rows:
        columns = np.flatnonzero(inside[row])
        width = int(columns[-1] - columns[0] + 1)
        if row - rows[0] > 1.1 * max(width, widest.width):  # shoulders come below
            break
        if width > widest.width:
            widest = _Box(int(rows[0]), (columns[0] + columns[-1] + 1) / 2, width)
    return widest
