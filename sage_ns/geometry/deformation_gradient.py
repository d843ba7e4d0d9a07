"""Rotation and stretch of each triangle of a mesh between two poses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.rotations import matrix_to_quaternion, quaternion_conjugate, quaternion_multiply
from sage_ns.geometry.stretch_curvature import MAX_STRETCH, bounded_tensor
from sage_ns.geometry.triangles import TriangleFrames

FLAT = 1e-4
"""Ratio of height to base edge below which the stretch across the base cannot be measured."""


@dataclass(frozen=True)
class TriangleDeformations:
    """Polar decomposition F = Q U of the deformation gradient of each triangle, canonical to posed."""

    rotation: Float[Tensor, "num_triangles 4"]
    """Q as a unit quaternion (wxyz), of arbitrary sign."""
    squared_stretch: Float[Tensor, "num_triangles 3 3"]
    """U^2 = F^T F, the right Cauchy-Green tensor, in canonical world axes."""


def triangle_deformations(
    canonical: Float[Tensor, "num_vertices 3"],
    posed: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    canonical_frames: TriangleFrames,
    posed_frames: TriangleFrames,
) -> TriangleDeformations:
    """Compute rotation and stretch of triangles: F = E_posed E_canonical^-1 with E = [v1 - v0, v2 - v0, c / sqrt|c|].

    c is the cross product of the two edges. The normal stretches by the root of the factor on the area; an isotropic
    scale therefore has an isotropic F (SurFhead, Lee et al. 2025). Expressed in the two frames of the triangle, F is
    that root and an upper triangular 2x2 matrix, because the base edge stays on its axis.

    Stretches relative to the triangle's own scale k_t / k_0 are clamped to 1 / `MAX_STRETCH`..`MAX_STRETCH`, because
    those of a sliver divide two heights near zero. A triangle without height stretches by k_t / k_0 in all directions.

    Args:
        canonical, posed: the same vertices at two moments, metres.
        triangles: of the mesh.
        canonical_frames, posed_frames: `triangle_frames` of the two.
    """
    ratio = posed_frames.scale / canonical_frames.scale
    base, foot, height = triangle_sides(canonical, triangles, canonical_frames)
    posed_base, posed_foot, posed_height = triangle_sides(posed, triangles, posed_frames)
    flat = (height <= FLAT * base) | (posed_base <= 0)
    base, height = (torch.where(flat, 1.0, side) for side in (base, height))
    along = torch.where(flat, 1.0, posed_base / base / ratio)
    across = torch.where(flat, 1.0, posed_height / height / ratio)
    shear = torch.where(flat, 0.0, (foot * along - posed_foot / ratio) / height)

    stretch = bounded_tensor(torch.stack([along**2, along * shear, shear**2 + across**2], dim=-1))
    edge_edge, edge_away, away_away = stretch.unbind(-1)
    # Only rounding can bring it below the square of the lower bound.
    through = (edge_edge * away_away - edge_away**2).clamp_min(MAX_STRETCH**-4).sqrt()
    zero = torch.zeros_like(through)
    local = torch.stack([edge_edge, zero, edge_away, zero, through, zero, edge_away, zero, away_away], dim=-1)
    axes = canonical_frames.rotation
    squared_stretch = axes @ (ratio[:, None] ** 2 * local).unflatten(-1, (3, 3)) @ axes.mT

    # The rotation of [[along, shear], [0, across]], from base edge to away: about minus the normal, the frame's y axis.
    half = 0.5 * torch.atan2(-shear, along + across)
    about_normal = torch.stack([half.cos(), zero, -half.sin(), zero], dim=-1)
    from_canonical = quaternion_conjugate(matrix_to_quaternion(axes))
    rotation = quaternion_multiply(quaternion_multiply(posed_frames.quaternion, about_normal), from_canonical)
    return TriangleDeformations(rotation, squared_stretch)


def mean_rotation(quaternions: Float[Tensor, "n 4"], weights: Float[Tensor, "n"]) -> Float[Tensor, "4"]:
    """Return the mean rotation: the unit quaternion nearest to all, regardless of signs (Markley et al. 2007).

    Args:
        quaternions: unit, wxyz.
        weights: not negative.
    """
    moments = (weights[:, None] * quaternions).T @ quaternions
    if quaternions.device.type == "cpu":
        return torch.linalg.eigh(moments).eigenvectors[:, -1]
    return dominant_direction(moments)


def dominant_direction(moments: Float[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """Unit eigenvector of the largest eigenvalue of a positive semi-definite matrix, up to its sign.

    By ten squarings, which leave of another eigenvalue a share of (its ratio to the largest) ** 1024.
    ``torch.linalg.eigh`` would make the CPU wait for the device to check the result.
    """
    power = moments / moments.trace()
    for _ in range(10):
        power = power @ power
        power = power / power.trace()
    longest = power.diagonal().argmax().reshape(1)
    return torch.nn.functional.normalize(power.index_select(1, longest)[:, 0], dim=0)


def triangle_sides(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"], frames: TriangleFrames
) -> tuple[Float[Tensor, "num_triangles"], Float[Tensor, "num_triangles"], Float[Tensor, "num_triangles"]]:
    """Return base edge, position of the third vertex along it, and its height above it; metres.

    Args:
        vertices: metres.
        triangles: of the mesh.
        frames: `triangle_frames` of these.
    """
    v0, v1, v2 = vertices[triangles].unbind(dim=-2)
    base, _, away = frames.rotation.unbind(-1)
    return ((v1 - v0) * base).sum(-1), ((v2 - v0) * base).sum(-1), -((v2 - v0) * away).sum(-1)
