"""Fusion of rendered depth maps into a mesh: a truncated signed distance per cell, averaged over cameras."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.cameras import project

_CHUNK = 1 << 19


def fuse_depth(
    views: Iterable[tuple[PinholeCamera, Buffers]],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    cell_size: float,
    truncation: float,
) -> tuple[Float[Tensor, "num_vertices 3"], Int[Tensor, "num_triangles 3"]]:
    """Fuse depth maps in a box by truncated signed distances (Curless and Levoy 1996) and marching cubes.

    The value of a cell corner is the mean of (depth of its pixel - its own depth) / truncation, at most 1, over the
    cameras in which this is above -1; a pixel that shows no surface counts as 1. Corners that no camera sees are left
    out of the mesh.

    Args:
        views: Cameras, and the buffers that were rendered for them.
        low: Corner of the box, metres.
        high: Opposite corner of the box, metres.
        cell_size: Metres.
        truncation: Metres.
    """
    from skimage.measure import marching_cubes

    axes = [torch.arange(float(a), float(b), cell_size) for a, b in zip(low, high, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    sums, counts = torch.zeros(len(points)), torch.zeros(len(points))
    for camera, buffers in views:
        # Surfels of the far side of the head shift the mean depth by a millimetre, but not the median.
        depth = torch.where(buffers.alpha > 0.5, buffers.depth_median, torch.inf)[..., 0].cpu()
        camera = camera.to("cpu")
        for start in range(0, len(points), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            distance, seen = _seen_from(camera, depth, points[chunk])
            truncated = (distance / truncation).clamp_max(1.0)
            seen &= truncated > -1
            sums[chunk] += torch.where(seen, truncated, 0.0)
            counts[chunk] += seen
    size = tuple(len(axis) for axis in axes)
    volume = torch.where(counts > 0, sums / counts.clamp_min(1), 1.0).reshape(size).numpy()
    vertices, triangles, _, _ = marching_cubes(
        volume, 0.0, spacing=(cell_size,) * 3, mask=(counts > 0).reshape(size).numpy(), gradient_direction="descent"
    )
    return torch.from_numpy(vertices.copy()) + low.cpu(), torch.from_numpy(triangles.astype("int64"))


def _seen_from(
    camera: PinholeCamera, depth: Float[Tensor, "h w"], points: Float[Tensor, "num_points 3"]
) -> tuple[Tensor, Tensor]:
    """Return the distance of points in front of the surface in their pixel [metres], and whether they project into the
    picture."""
    at = project(points, camera)
    return depth[at.row, at.column] - at.depth, at.inside
