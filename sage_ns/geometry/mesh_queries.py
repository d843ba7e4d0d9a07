"""Questions to a triangle mesh: what is closest to a point, where is a barycentric point, draw triangles at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ClosestTriangles:
    """For every point, the closest triangle of a mesh and the closest point on it."""

    triangle: Int64[Tensor, "num_points"]
    barycentric: Float[Tensor, "num_points 3"]
    distance: Float[Tensor, "num_points"]
    """Metres, not signed."""


def nearest_triangles(
    points: Float[Tensor, "num_points 3"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
) -> ClosestTriangles:
    """The closest triangle of every point: exact, for open and closed meshes, degenerate triangles included.

    Computed in float64 on the CPU, without gradients; the answer has the points' device and dtype. Of equally close
    triangles (a shared edge or corner) the one with the lowest index is taken.

    Raises:
        ValueError: There are no triangles, or points or vertices are not finite.
    """
    from sage_ns.geometry.triangle_tree import build_tree, find_closest

    if len(triangles) == 0:
        raise ValueError("nearest_triangles: found no triangles, expected at least one")
    positions = points.detach().cpu().double().numpy()
    corners = vertices.detach().cpu().double().numpy()[triangles.cpu().numpy()]
    if not (np.isfinite(positions).all() and np.isfinite(corners).all()):
        raise ValueError("nearest_triangles: points and vertices have to be finite")
    triangle, squared, barycentric = find_closest(
        np.ascontiguousarray(positions), np.ascontiguousarray(corners), *build_tree(corners)
    )
    return ClosestTriangles(
        triangle=torch.from_numpy(triangle).to(points.device),
        barycentric=torch.from_numpy(barycentric).to(points),
        distance=torch.from_numpy(np.sqrt(squared)).to(points),
    )


def barycentric_to_points(
    vertices: Float[Tensor, "*batch num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    triangle: Int[Tensor, "num_points"],
    barycentric: Float[Tensor, "num_points 3"],
) -> Float[Tensor, "*batch num_points 3"]:
    """Positions of points given by their triangle and barycentric coordinates."""
    return (vertices[..., triangles[triangle], :] * barycentric[..., None]).sum(dim=-2)


def sample_triangles(
    weights: Float[Tensor, "num_triangles"], num_samples: int, generator: torch.Generator | None = None
) -> Int64[Tensor, "num_samples"]:
    """Draw triangles in proportion to their weights, in ascending order, by systematic sampling.

    One random offset places `num_samples` evenly spaced marks along the summed weights, so that a triangle's count is
    its expected number rounded down or up, and never off by more.

    Args:
        weights: Not negative; only their ratios matter.
        num_samples: How many to draw.
        generator: Makes the draw repeatable; on the CPU.

    Raises:
        ValueError: The weights are negative, not finite or all zero.
    """
    summed = weights.detach().cpu().double().cumsum(0)
    total = float(summed[-1]) if len(summed) else 0.0
    if not 0 < total < float("inf") or bool((weights < 0).any()):
        raise ValueError("sample_triangles: expected finite weights, none negative and not all zero")
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    marks = (torch.arange(num_samples, dtype=torch.float64) + offset) / num_samples * total
    last = int((weights > 0).nonzero().max())
    return torch.searchsorted(summed, marks, right=True).clamp_max(last).to(weights.device)


def uniform_barycentric(num_points: int, generator: torch.Generator | None = None) -> Float[Tensor, "num_points 3"]:
    """Barycentric coordinates of points spread evenly over a triangle (Osada et al. 2002, Eq. 1); on the CPU."""
    first, second = torch.rand(2, num_points, generator=generator)
    root = first.sqrt()
    return torch.stack([1 - root, root * (1 - second), root * second], dim=-1)
