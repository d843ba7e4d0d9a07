"""Local frames, normals and areas of the triangles of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.rotations import matrix_to_quaternion

MIN_TRIANGLE_SCALE = 1e-9
"""Metres. Lower bound on the scale of a triangle; keeps divisions by a scale finite for collapsed triangles."""


@dataclass(frozen=True)
class TriangleFrames:
    """One similarity transform per triangle: local point x -> scale * rotation @ x + origin."""

    origin: Float[Tensor, "*batch num_triangles 3"]
    """Centroid, metres."""
    rotation: Float[Tensor, "*batch num_triangles 3 3"]
    """Columns [base edge direction, normal, in-plane direction away from the third vertex]; right-handed."""
    scale: Float[Tensor, "*batch num_triangles"]
    """Mean of base edge length and height, metres."""

    @property
    def quaternion(self) -> Float[Tensor, "*batch num_triangles 4"]:
        """The rotations as unit quaternions (wxyz, w >= 0)."""
        return matrix_to_quaternion(self.rotation)

    @property
    def normal(self) -> Float[Tensor, "*batch num_triangles 3"]:
        """Unit normals: the second column of the rotations."""
        return self.rotation[..., 1]

    def __getitem__(self, triangle: Int[Tensor, "num_selected"]) -> TriangleFrames:
        """Select triangles, along the triangle axis of any batch."""
        return TriangleFrames(
            self.origin[..., triangle, :], self.rotation[..., triangle, :, :], self.scale[..., triangle]
        )


def triangle_frames(
    vertices: Float[Tensor, "*batch num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> TriangleFrames:
    """Compute the frame of every triangle (v0, v1, v2), as GaussianAvatars (Qian et al. 2024) defines it.

    With u = v1 - v0 and e = v2 - v0: a0 = u / |u|, n = a0 x e / |a0 x e|, a2 = -(n x a0);
    origin = (v0 + v1 + v2) / 3, rotation = [a0, n, a2] as columns, scale = (|u| + |a2 . e|) / 2.
    A degenerate triangle gets an arbitrary but orthonormal frame: its values and gradients are finite.
    """
    v0, v1, v2 = vertices[..., triangles, :].unbind(-2)
    fallback = torch.zeros_like(v0)
    fallback[..., 0] = 1.0
    base, base_length = _direction(v1 - v0, fallback)
    edge = v2 - v0
    # n x a0 is the direction of the part of e that is perpendicular to the base, and |a2 . e| is its length.
    # Projecting twice keeps slivers orthogonal in float32.
    height = _reject(_reject(edge, base), base)
    smallest = F.one_hot(base.detach().abs().argmin(-1), 3).to(base.dtype)
    perpendicular = F.normalize(torch.linalg.cross(base.detach(), smallest), dim=-1)
    upward, height_length = _direction(height, perpendicular, negligible=1e-7 * edge.detach().norm(dim=-1))
    away = -upward
    rotation = torch.stack([base, torch.linalg.cross(away, base), away], dim=-1)
    scale = ((base_length + height_length) / 2).clamp_min(MIN_TRIANGLE_SCALE)
    return TriangleFrames((v0 + v1 + v2) / 3, rotation, scale)


def triangle_normals(
    vertices: Float[Tensor, "*batch num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> Float[Tensor, "*batch num_triangles 3"]:
    """Return unit normals of triangles, counter-clockwise from outside; zero for a triangle without area."""
    return F.normalize(_doubled_area_vectors(vertices, triangles), dim=-1, eps=1e-20)


def triangle_areas(
    vertices: Float[Tensor, "*batch num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> Float[Tensor, "*batch num_triangles"]:
    """Return the areas in square metres."""
    return 0.5 * _doubled_area_vectors(vertices, triangles).norm(dim=-1)


def _doubled_area_vectors(vertices: Tensor, triangles: Tensor) -> Float[Tensor, "*batch num_triangles 3"]:
    v0, v1, v2 = vertices[..., triangles, :].unbind(-2)
    return torch.linalg.cross(v1 - v0, v2 - v0)


def _reject(vector: Tensor, unit: Tensor) -> Tensor:
    """Return the part of a vector that is perpendicular to a unit vector."""
    return vector - (vector * unit).sum(-1, keepdim=True) * unit


def _direction(vector: Tensor, fallback: Tensor, negligible: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """Return unit direction and length; the constant fallback and zero length where the vector is negligibly short."""
    squared = (vector**2).sum(-1)
    limit = torch.as_tensor(negligible, dtype=squared.dtype, device=squared.device).clamp_min(MIN_TRIANGLE_SCALE)
    degenerate = squared <= limit**2
    length = torch.where(degenerate, 1.0, squared).sqrt()
    unit = torch.where(degenerate[..., None], fallback, vector / length[..., None])
    return unit, torch.where(degenerate, 0.0, length)
