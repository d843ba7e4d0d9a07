"""Enlarge pictures before training: upscalers by name, or a network from the user's own weights.

A network invents detail, and it may also shift colours. `keep_colors` therefore takes the low frequencies of the result
from the original picture and only the high ones from the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

NONE = "none"
LOW_PASS = 2.0
"""Standard deviation in pixels of the original of the low-pass that separates its colours from a network's detail."""


class Upscaler(Protocol):
    """Enlarges pictures by a whole number; pixel edges stay pixel edges, so that intrinsics are multiplied by it."""

    @property
    def scale(self) -> int:
        """Width and height of the result divided by those of the picture."""
        ...

    @property
    def identity(self) -> str:
        """Text that changes whenever the results for the same picture change: part of the names of cached results."""
        ...

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, "big_h big_w 3"]:
        """Return the enlarged picture on the CPU. Values are in 0..1."""
        ...


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation (Keys 1981, a = -1/2): adds no detail. Scale 1 changes nothing."""

    scale: int

    @property
    def identity(self) -> str:
        """Name and scale."""
        return f"bicubic {self.scale}"

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, "big_h big_w 3"]:
        """Return the enlarged picture; values that the interpolation overshoots are cut to 0..1."""
        return enlarged(image, self.scale).clamp(0, 1)


UPSCALERS: Mapping[str, Callable[[], Upscaler]] = {
    NONE: lambda: Bicubic(1),
    "bicubic": lambda: Bicubic(2),
    "bicubic-3": lambda: Bicubic(3),
    "bicubic-4": lambda: Bicubic(4),
}
"""Upscalers by name. Every other text is the file of a network's weights."""


def open_upscaler(text: str) -> Upscaler:
    """Return the upscaler of a name in `UPSCALERS`, or that of a file of weights.

    Raises:
        SageError: The text is no name and no file, the package `spandrel` is missing, or the file holds no weights of a
            network for the super-resolution of single RGB pictures.
    """
    if text in UPSCALERS:
        return UPSCALERS[text]()
    from sage_ns.image.super_resolution_network import load_network

    return load_network(Path(text).expanduser())


def enlarged(image: Float[Tensor, "h w channels"], scale: int) -> Float[Tensor, "big_h big_w channels"]:
    """Return a picture or mask enlarged by bicubic interpolation; values may overshoot. Scale 1 changes nothing."""
    if scale == 1:
        return image
    planes = image.permute(2, 0, 1)[None]
    size = (image.shape[0] * scale, image.shape[1] * scale)
    # Without antialias, torch takes a = -3/4, which does not even keep ramps.
    return F.interpolate(planes, size=size, mode="bicubic", align_corners=False, antialias=True)[0].permute(1, 2, 0)


def keep_colors(
    detailed: Float[Tensor, "big_h big_w 3"], original: Float[Tensor, "h w 3"], scale: int
) -> Float[Tensor, "big_h big_w 3"]:
    """Return an enlarged picture with the low frequencies of the original.

    With blocks of pixels averaged back to the original's size (``down``), a Gaussian low-pass of `LOW_PASS` pixels and
    bicubic enlarging (``up``)::

        result = detailed + up(lowpass(original - down(detailed)))

    Args:
        detailed: picture in 0..1 that a network enlarged.
        original: picture in 0..1 that it was made from.
        scale: size of the first divided by the size of the second.
    """
    shrunk = F.avg_pool2d(detailed.permute(2, 0, 1)[None], scale)[0].permute(1, 2, 0)
    return (detailed + enlarged(_low_pass(original - shrunk), scale)).clamp(0, 1)


def _low_pass(image: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """Return the picture after a Gaussian blur; the border is repeated outwards."""
    reach = math.ceil(3 * LOW_PASS)
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-0.5 * (offsets / LOW_PASS).square())
    weights = weights / weights.sum()
    planes = F.pad(image.permute(2, 0, 1)[:, None], (reach,) * 4, mode="replicate")
    planes = F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return planes[:, 0].permute(1, 2, 0)
