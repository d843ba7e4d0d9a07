"""A mesh that another program has made of the person, laid onto the tracked head, as the field's first shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import FieldError
from sage_ns.geometry.icp import register_surface
from sage_ns.geometry.mesh_files import read_closed_surface
from sage_ns.geometry.mesh_queries import barycentric_to_points, sample_triangles, uniform_barycentric
from sage_ns.geometry.triangles import triangle_areas

MOST_RESIDUAL = 0.005
"""Metres that the tracked face may be from the prior on average [reading]: another person's face is one to three
millimetres away, a ball or a box about ten."""
_SIZES = (0.6, 3.0)
"""Smallest and largest size of a registered prior, in sizes of the tracked head: from a face mask to a bust."""


@dataclass(frozen=True, eq=False)
class PriorMesh:
    """A closed mesh in the place of the tracked head."""

    path: Path
    vertices: Float[Tensor, "num_vertices 3"]
    """Canonical world, metres."""
    triangles: Int[Tensor, "num_triangles 3"]
    scale: float
    """Metres per unit of the file."""
    residual: float
    """Mean distance of the tracked face from it, metres."""

    def summary(self) -> str:
        """Return scale and residual in words."""
        return (
            f"Prior mesh {self.path}: scaled by {self.scale:.4g} to metres; the tracked face is "
            f"{1e3 * self.residual:.2f} mm from it on average."
        )

    def points_within(
        self, center: Float[Tensor, "3"], half_size: float, count: int, seed: int
    ) -> Float[Tensor, "num_points 3"]:
        """Draw points on it by area, on triangles within a cube; float32 on the CPU [metres].

        Raises:
            FieldError: no triangle is within the cube.
        """
        inside = ((self.vertices - center.cpu().double()).abs() <= half_size).all(dim=-1)[self.triangles].all(dim=-1)
        weights = triangle_areas(self.vertices, self.triangles) * inside
        if not bool((weights > 0).any()):
            raise FieldError(f"{self.path}: no triangle lies within the cube of the field. Give the mesh of a head.")
        generator = torch.Generator().manual_seed(seed)
        triangle = sample_triangles(weights, count, generator)
        barycentric = uniform_barycentric(count, generator).double()
        return barycentric_to_points(self.vertices, self.triangles, triangle, barycentric).float()


def registered_prior(
    path: Path,
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    face: Bool[Tensor, "num_triangles"] | None = None,
) -> PriorMesh:
    """Read a closed mesh and lay it onto the tracked head by a similarity (`register_surface`).

    Args:
        path: .ply, .obj or .glb; any unit, place and turn.
        vertices, triangles: the tracked head at the canonical moment, metres.
        face: its triangles that decide about the fit, since hair is no part of it; None = all.

    Raises:
        FieldError: the file cannot be used, or the mesh does not fit; names the file, what was found and what to do.
    """
    surface = read_closed_surface(path, FieldError)
    try:
        found = register_surface(surface.vertices, surface.triangles, vertices, triangles, face)
    except (ValueError, RuntimeError) as cause:
        raise FieldError(f"{path}: cannot be laid onto the tracked head ({cause}).") from cause
    placed = found.moved(surface.vertices)
    hint = "Give the closed mesh of this person's head, cut off below the neck, without mirroring."
    if not (bool(placed.isfinite().all()) and found.residual <= MOST_RESIDUAL):
        raise FieldError(
            f"{path}: the mesh does not fit the tracked head: the face is {1e3 * found.residual:.1f} mm from it on "
            f"average, expected at most {1e3 * MOST_RESIDUAL:g} mm. {hint}"
        )
    size = float(_extent(placed) / _extent(vertices.double().cpu()))
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise FieldError(
            f"{path}: the mesh fits the face only at {size:.2f} times the size of the tracked head, expected "
            f"{_SIZES[0]:g} to {_SIZES[1]:g}. {hint}"
        )
    return PriorMesh(path, placed, surface.triangles, found.moved.scale, found.residual)


def _extent(vertices: Float[Tensor, "num_vertices 3"]) -> Float[Tensor, ""]:
    return (vertices.amax(dim=0) - vertices.amin(dim=0)).max()
