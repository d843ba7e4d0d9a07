"""The part of a photo that becomes the picture of a capture: the head with its hair, at a size to train on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from sage_ns.raster import PinholeCamera

_HAIR_ABOVE, _HAIR_ASIDE, _BELOW = 0.25, 0.3, 0.03
"""Room around the projected rig, relative to its height: hair is outside of it."""

_SMALLEST = 16
"""Pixels of a side of a window that is made smaller."""


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture in whole pixels, and the side of the blocks of pixels that are averaged in it."""

    left: int
    top: int
    width: int
    """Of the result, pixels."""
    height: int
    factor: int

    def cut(self, picture: Shaped[np.ndarray, "h w *channels"]) -> Float[np.ndarray, "height width *channels"]:
        """Return the means over the blocks of this window, in the picture's levels."""
        rows, columns = self.height * self.factor, self.width * self.factor
        part = picture[self.top : self.top + rows, self.left : self.left + columns].astype(np.float64)
        blocks = part.reshape(self.height, self.factor, self.width, self.factor, *picture.shape[2:])
        return blocks.mean(axis=(1, 3))

    def shrunk(self, face_width: float, wanted: float) -> tuple[tuple[int, int], Float[Tensor, "2"]]:
        """Return the height and width at which a face in this window has a width, and pixels there per whole pixel.

        The window is never enlarged.

        Args:
            face_width: pixels of the whole picture.
            wanted: pixels of the result.
        """
        scale = min(1.0, wanted * self.factor / face_width)
        height, width = (max(_SMALLEST, round(scale * side)) for side in (self.height, self.width))
        per_pixel = torch.tensor([width / self.width, height / self.height], dtype=torch.float64) / self.factor
        return (height, width), per_pixel

    def camera(self, focal: float, size: tuple[int, int]) -> PinholeCamera:
        """Return the camera of this window, at the origin, looking along -z.

        Args:
            focal: of the whole picture, pixels.
            size: width and height of the whole picture, whose middle is the principal point.
        """
        center = (size[0] / 2, size[1] / 2)
        return self.crop(PinholeCamera.from_opengl(torch.eye(4), focal, focal, *center, *size))

    def crop(self, camera: PinholeCamera) -> PinholeCamera:
        """Return the camera of this window of a picture, from that of the whole picture."""
        intrinsics = camera.intrinsics.clone()
        intrinsics[:2, 2] -= intrinsics.new_tensor([self.left, self.top])
        intrinsics[:2] /= self.factor
        return replace(camera, intrinsics=intrinsics, width=self.width, height=self.height)


def head_window(pixels: Float[np.ndarray, "n 2"], size: tuple[int, int], longest: int) -> Window:
    """Return the window of a head.

    Args:
        pixels: the rig's vertices in the picture.
        size: width and height of the picture.
        longest: most pixels of the longer side of the result.
    """
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    tall = bottom - top
    low = np.floor([left - _HAIR_ASIDE * tall, top - _HAIR_ABOVE * tall]).astype(int)
    high = np.ceil([right + _HAIR_ASIDE * tall, bottom + _BELOW * tall]).astype(int)
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    factor = max(1, int(np.ceil((high - low).max() / longest)))
    width, height = (high - low) // factor
    return Window(int(low[0]), int(low[1]), int(width), int(height), factor)


def resized(picture: Float[np.ndarray, "h w c"], size: tuple[int, int]) -> Float[Tensor, "c height width"]:
    """Return a picture at another height and width, smoothed where it becomes smaller."""
    channels = torch.from_numpy(np.ascontiguousarray(picture)).float().permute(2, 0, 1)[None]
    return F.interpolate(channels, size, mode="bilinear", antialias=True)[0]
