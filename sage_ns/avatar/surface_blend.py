"""Blending of values of triangles to surfels: weighted means whose weights are fixed for a set of surfels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.geometry.vertex_means import vertex_sums

_KERNEL = 0.5
"""Standard deviation of the radial-basis kernel, in radii."""
_NEIGHBOURS = 16
"""Largest number of neighbours; the nearest are used."""
_MIN_NEIGHBOURS = 3
"""Fewer neighbours do not determine a surface."""


class SurfaceBlend:
    """Blend over the triangles around the three corners of a surfel's anchor; continuous in the anchor.

    The weight of a triangle is its canonical area: slivers, whose deformation gradients are meaningless, hardly count.

    Args:
        triangles: triangles of the mesh.
        areas: canonical areas of the triangles [square metres].
        anchor: triangle with the anchor of each surfel, the point of the rig nearest to it.
        barycentric: barycentric coordinates of the anchor.
        num_vertices: number of vertices of the mesh.
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
        """Return the weighted mean for each surfel; not valid where ``defined`` is false."""
        at_vertices = values.new_zeros(self._num_vertices, values.shape[-1])
        for corner in range(3):
            at_vertices.index_add_(0, self._triangles[:, corner], self.shares[:, corner, None] * values)
        return F.embedding_bag(self.corners, at_vertices, per_sample_weights=self._barycentric, mode="sum")


class NeighbourBlend:
    """Blend over the triangles of a surfel and its neighbours, weighted by a Gaussian of the distance (Eq. 14).

    Args:
        means: canonical centres [metres].
        radius: radius of each surfel's neighbourhood [metres].
        triangle: triangle that each surfel is bound to.
        label: neighbours have equal labels, which separate parts that touch, such as the lips.
        is_skin: surfels that may be neighbours; hair may not.
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
        self.defined = inside.sum(dim=-1) > _MIN_NEIGHBOURS
        self._triangles = triangle[neighbours]
        self._weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-12)

    def __call__(self, values: Float[Tensor, "num_triangles channels"]) -> Float[Tensor, "num_surfels channels"]:
        """Return the weighted mean for each surfel; not valid where ``defined`` is false."""
        return F.embedding_bag(self._triangles, values, per_sample_weights=self._weights, mode="sum")
