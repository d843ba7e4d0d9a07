"""Sharpness of the pictures of frames, to choose among pictures that show nearly the same."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sage_ns.capture.frames import Frame
from sage_ns.capture.images import load_image
from sage_ns.image.sharpness import sharpness

_NUM_READERS = 4
_SMALLEST = 256
"""Pixels; pictures are halved until their longer side is below twice this: the grain of a sensor is no detail."""


def sharpness_of(frames: Sequence[Frame]) -> list[float]:
    """Return a measure of each picture's sharpness inside its mask: the variance of its Laplacian.

    Raises:
        CaptureError: a picture cannot be read.
    """
    with ThreadPoolExecutor(_NUM_READERS) as pool:
        return list(pool.map(_sharpness, frames))


def _sharpness(frame: Frame) -> float:
    factor = max(1, max(frame.width, frame.height) // _SMALLEST // 2)
    image, mask = load_image(frame.image_path, frame.mask_path, factor)
    inside = (image[..., 0] >= 0) if mask is None else mask[..., 0] > 250
    return float(sharpness(image.float() / 255, inside))
