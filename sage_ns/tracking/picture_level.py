"""The picture of a head at one resolution: what a drawing is compared with, from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.raster import PinholeCamera
from sage_ns.tracking.window import Window, resized


@dataclass(frozen=True, eq=False)
class PictureLevel:
    """A window of a photo, scaled down; its camera is at the origin and looks along -z."""

    picture: Float[Tensor, "h w 3"]
    """sRGB on white, 0..1."""
    matte: Float[Tensor, "h w 1"]
    corner: Float[Tensor, "2"]
    """Of the window in the photo, pixels."""
    scale: Float[Tensor, "2"]
    """Pixels of this picture per pixel of the photo."""
    center: Float[Tensor, "2"]
    """Principal point in the photo, pixels."""
    face_width: float
    """Pixels of this picture."""
    counts: Float[Tensor, "h w"]
    """1 where the picture shows the head or what is behind it, 0 where something hides it."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.matte.shape[0], self.matte.shape[1]

    def pixels(self, in_photo: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """Return pixels of the photo in this picture."""
        return (in_photo - self.corner) * self.scale

    def camera(self, focal: float) -> PinholeCamera:
        """Return the camera, for a focal length in pixels of the photo."""
        cx, cy = self.pixels(self.center[None])[0].tolist()
        fx, fy = (focal * self.scale).tolist()
        height, width = self.size
        return PinholeCamera.from_opengl(torch.eye(4), fx, fy, cx, cy, width, height)


def picture_level(
    picture: Float[np.ndarray, "height width 3"],
    matte: Float[np.ndarray, "height width"],
    window: Window,
    size: tuple[int, int],
    face_width: float,
    wanted: float,
    hidden: Float[np.ndarray, "height width"] | None = None,
) -> PictureLevel:
    """Return a window's picture so small that its face has a width; never enlarged.

    Args:
        picture: of the window, on white, 0..1.
        matte: of the window, 0..1.
        window: where it is in the photo.
        size: width and height of the photo, whose middle is the principal point.
        face_width: pixels of the photo.
        wanted: pixels of the result.
        hidden: 1 where something hides the head; None = nowhere.
    """
    small, per_pixel = window.shrunk(face_width, wanted)

    def smaller(image: np.ndarray) -> Tensor:
        return resized(image, small).permute(1, 2, 0)

    return PictureLevel(
        smaller(picture).contiguous(),
        smaller(matte[..., None]).contiguous(),
        torch.tensor([window.left, window.top], dtype=torch.float64),
        per_pixel,
        torch.tensor(size, dtype=torch.float64) / 2,
        face_width * float(per_pixel[1]),
        1 - smaller(np.zeros_like(matte)[..., None] if hidden is None else hidden[..., None])[..., 0],
    )
