"""Points that follow the rig from the canonical pose to any other pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.mesh_queries import barycentric_to_points, nearest_triangles
from sage_ns.geometry.rotations import matrix_to_quaternion, nearest_rotation, quaternion_to_matrix
from sage_ns.geometry.triangles import triangle_areas, triangle_frames
from sage_ns.geometry.vertex_means import vertex_sums


@dataclass(frozen=True, eq=False)
class Carried:
    """Points under a pose of the rig, and the rotation of each relative to the canonical pose."""

    points: Float[Tensor, "num_points 3"]
    """Metres."""
    rotations: Float[Tensor, "num_points 3 3"]
    """From canonical axes to posed axes."""

    def turned(self, vectors: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
        """Return canonical vectors of the points, for instance normals, in the posed world."""
        return torch.einsum("nij,nj->ni", self.rotations, vectors)


class CarriedPoints:
    """Canonical points, bound to the nearest triangles of the rig and carried through its poses.

    Let y be the point of the canonical mesh that is nearest to a point x, and y' the same point on the posed mesh. Then
    x' = y' + R (x - y). The rotation R is blended from those of the triangle's three vertices, which are means over the
    triangles around them. Therefore x' is continuous where y is: surfaces do not tear at the borders of triangles, as
    they would if each point followed the frame of its own triangle. Rigid motions of the rig are followed exactly.

    Args:
        points: Canonical points, metres.
        vertices: The mesh in the canonical pose, metres.
        triangles: Its triangles.

    Raises:
        ValueError: There are no triangles, or points or vertices are not finite.
    """

    def __init__(
        self,
        points: Float[Tensor, "num_points 3"],
        vertices: Float[Tensor, "num_vertices 3"],
        triangles: Int[Tensor, "num_triangles 3"],
    ) -> None:
        closest = nearest_triangles(points, vertices, triangles)
        self.triangles = triangles
        self.triangle = closest.triangle
        self.barycentric = closest.barycentric
        self.offset = points - barycentric_to_points(vertices, triangles, self.triangle, self.barycentric)
        self._frames = triangle_frames(vertices, triangles).rotation
        # A triangle without area has an arbitrary frame: its weight, the area, is 0.
        self._areas = triangle_areas(vertices, triangles)

    def at(self, vertices: Float[Tensor, "num_vertices 3"]) -> Carried:
        """Return the points under the posed mesh with these vertices [metres]."""
        corners = matrix_to_quaternion(self._vertex_rotations(vertices))[self.triangles[self.triangle]]
        # A quaternion and its negative are the same rotation: give all three consistent signs before blending.
        signs = (corners * corners[:, :1]).sum(dim=-1, keepdim=True)
        corners = torch.where(signs < 0, -corners, corners)
        blended = F.normalize((corners * self.barycentric[..., None]).sum(dim=1), dim=-1)
        rotations = quaternion_to_matrix(blended)
        anchors = barycentric_to_points(vertices, self.triangles, self.triangle, self.barycentric)
        return Carried(anchors + torch.einsum("nij,nj->ni", rotations, self.offset), rotations)

    def _vertex_rotations(self, vertices: Float[Tensor, "num_vertices 3"]) -> Float[Tensor, "num_vertices 3 3"]:
        """Return the rotation nearest to the area-weighted mean over the triangles around each vertex."""
        turned = triangle_frames(vertices, self.triangles).rotation @ self._frames.mT
        means = vertex_sums(self._areas[:, None, None] * turned, self.triangles, vertices.shape[0])
        # Means would be reflections where the triangles around a vertex differ by more than right angles.
        return nearest_rotation(means)
