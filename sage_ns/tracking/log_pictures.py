"""The pictures of one camera as logarithms, at one resolution: light becomes a sum, and bright skin counts no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.tracking.window import Window, resized

_DARK = 0.03
"""Level (0..1) that is added before the logarithm: the grain of dark pixels is no colour."""
_SMALLEST = 16
"""Pixels of a side."""


@dataclass(frozen=True, eq=False)
class LogPictures:
    """Logarithms of sRGB levels of a window of all pictures."""

    values: Float[Tensor, "t 3 h w"]
    corner: Float[Tensor, "2"]
    """Of the window in the whole picture, pixels."""
    scale: Float[Tensor, "2"]
    """Pixels of these pictures per pixel of the whole picture."""

    @classmethod
    def of(
        cls, pictures: Iterable[UInt8[np.ndarray, "height width 3"]], window: Window, face_width: float, wanted: float
    ) -> LogPictures:
        """Return pictures so small that the face has a width; they are never enlarged.

        Args:
            pictures: whole pictures, of one size.
            window: the part that is needed.
            face_width: pixels of the whole picture.
            wanted: pixels of the result.
        """
        size, per_pixel = window.shrunk(face_width, wanted)
        small = torch.stack([resized(window.cut(each) / 255.0, size) for each in pictures])
        corner = torch.tensor([window.left, window.top], dtype=torch.float64)
        return cls((small + _DARK).log(), corner, per_pixel)

    def smaller(self, share: float) -> LogPictures:
        """Return the pictures at a share of their size."""
        old = self.values.shape[-2:]
        size = tuple(max(_SMALLEST, round(share * side)) for side in old)
        factor = torch.tensor([size[1] / old[1], size[0] / old[0]], dtype=torch.float64)
        values = F.interpolate(self.values, size, mode="bilinear", antialias=True)
        return LogPictures(values, self.corner, self.scale * factor)

    def at(
        self, pixels: Float[Tensor, "t n 2"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 3 2"], Float[Tensor, "t n"]]:
        """Return values at pixels of the whole picture, their gradients per such pixel, and 1 inside of the window.

        Bilinear; the centre of the first pixel is at 0.5.
        """
        height, width = self.values.shape[-2:]
        place = (pixels - self.corner) * self.scale - 0.5
        x, y = place[..., 0].clamp(0, width - 1.001), place[..., 1].clamp(0, height - 1.001)
        inside = ((place - torch.stack([x, y], dim=-1)).abs() < 1e-9).all(dim=-1)
        left, top = x.long(), y.long()
        right, low = (x - left)[..., None], (y - top)[..., None]
        row = torch.arange(len(pixels))[:, None]

        def corner(down: int, across: int) -> Tensor:
            return self.values[row, :, top + down, left + across].double()

        a, b, c, d = corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)
        value = (1 - low) * ((1 - right) * a + right * b) + low * ((1 - right) * c + right * d)
        across = (1 - low) * (b - a) + low * (d - c)
        down = (1 - right) * (c - a) + right * (d - b)
        return value, torch.stack([across, down], dim=-1) * self.scale, inside.double()
