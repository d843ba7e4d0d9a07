"""A picture of a rig as the fit sees it: upright, without distortion, with its camera and the mask beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, UInt8

from sage_ns.errors import TrackingError
from sage_ns.raster import PinholeCamera
from sage_ns.tracking.cameras.lens import NO_LENS, Straightening
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.foreground import read_mask
from sage_ns.tracking.photo import Photo, read_photo

_LEAST_SHOWN = 0.5
"""Share of a straight picture that the distorted one must show; less is a wrong lens."""


@dataclass(frozen=True, eq=False)
class View:
    """A straight picture and its pinhole camera."""

    camera: RigCamera
    photo: Photo
    mask: UInt8[np.ndarray, "h w"] | None
    """From the file beside the picture: 255 = person; None = there is none."""
    shown: Bool[np.ndarray, "h w"] | None
    """Pixels that the distorted picture shows; None = all."""

    @property
    def pinhole(self) -> PinholeCamera:
        """The camera, in the units of its file."""
        return self.camera.pinhole(self.photo.size)


def load_view(camera: RigCamera) -> View:
    """Read the picture and the mask of a camera, and take the distortion out of both.

    Raises:
        TrackingError: the mask has another size, or the lens leaves less than half of the picture.
        CaptureError: a file cannot be read.
    """
    assert camera.picture is not None and camera.size is not None
    photo = read_photo(camera.picture)
    mask = None if camera.mask is None else read_mask(camera.mask, photo)
    if camera.lens.is_none:
        return View(camera, photo, mask, None)
    straighten = Straightening(camera.lens, camera.focal, camera.center, camera.size)
    shown = straighten.sources()[1]
    if shown.mean() < _LEAST_SHOWN:
        raise TrackingError(
            f"{camera.source}: without the stated distortion {camera.lens}, {shown.mean():.0%} of the picture is left. "
            "The coefficients belong to another camera or another order; check them."
        )
    straight = replace(
        photo,
        pixels=straighten(photo.pixels),
        alpha=None if photo.alpha is None else straighten(photo.alpha),
    )
    return View(replace(camera, lens=NO_LENS), straight, None if mask is None else straighten(mask), shown)
