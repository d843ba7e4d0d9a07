"""Cut a fitted head out of a picture: the part of the picture, its matte, and both on white."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sage_ns.avatar.rig_pixels import face_triangles, pixels_on
from sage_ns.errors import TrackingError
from sage_ns.raster import PinholeCamera
from sage_ns.rig import HeadModel
from sage_ns.tracking.clothes import without_clothes, without_lapels
from sage_ns.tracking.foreground import Scene, Segment, Way, choose_way, on_white, soft_matte
from sage_ns.tracking.head_area import head_area, heights, shown_in
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.window import Window

CHIN = 152
"""Landmark at the tip of the chin."""
_LEAST_COVER = 0.5
"""Share of the rig's silhouette that a matte has to cover."""


@dataclass(frozen=True)
class Foreground:
    """What there is to tell the person from the scene."""

    segment: Segment
    mask: UInt8[np.ndarray, "h w"] | None = None
    """Mask of the whole picture, given by the user: 255 = person."""
    plate: Path | None = None
    """The same view without the person, given by the user."""
    mask_file: Path | None = None
    """Where the mask is from, for messages."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """A head in the window of a picture."""

    picture: Float[np.ndarray, "height width 3"]
    """sRGB, 0..1."""
    matte: Float[np.ndarray, "height width"]
    on_white: Float[np.ndarray, "height width 3"]
    way: Way
    """How the foreground was found."""
    hidden: Float[np.ndarray, "height width"] | None = None
    """1 where clothes hide the neck; None where nothing is known to hide anything."""

    def within(self, shown: Bool[np.ndarray, "height width"]) -> CutOut:
        """Return the cut-out where the picture shows nothing in places: these are hidden, not background."""
        if bool(shown.all()):
            return self
        matte, missing = self.matte * shown, (~shown).astype(np.float64)
        hidden = missing if self.hidden is None else np.maximum(self.hidden, missing)
        return replace(self, matte=matte, on_white=on_white(self.picture, matte), hidden=hidden)


def cut_out(
    photo: Photo,
    window: Window,
    vertices: Float[Tensor, "num_vertices 3"],
    points: Float[Tensor, "478 2"],
    model: HeadModel,
    camera: PinholeCamera,
    given: Foreground,
) -> CutOut:
    """Return the head in a window of a picture.

    Args:
        photo: the whole picture.
        window: part of it.
        vertices: of the fitted head in the camera's world, metres.
        points: landmarks of the fitted head in the picture, pixels.
        model: head model.
        camera: of the whole picture.
        given: what tells the person from the scene.

    Raises:
        TrackingError: the matte covers too little of the fitted head, or the plate has another size.
        CaptureError: a given picture cannot be read.
    """
    camera = window.crop(camera)
    shown = shown_in(vertices, model, camera)
    shape = (shown >= 0).double().numpy()
    scene = Scene(photo, window, shape, given.segment, given.mask, given.plate)
    way, picture = choose_way(scene), window.cut(photo.pixels) / 255.0
    matte, hidden = way.matte(scene), None
    if way.ends_at_neck:
        chin = (points[CHIN] - points.new_tensor([window.left, window.top])) / window.factor
        height = heights(vertices, model, camera, chin)
        matte = soft_matte(matte, picture) * head_area(height, shape)
        matte = without_lapels(matte, shape, height.below_chin, height.per_metre)
        face = pixels_on(shown, face_triangles(model)).numpy()
        matte, hidden = without_clothes(matte, picture, face, shape, height.below_chin, height.per_metre)
    _check(matte, shape, way.name, given.mask_file or photo.path)
    return CutOut(picture, matte, on_white(picture, matte), way, hidden)


def _check(matte: np.ndarray, shape: np.ndarray, way: str, path: Path) -> None:
    cover = float((matte * shape).sum() / max(shape.sum(), 1.0))
    if cover < _LEAST_COVER:
        advice = "A mask is 255 at the person: invert inverted masks." if way == "mask" else "Give a mask (--mask)."
        raise TrackingError(
            f"{path}: the foreground ({way}) covers {cover:.0%} of the fitted head; expected at least "
            f"{_LEAST_COVER:.0%}. {advice}"
        )
