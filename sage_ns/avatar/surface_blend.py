"""From triangles to surfels: fixed weighted means, found once for a set of surfels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.geometry.vertex_means import vertex_sums

_KERNEL = 0.5
"""Standard deviation of the radial-basis kernel, in radii."""
_NEIGHBOURS = 16
"""At most this many neighbours, the nearest."""
_LONELY = 3
"""Fewer neighbours than this say nothing of a surface."""


class OverSurface:
    """Blends over the triangles around the three corners of a surfel's place on the rig: continuous where that is.

    Every triangle weighs its canonical area, since a sliver has hardly an area, and a gradient that says nothing.

    Args:
        triangles: of the mesh.
        areas: theirs, canonical [square metres].
        anchor: triangle that each surfel lies on.
        barycentric: where on it.
        num_vertices: of the mesh.
    """

    def __init__(
        self,
        triangles: Int[Tensor, "num_triangles 3"],
        areas: Float[Tensor, "num_triangles"],
        anchor: Int[Tensor, "num_surfels"],
        barycentric: Float[Tensor, "num_surfels 3"],
        num_vertices: int,
    ) -> None:
        around = vertex_sums(areas, triangles, num_vertices)
        self._triangles, self.shares = triangles, areas[:, None] / torch.where(around > 0, around, 1.0)[triangles]
        self.corners, self._barycentric = triangles[anchor], barycentric
        self._num_vertices = num_vertices
        self.defined = (around > 0)[self.corners].all(dim=-1)

    def __call__(self, values: Float[Tensor, "num_triangles channels"]) -> Float[Tensor, "num_surfels channels"]:
        """Means around each surfel; zero where none is ``defined``."""
        at_vertices = values.new_zeros(self._num_vertices, values.shape[-1])
        for corner in range(3):
            at_vertices.index_add_(0, self._triangles[:, corner], self.shares[:, corner, None] * values)
        return F.embedding_bag(self.corners, at_vertices, per_sample_weights=self._barycentric, mode="sum")


class OverNeighbours:
    """Blends over the triangles of a surfel's neighbours and its own, by a Gaussian of their distance (Eq. 14).

    Args:
        means: canonical centres [metres].
        radius: of each surfel's neighbourhood [metres].
        triangle: that each surfel is bound to.
        label: surfels are neighbours only of those with the same: lips that touch do not belong together.
        is_skin: which surfels may be neighbours; hair over a forehead may not.
    """

    def __init__(
        self,
        means: Float[Tensor, "num_surfels 3"],
        radius: Float[Tensor, "num_surfels"],
        triangle: Int[Tensor, "num_surfels"],
        label: Int[Tensor, "num_surfels"],
        is_skin: Bool[Tensor, "num_surfels"],
    ) -> None:
        from scipy.spatial import KDTree

        count = min(_NEIGHBOURS + 1, len(means))
        points = means.cpu().double().numpy()
        _, found = KDTree(points).query(points, k=count, workers=-1)
        neighbours = torch.from_numpy(found.reshape(-1, count)).to(triangle.device)
        distance = (means[neighbours] - means[:, None]).norm(dim=-1)
        inside = (distance <= radius[:, None]) & (label[neighbours] == label[:, None]) & is_skin[neighbours]
        weights = torch.exp(-0.5 * (distance / (_KERNEL * radius[:, None])) ** 2) * inside
        self.defined = inside.sum(dim=-1) > _LONELY
        self._triangles = triangle[neighbours]
        self._weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-12)

    def __call__(self, values: Float[Tensor, "num_triangles channels"]) -> Float[Tensor, "num_surfels channels"]:
        """Means around each surfel; zero where none is ``defined``."""
        return F.embedding_bag(self._triangles, values, per_sample_weights=self._weights, mode="sum")
