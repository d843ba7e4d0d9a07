"""Which part of a photo is the person: ways to make a soft mask, by name.

Each way makes a first matte, 0..1. `soft_matte` then follows the edges of the picture; where the body or another person
is in the picture, `sage_ns.tracking.head_area` ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from sage_ns.capture.decode import decode_matte, decode_picture
from sage_ns.errors import TrackingError
from sage_ns.image.guided_filter import guided_filter
from sage_ns.system.registry import Registry
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.window import Window

Segment = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "h w"]]
"""Returns which part of each pixel of an sRGB picture is a person, 0..1."""

_DIFFERENT = (0.03, 0.10)
"""Differences of sRGB levels (0..1) from the clean plate: less is background, more is foreground."""
_SURROUNDINGS = 0.6
"""Room around the head that the segmentation sees, relative to the window: it expects shoulders."""
_SURE = 0.004
"""Of the head's window: pixels this far inside the silhouette are the person."""
_EDGE, _FLAT = 0.012, 1e-3
"""Radius of the guided filter relative to the height of the window, and variance of grey levels of flat areas."""
_CLEAR, _OPAQUE = 0.2, 0.92
"""Of the refined matte: what is background, and what is the person in full. Networks see a haze before mouths and
chins (docs/lab_notebook.md)."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What the ways know of a photo."""

    photo: Photo
    window: Window
    """Part of the photo to make a matte of."""
    silhouette: Float[np.ndarray, "height width"]
    """Of the fitted rig in the window."""
    segment: Segment
    mask: UInt8[np.ndarray, "h w"] | None = None
    """Mask of the whole photo, given by the user: 255 = person."""
    plate: Path | None = None
    """The same view without the person, given by the user."""


class Way(Protocol):
    """A way to find the foreground."""

    name: ClassVar[str]
    caveat: ClassVar[str]
    """Where this way fails; "" where the user has made the mask."""
    ends_at_neck: ClassVar[bool]
    """Whether the body is to be taken out of the matte."""

    def fits(self, scene: Scene) -> bool:
        """Return whether there is what this way needs."""
        ...

    def matte(self, scene: Scene) -> Float[np.ndarray, "height width"]:
        """Return the foreground in the window, 0..1."""
        ...


ways: Registry[Way] = Registry("way to find the foreground", TrackingError)
_PREFERRED = ("mask", "plate", "alpha", "segmentation")


def choose_way(scene: Scene) -> Way:
    """Return the best way that there is what it needs for: what the user gave, then the file's alpha."""
    return next(ways[name] for name in _PREFERRED if ways[name].fits(scene))


@ways.register
class GivenMask:
    """A mask that the user gives is used as it is."""

    name: ClassVar[str] = "mask"
    caveat: ClassVar[str] = ""
    ends_at_neck: ClassVar[bool] = False

    def fits(self, scene: Scene) -> bool:
        """Return whether a mask is given."""
        return scene.mask is not None

    def matte(self, scene: Scene) -> Float[np.ndarray, "height width"]:
        """Return the mask in the window."""
        assert scene.mask is not None
        return scene.window.cut(scene.mask) / 255.0


@ways.register
class Alpha:
    """The picture's own transparency."""

    name: ClassVar[str] = "alpha"
    caveat: ClassVar[str] = "The mask is the picture's alpha; the body is cut off at the end of the rig's neck."
    ends_at_neck: ClassVar[bool] = True

    def fits(self, scene: Scene) -> bool:
        """Return whether the picture is transparent somewhere."""
        return scene.photo.alpha is not None

    def matte(self, scene: Scene) -> Float[np.ndarray, "height width"]:
        """Return the alpha in the window."""
        assert scene.photo.alpha is not None
        return scene.window.cut(scene.photo.alpha) / 255.0


@ways.register
class CleanPlate:
    """Difference from a picture of the same view without the person."""

    name: ClassVar[str] = "plate"
    caveat: ClassVar[str] = (
        "Where the person has the colour of the background, the mask has holes; shadows on the wall may belong to it."
    )
    ends_at_neck: ClassVar[bool] = True

    def fits(self, scene: Scene) -> bool:
        """Return whether a clean plate is given."""
        return scene.plate is not None

    def matte(self, scene: Scene) -> Float[np.ndarray, "height width"]:
        """Return where the photo differs from the plate, after the exposure is matched.

        Raises:
            TrackingError: the plate has another size than the photo.
            CaptureError: it cannot be read.
        """
        assert scene.plate is not None
        plate = decode_picture(scene.plate).convert("RGB")
        _check_size("background", scene.plate, plate.size, scene.photo)
        behind, picture = (scene.window.cut(np.asarray(each)) / 255.0 for each in (plate, scene.photo.pixels))
        around = scene.silhouette < 0.5
        gain = np.median((picture[around] + 1e-3) / (behind[around] + 1e-3), axis=0).clip(0.5, 2.0)
        difference = np.abs(picture - gain * behind).max(axis=-1)
        matte = np.clip((difference - _DIFFERENT[0]) / (_DIFFERENT[1] - _DIFFERENT[0]), 0.0, 1.0)
        return _joined(_around_head(matte, scene.silhouette), scene.silhouette)


@ways.register
class Segmentation:
    """A network that finds people, joined with the silhouette of the fitted rig."""

    name: ClassVar[str] = "segmentation"
    caveat: ClassVar[str] = (
        "A network has made the mask: check hair before a busy background, long hair beside the neck (which is cut "
        "off), and hats. Better masks: --mask, or --background with a picture of the same view without the person."
    )
    ends_at_neck: ClassVar[bool] = True

    def fits(self, scene: Scene) -> bool:
        """Return True: the network comes with the package."""
        return True

    def matte(self, scene: Scene) -> Float[np.ndarray, "height width"]:
        """Return what the network finds in the surroundings of the window, and the rig."""
        window, (width, height) = scene.window, scene.photo.size
        room = int(_SURROUNDINGS * window.height * window.factor)
        left, top = max(window.left - room, 0), max(window.top - room, 0)
        right = min(window.left + window.width * window.factor + room, width)
        bottom = min(window.top + window.height * window.factor + room, height)
        found = scene.segment(np.ascontiguousarray(scene.photo.pixels[top:bottom, left:right]))
        whole = np.zeros((height, width))
        whole[top:bottom, left:right] = found
        return _joined(_around_head(window.cut(whole), scene.silhouette), scene.silhouette)


def read_mask(path: Path, photo: Photo) -> UInt8[np.ndarray, "h w"]:
    """Return the mask of a photo.

    Raises:
        TrackingError: the mask has another size than the photo.
        CaptureError: it cannot be read as a mask.
    """
    mask = decode_matte(path)
    _check_size("mask", path, mask.size, photo)
    return np.asarray(mask)


def soft_matte(matte: Float[np.ndarray, "h w"], picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Return a matte whose border follows the edges of the picture (0..1), soft where the picture is.

    Args:
        matte: coarse, 0..1.
        picture: sRGB, 0..1.
    """
    grey = picture @ np.array([0.299, 0.587, 0.114])
    radius = max(2, round(_EDGE * len(matte)))
    refined = guided_filter(matte, grey, radius, _FLAT)
    # Only the border is refined: inside, dark and light areas are the person alike.
    border = ndimage.uniform_filter(matte, 2 * radius + 1)
    refined = np.where((border > 0.01) & (border < 0.99), refined, matte)
    return np.clip((refined - _CLEAR) / (_OPAQUE - _CLEAR), 0.0, 1.0)


def on_white(picture: Float[np.ndarray, "h w 3"], matte: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Return ``a F + (1 - a)``: the picture on white, without the old background's colour in its soft border.

    Where the matte a is below 1, the foreground's colour F is drawn towards that of the opaque pixels around.

    Args:
        picture: sRGB, 0..1.
        matte: 0..1.
    """
    sigma = max(1.0, 0.01 * len(matte))
    trust = matte**4
    blurred = [ndimage.gaussian_filter(trust * picture[..., channel], sigma) for channel in range(3)]
    around = np.stack(blurred, axis=-1) / np.maximum(ndimage.gaussian_filter(trust, sigma), 1e-6)[..., None]
    known = matte[..., None]
    foreground = np.where(known > 1e-3, around + trust[..., None] * (picture - around), 1.0)
    return np.clip(known * foreground + 1 - known, 0.0, 1.0)


def _joined(matte: np.ndarray, silhouette: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Return the matte with what lies well inside the rig's silhouette."""
    inside = np.asarray(ndimage.distance_transform_edt(silhouette > 0.5)) > max(2.0, _SURE * len(matte))
    return np.maximum(matte, inside)


def _around_head(matte: np.ndarray, silhouette: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Return the matte without islands that do not touch the rig's silhouette: other people, things."""
    islands = np.zeros(matte.shape, dtype=np.int32)
    ndimage.label(matte > 0.1, output=islands)
    kept = np.unique(islands[silhouette > 0.5])
    return np.where(np.isin(islands, kept[kept > 0]), matte, 0.0)


def _check_size(what: str, path: Path, size: tuple[int, int], photo: Photo) -> None:
    if size != photo.size:
        raise TrackingError(
            f"{what} {path} has {size[0]} x {size[1]} px, the photo {photo.path} {photo.size[0]} x {photo.size[1]} px. "
            "Give both at the same size, upright."
        )
