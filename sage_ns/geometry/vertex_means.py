"""Sums and means over the triangles around each vertex."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def vertex_sums(
    values: Float[Tensor, "num_triangles *channels"], triangles: Int[Tensor, "num_triangles 3"], num_vertices: int
) -> Float[Tensor, "num_vertices *channels"]:
    """Sum values over the triangles around each vertex; zero for a vertex without triangles."""
    sums = values.new_zeros((num_vertices, *values.shape[1:]))
    for corner in triangles.unbind(dim=-1):
        sums.index_add_(0, corner, values)
    return sums


def vertex_normals(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> Float[Tensor, "num_vertices 3"]:
    """Return unit vertex normals, area-weighted means over adjacent triangles; zero for a vertex without triangles."""
    v0, v1, v2 = vertices[triangles].unbind(dim=-2)
    area_vectors = torch.linalg.cross(v1 - v0, v2 - v0)
    return F.normalize(vertex_sums(area_vectors, triangles, vertices.shape[0]), dim=-1, eps=1e-20)
