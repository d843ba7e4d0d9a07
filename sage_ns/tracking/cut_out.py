"""Cut a fitted head out of a picture: the window around it, and which part of it is the person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.errors import TrackingError
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import HeadModel
from sage_ns.tracking.foreground import Scene, Segment, Way, choose_way, on_white, soft_matte
from sage_ns.tracking.head_area import head_area, silhouette
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.window import Window, head_window

LEAST_COVER = 0.5
"""Share of the rig's silhouette that a matte has to cover."""


@dataclass(frozen=True, eq=False)
class PosedHead:
    """A fitted head before a camera."""

    vertices: Float[Tensor, "num_vertices 3"]
    """In the world of the camera, metres."""
    model: HeadModel
    camera: PinholeCamera
    """Of the whole picture."""
    chin: Float[Tensor, "2"]
    """Tip of the chin in the whole picture, pixels."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """The head in its window of a picture."""

    window: Window
    camera: PinholeCamera
    """Of the window."""
    picture: Float[np.ndarray, "height width 3"]
    """sRGB, 0..1."""
    matte: Float[np.ndarray, "height width"]
    way: Way
    """How the foreground was found."""
    cover: float
    """Share of the rig's silhouette that the matte covers."""

    def on_white(self) -> Float[np.ndarray, "height width 3"]:
        """Return the picture with white in place of the background."""
        return on_white(self.picture, self.matte)


def cut_out(
    photo: Photo,
    head: PosedHead,
    segment: Segment,
    longest: int,
    mask: UInt8[np.ndarray, "h w"] | None = None,
    plate: Path | None = None,
) -> CutOut:
    """Cut a head out.

    Args:
        photo: the whole picture.
        head: the fitted head in it.
        segment: finds people.
        longest: most pixels of the longer side of the window.
        mask: of the whole picture, given by the user.
        plate: picture of the same view without the person, given by the user.

    Raises:
        TrackingError: the plate has another size than the photo.
        CaptureError: the plate cannot be read.
    """
    pixels = project(head.vertices, head.camera).pixels.double().numpy()
    window = head_window(pixels, photo.size, longest)
    camera = window.crop(head.camera)
    shape = silhouette(head.vertices, head.model, camera)
    scene = Scene(photo, window, shape, segment, mask, plate)
    way, picture = choose_way(scene), window.cut(photo.pixels) / 255.0
    matte = way.matte(scene)
    if way.ends_at_neck:
        chin = (head.chin - head.chin.new_tensor([window.left, window.top])) / window.factor
        matte = soft_matte(matte, picture) * head_area(head.vertices, head.model, camera, chin, shape)
    return CutOut(window, camera, picture, matte, way, float((matte * shape).sum() / max(shape.sum(), 1.0)))


def check_cover(cut: CutOut, source: Path) -> None:
    """Refuse a foreground that is not the fitted head.

    Raises:
        TrackingError: it covers less than `LEAST_COVER` of the head; names the source.
    """
    if cut.cover < LEAST_COVER:
        advice = "A mask is 255 at the person: invert inverted masks." if cut.way.name == "mask" else "Give a mask."
        raise TrackingError(
            f"{source}: the foreground ({cut.way.name}) covers {cut.cover:.0%} of the fitted head; expected at least "
            f"{LEAST_COVER:.0%}. {advice}"
        )
