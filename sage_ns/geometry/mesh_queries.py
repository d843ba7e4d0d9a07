"""Single queries of a triangle mesh, and points on its triangles: positions and random samples."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from sage_ns.geometry.triangle_mesh import ClosestTriangles, TriangleMesh


def nearest_triangles(
    points: Float[Tensor, "num_points 3"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
) -> ClosestTriangles:
    """Return the closest triangle of every point, see :meth:`TriangleMesh.closest`.

    Raises:
        ValueError: There are no triangles or none with an area, or points or vertices are not finite.
    """
    return TriangleMesh(vertices, triangles).closest(points)


def first_triangles(
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    origins: Float[Tensor, "num_rays 3"],
    directions: Float[Tensor, "num_rays 3"],
) -> Int64[Tensor, "num_rays"]:
    """Return the index of the first triangle that each ray meets, -1 where it meets none; on the rays' device.

    For repeated queries of the same triangles, keep a :class:`TriangleMesh` and :meth:`~TriangleMesh.move` it.

    Raises:
        ValueError: There are no triangles, or vertices are not finite.
    """
    return TriangleMesh(vertices, triangles).first_hits(origins, directions).triangle


def barycentric_to_points(
    vertices: Float[Tensor, "*batch num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    triangle: Int[Tensor, "num_points"],
    barycentric: Float[Tensor, "num_points 3"],
) -> Float[Tensor, "*batch num_points 3"]:
    """Return the positions of points that are given by triangle and barycentric coordinates."""
    return (vertices[..., triangles[triangle], :] * barycentric[..., None]).sum(dim=-2)


def sample_triangles(
    weights: Float[Tensor, "num_triangles"], num_samples: int, generator: torch.Generator | None = None
) -> Int64[Tensor, "num_samples"]:
    """Draw triangles in proportion to their weights, in ascending order, by systematic sampling.

    One random offset places `num_samples` evenly spaced marks along the summed weights. The count of a triangle is then
    its expected number, rounded down or up.

    Args:
        weights: Not negative; only their ratios matter.
        num_samples: Number of triangles to draw.
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
    """Draw barycentric coordinates of points uniformly on a triangle (Osada et al. 2002, Eq. 1); on the CPU."""
    first, second = torch.rand(2, num_points, generator=generator)
    root = first.sqrt()
    return torch.stack([1 - root, root * (1 - second), root * second], dim=-1)
