"""Rays at the posed head, transformed to the canonical head (method Sec. 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.triangles import TriangleFrames


def to_canonical(
    origins: Float[Tensor, "num_rays 3"],
    directions: Float[Tensor, "num_rays 3"],
    posed: TriangleFrames,
    canonical: TriangleFrames,
) -> tuple[Float[Tensor, "num_rays 3"], Float[Tensor, "num_rays 3"]]:
    """Transform rays by the inverse motion of their triangles since the canonical moment (the warp of Eq. 20).

    A point x in the frame of the triangle is at k_t R_t x + T_t in the posed world and at k_0 R_0 x + T_0 in the
    canonical world. Therefore o -> k_0 R_0 (R_t^T (o - T_t) / k_t) + T_0 and d -> R_0 R_t^T d. Directions keep their
    length; distances along a ray are multiplied by k_0 / k_t.

    Args:
        origins: metres, world.
        directions: world.
        posed, canonical: frames of the triangle that each ray meets, one per ray.
    """
    turn = canonical.rotation @ posed.rotation.mT
    shrink = (canonical.scale / posed.scale)[:, None]
    turned = torch.einsum("nij,nj->ni", turn, origins - posed.origin)
    return shrink * turned + canonical.origin, torch.einsum("nij,nj->ni", turn, directions)


def meeting_points(
    origins: Float[Tensor, "num_rays 3"],
    directions: Float[Tensor, "num_rays 3"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    triangle: Int[Tensor, "num_rays"],
) -> Float[Tensor, "num_rays"]:
    """Return the distance to the plane of each ray's triangle, in lengths of its direction; 0 if parallel to it."""
    corner, second, third = vertices[triangles[triangle]].unbind(1)
    normal = torch.linalg.cross(second - corner, third - corner)
    slope = (normal * directions).sum(dim=-1)
    along = slope.abs() < 1e-12 * torch.linalg.vector_norm(normal, dim=-1).clamp_min(1e-20)
    return torch.where(along, 0.0, (normal * (corner - origins)).sum(dim=-1) / torch.where(along, 1.0, slope))
