"""The inside of the head, which no picture shows while the mouth is shut, is dark."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.triangles import TriangleFrames

_DARK = 0.06
"""Share of its colour that a surfel keeps when it is seen from inside the head."""
_GRAZING, _INSIDE = -0.2, -0.5
"""Cosine between outward normal and direction to the camera: untouched above the first, dark below the second.
Well off zero, since around the silhouette surfels of both sides are in view."""
_SKIN_DEPTH = 1.0
"""Surfels higher over their triangle than this, in triangle scales, are hair, which may be seen from behind."""


@torch.no_grad()
def interior_shade(
    local_means: Float[Tensor, "num_surfels 3"],
    triangle: Int[Tensor, "num_surfels"],
    frames: TriangleFrames,
    camera_center: Float[Tensor, "3"],
) -> Float[Tensor, "num_surfels"]:
    """Factor on each surfel's colour: 1 seen from outside, nearly 0 where its triangle turns its inside to the camera.

    A surfel is visible from both sides. Through an opening mouth, the inside of cheeks and back of the head would
    shine in the colours of their outside; light that gets there hardly comes back.
    """
    towards = torch.nn.functional.normalize(camera_center - frames.origin, dim=-1)
    facing = (frames.normal * towards).sum(dim=-1)
    inside = ((_GRAZING - facing) / (_GRAZING - _INSIDE)).clamp(0.0, 1.0)[triangle]
    return 1.0 - (1.0 - _DARK) * inside * (local_means[:, 1] < _SKIN_DEPTH)
