"""CAP4D (Taubner et al. 2025): generated pictures with FLAME parameters and cameras."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from sage_ns.capture.pseudo_formats.registry import (
    CanonicalHead,
    ViewsConverter,
    picture_and_mask,
    register_converter,
    require,
    rigid,
)
from sage_ns.capture.pseudo_views import NewView
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.system.array_fields import ArrayFields
from sage_ns.system.npz_reader import read_npz

MOST = 40
"""Number of pictures that are taken, those with the calmest expressions: pseudo views show the canonical head."""
_NUMBERS = ("fx", "fy", "cx", "cy")


@register_converter
class Cap4D(ViewsConverter):
    """Reads ``images/NNNNN.png`` with ``flame/NNNNN.npz``.

    [reading] A point x of FLAME's unposed head is at ``extr (F (R(rot) x + tra))`` in OpenCV's camera axes, where F
    negates y and z: head motions are in PyTorch3D's axes, cameras in OpenCV's.
    """

    name: ClassVar[str] = "cap4d"
    program: ClassVar[str] = "CAP4D"
    licence: ClassVar[str] = "code and weights CC BY-NC 4.0"
    layout: ClassVar[str] = "generated_images with images/NNNNN.png and flame/NNNNN.npz, and masks"

    def convert(self, source: Path, head: CanonicalHead) -> list[NewView]:
        """See `ViewsConverter.convert`."""
        folder = source / "generated_images" if (source / "generated_images").is_dir() else source
        pictures = sorted(require(folder / "images", self.layout).glob("*.png"))
        if not pictures:
            raise CaptureError(f"{folder / 'images'} holds no .png; expected {self.layout}.")
        read = [(path, _Parameters.read(folder / "flame" / f"{path.stem}.npz")) for path in pictures]
        calm = sorted(read, key=lambda each: each[1].strength)[:MOST]
        return [self._view(path, parameters, head) for path, parameters in sorted(calm, key=lambda each: each[0])]

    def _view(self, path: Path, parameters: _Parameters, head: CanonicalHead) -> NewView:
        image, mask = picture_and_mask(path)
        scale = mask.shape[1] / parameters.width
        fx, fy, cx, cy = (scale * value for value in parameters.intrinsics)
        return NewView(image, mask, head.camera_to_world(parameters.camera_from_head), fx, fy, cx, cy)


class _Parameters:
    """One flame/NNNNN.npz."""

    def __init__(
        self, camera_from_head: np.ndarray, intrinsics: tuple[float, ...], width: float, strength: float
    ) -> None:
        self.camera_from_head = camera_from_head
        self.intrinsics = intrinsics
        self.width = width
        self.strength = strength

    @classmethod
    def read(cls, path: Path) -> _Parameters:
        arrays = read_npz(path, CaptureError)
        flat = {name: np.asarray(value, dtype=np.float32).reshape(-1) for name, value in arrays.items()}
        read = ArrayFields(str(path), flat, CaptureError)
        fx, fy, cx, cy = (float(read.floats(name, "one")[0]) for name in _NUMBERS)
        extrinsics = read.floats("extr", "sixteen").double().numpy()
        if len(extrinsics) != 16 or fx <= 0 or fy <= 0:
            raise read.fail("extr", f"{len(extrinsics)} values, focal lengths {fx}, {fy}", "a 4x4 matrix, lengths > 0")
        rotation, translation = (read.floats(name, "3").double().numpy() for name in ("rot", "tra"))
        size = read.floats("resolutions", "two")
        motion = rigid(rotation, translation, str(path))
        strength = float(read.floats("expr", "num_expression").norm())
        return cls(extrinsics.reshape(4, 4) @ CAMERA_AXES @ motion, (fx, fy, cx, cy), float(size[-1]), strength)
