"""Dynamic wrinkles: compressed skin folds, and folds are dark (method Sec. VIII)."""

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
    """Return the factor on the colour of each triangle's surfels: ``1 - strength * max(0, 1 - A_t / A_0)``.

    [reading] The paper darkens surfels with high normal error and dims those with high distortion. Here both quantities
    are mostly noise, and darkening by them reduces quality (docs/lab_notebook.md). Skin folds where it is compressed:
    the measure used here is the share of its canonical area that a triangle has lost.

    Args:
        canonical, posed: vertices of the rig at the canonical moment and under a motion, metres.
        triangles: triangles of the rig.
        is_skin: triangles that can fold.
        strength: 0 = no darkening; 1 = skin compressed to no area is black.
    """
    before = triangle_areas(canonical, triangles)
    lost = 1.0 - triangle_areas(posed, triangles) / before.clamp_min(1e-12)
    return 1.0 - strength * torch.where(is_skin & (before > 0), lost.clamp(0.0, 1.0), 0.0)
