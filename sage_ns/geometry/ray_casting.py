"""Which triangle a ray meets first."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


class RayCaster:
    """Casts rays at one mesh, again and again: the search tree is built once (trimesh with embree, on CPU)."""

    def __init__(self, vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]) -> None:
        import trimesh

        self._mesh = trimesh.Trimesh(
            vertices.detach().cpu().numpy().astype(np.float64), triangles.cpu().numpy(), process=False, validate=False
        )

    def first_triangles(
        self, origins: Float[Tensor, "num_rays 3"], directions: Float[Tensor, "num_rays 3"]
    ) -> Int[Tensor, "num_rays"]:
        """Index of the first triangle that each ray meets, -1 where it meets none; on the CPU."""
        hits = self._mesh.ray.intersects_first(
            origins.detach().cpu().numpy().astype(np.float64), directions.detach().cpu().numpy().astype(np.float64)
        )
        return torch.from_numpy(np.asarray(hits, dtype=np.int64))


def first_triangles(
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    origins: Float[Tensor, "num_rays 3"],
    directions: Float[Tensor, "num_rays 3"],
) -> Int[Tensor, "num_rays"]:
    """Index of the first triangle of a mesh that each ray meets, -1 where it meets none; on the CPU."""
    return RayCaster(vertices, triangles).first_triangles(origins, directions)
