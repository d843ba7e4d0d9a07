"""Dynamic wrinkles: skin that is pushed together folds, and folds are dark (method Sec. VIII)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.geometry.triangles import triangle_areas


def wrinkle_shade(
    canonical: Float[Tensor, "num_vertices 3"],
    posed: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    is_skin: Bool[Tensor, "num_triangles"],
    strength: float,
) -> Float[Tensor, "num_triangles"]:
    """Factor on the colour of each triangle's surfels: ``1 - strength * max(0, 1 - A_t / A_0)``.

    [reading] The paper darkens surfels with high normal error and dims those with high distortion. Here both are mostly
    noise: darkening by them costs more than it brings (docs/benchmarks.md). What folds skin is that there is too much
    of it: the share of its area that a triangle has lost since the canonical moment.

    Args:
        canonical, posed: vertices of the rig at the canonical and at this moment, metres.
        triangles: of the rig.
        is_skin: those that can fold.
        strength: 0 = none; 1 = skin pushed to nothing is black.
    """
    before = triangle_areas(canonical, triangles)
    lost = 1.0 - triangle_areas(posed, triangles) / before.clamp_min(1e-12)
    return 1.0 - strength * torch.where(is_skin & (before > 0), lost.clamp(0.0, 1.0), 0.0)
