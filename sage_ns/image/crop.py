"""A turned square in a picture, and the pixels in it at a network's resolution.

A crop's own coordinates run from (0, 0), its upper left corner, to (1, 1). The picture's run in pixels from its upper
left corner: the centre of the first pixel is at (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Crop:
    r"""A square with the centre $c$, side $s$ and angle $\alpha$ in a picture.

    $x = c + s R(\alpha) (u - \frac12)$ takes its own coordinates $u$ to the picture's.
    """

    centre: tuple[float, float]
    side: float
    """In pixels."""
    angle: float = 0.0
    """In radians; positive turns the square's x axis towards the picture's y axis, that is clockwise on a screen."""

    def to_picture(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Return points of the crop in pixels of the picture."""
        return (points - 0.5) * self.side @ self._rotation(points).T + points.new_tensor(self.centre)

    def corners(self) -> Float[Tensor, "4 2"]:
        """Return the corners in pixels of the picture."""
        return self.to_picture(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64))

    def _rotation(self, like: Tensor) -> Tensor:
        sin, cos = math.sin(self.angle), math.cos(self.angle)
        return like.new_tensor([[cos, -sin], [sin, cos]])


def around(points: Float[Tensor, "n 2"], axis: Float[Tensor, "2 2"], scale: float) -> Crop:
    """Return the crop around points whose x axis has the direction of a pair of points.

    MediaPipe's rule: centre and size are those of the upright box around the points, and the longer side counts.

    Args:
        points: in pixels.
        axis: start and end of the direction, such as the outer corners of the eyes.
        scale: side of the crop as a multiple of the box's.
    """
    low, high = points.amin(0), points.amax(0)
    dx, dy = (axis[1] - axis[0]).tolist()
    x, y = ((low + high) / 2).tolist()
    return Crop((x, y), float((high - low).max()) * scale, math.atan2(dy, dx))


def sampled(
    picture: UInt8[Tensor, "height width 3"], crop: Crop, resolution: int, beyond: str
) -> Float[Tensor, "resolution resolution 3"]:
    """Return the pixels of a crop, 0..1, on the picture's device.

    Bilinear; where the crop has two or more pixels of the picture per pixel, means of blocks of them are taken first,
    which MediaPipe does not do: fine patterns do not turn into coarse ones.

    Args:
        picture: the picture.
        crop: the square; may reach beyond the picture.
        resolution: pixels per side of the result.
        beyond: what is beyond the picture: "zeros" (black) or "border" (its outermost pixels).
    """
    left, top, part = _part(picture, crop)
    reduction = max(int(min(crop.side / resolution, *part.shape[:2])), 1)
    pixels = part.permute(2, 0, 1)[None].to(torch.float32) / 255
    if reduction > 1:
        pixels = F.avg_pool2d(pixels, reduction, ceil_mode=True, count_include_pad=False)
    steps = (torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    places = (crop.to_picture(grid) - grid.new_tensor([left, top])) / reduction
    # grid_sample counts from -1 at the outer border of the first pixel to 1 at that of the last.
    scaled = places * 2 / places.new_tensor([pixels.shape[3], pixels.shape[2]]) - 1
    taken = F.grid_sample(pixels, scaled[None].to(pixels), mode="bilinear", padding_mode=beyond, align_corners=False)
    return taken[0].permute(1, 2, 0)


def _part(picture: UInt8[Tensor, "height width 3"], crop: Crop) -> tuple[int, int, UInt8[Tensor, "part_h part_w 3"]]:
    """Return the upright part of a picture that a crop touches, and its upper left pixel; at least one pixel."""
    height, width = picture.shape[:2]
    corners = crop.corners()
    margin = 2 + crop.side / 64  # neighbours for interpolation, and whole blocks
    low = (corners.amin(0) - margin).floor().tolist()
    high = (corners.amax(0) + margin).ceil().tolist()
    left, right = (min(max(int(each), 0), width) for each in (low[0], high[0]))
    top, bottom = (min(max(int(each), 0), height) for each in (low[1], high[1]))
    left, top = min(left, width - 1), min(top, height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return left, top, picture[top:bottom, left:right]
