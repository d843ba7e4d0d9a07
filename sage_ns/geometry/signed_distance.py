"""Signed distances to a mesh with holes, self-overlaps or inner shells, such as the mesh of a head.

The solid consists of everything that the mesh winds around after its holes are closed, and of every pocket that is
almost invisible from outside, such as the gap behind closed lips or between an eyelid and the eyeball.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.geometry.mesh_borders import border_loops
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_normals

MIN_OPENNESS = 0.05
"""A triangle is the wall of a pocket, and inside, if less than this share of its directions leads outside."""
_OFFSET = 1e-5
"""Distance above a triangle at which its outer side is tested, in diagonals of the bounding box."""
_TOLERANCE = 1e-6
"""Distances that differ by less count as equal, in diagonals of the bounding box. They are equal at points whose
closest edge belongs to a pocket's wall and to the outer surface."""
_SMALLEST_EDGE = 1 / 300
"""Partly covered triangles are halved until their edges are this short, in diagonals of the bounding box."""
_NUM_DIRECTIONS = (24, 384)
"""Test directions per triangle: the first number decides most triangles, the second is used for the others."""
_NUM_NEIGHBOURS = 48
_SMOOTHING_RADIUS = 1 / 150
"""Standard deviation over which the openness of triangles is smoothed, in diagonals of the bounding box."""


def close_holes(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> tuple[Float[Tensor, "num_closed_vertices 3"], Int[Tensor, "num_closed_triangles 3"]]:
    """Close every hole with a fan of triangles around the centroid of its border, oriented like its neighbours.

    Returns:
        The given vertices, then one for each hole; the given triangles, then those of the fans.
    """
    centroids, fans = [], []
    for loop in border_loops(triangles):
        center = loop.new_full((len(loop),), len(vertices) + len(centroids))
        fans.append(torch.stack([loop.roll(-1), loop, center], dim=1).to(triangles))
        centroids.append(vertices[loop].mean(dim=0))
    if not fans:
        return vertices, triangles
    return torch.cat([vertices, torch.stack(centroids)]), torch.cat([triangles, *fans])


def signed_distances(
    points: Float[Tensor, "num_points 3"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
) -> Float[Tensor, "num_points"]:
    """Compute distances of points to the solid that a mesh bounds, metres, negative inside, see :class:`Solid`.

    Raises:
        ValueError: There are no triangles, points or vertices are not finite, or the mesh is inside out.
    """
    return Solid(vertices, triangles).signed_distances(points)


class Solid:
    """The solid that a mesh bounds, prepared for repeated queries; on the CPU."""

    def __init__(self, vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]) -> None:
        """Close the holes and find what lies inside: inner shells, parts covered by other parts, walls of pockets.

        Raises:
            ValueError: There are no triangles, vertices are not finite, or no triangle borders on the outside, for
                instance because the triangles face inwards.
        """
        if len(triangles) == 0 or not bool(torch.isfinite(vertices).all()):
            raise ValueError("Solid: expected at least one triangle, and finite vertices")
        closed = close_holes(vertices.detach().cpu().double(), triangles.detach().cpu().long())
        self._closed = TriangleMesh(*closed, solid=True)
        self.vertices, uncovered = _uncovered(self._closed)
        if len(uncovered) == 0:
            raise ValueError("Solid: no triangle has an outer side; are they all without area?")
        visible = _openness(self._closed, self.vertices[uncovered]) > MIN_OPENNESS
        self.triangles = uncovered[visible]
        """The outer surface, without holes. A partly covered triangle is cut into pieces that share no vertices."""
        if len(self.triangles) == 0:
            raise ValueError("Solid: no triangle borders on the outside; are the triangles facing inwards?")
        self._surface = TriangleMesh(self.vertices, self.triangles)
        pocket_walls = uncovered[~visible]
        self._pocket_walls = TriangleMesh(self.vertices, pocket_walls) if len(pocket_walls) else None

    def signed_distances(self, points: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points"]:
        """Distance of every point to the outer surface, metres, negative inside; on the points' device, in their dtype.

        Raises:
            ValueError: Points are not finite.
        """
        positions = points.detach().cpu().double()
        distance = self._surface.closest(positions).distance
        inside = self._closed.contains(positions)
        if self._pocket_walls is not None:
            # A point belongs to a pocket if the surface closest to it is the wall of a pocket.
            inside |= self._pocket_walls.closest(positions).distance < distance - _TOLERANCE * _diagonal(self.vertices)
        return torch.where(inside, -distance, distance).to(points)


def _uncovered(mesh: TriangleMesh) -> tuple[Tensor, Tensor]:
    """Return the parts of a closed mesh's triangles that it does not wind around: whole triangles and pieces."""
    vertices, triangles = mesh.vertices, mesh.triangles
    diagonal = _diagonal(vertices)
    normals = triangle_normals(vertices, triangles)
    sided = normals.norm(dim=-1) > 0  # a triangle without area lies along its neighbours' edges
    bare = _bare_samples(vertices[triangles], normals, diagonal, mesh) & sided[:, None]
    whole, mixed = bare.all(dim=1), bare.any(dim=1) & ~bare.all(dim=1)
    pieces, normals = vertices[triangles[mixed]], normals[mixed]
    kept = [pieces[:0]]
    while len(pieces):
        pieces, normals = _halve(pieces), normals.repeat_interleave(2, dim=0)
        bare = _bare_samples(pieces, normals, diagonal, mesh)
        small = _edges(pieces).norm(dim=-1).amax(dim=-1) < _SMALLEST_EDGE * diagonal
        kept.append(pieces[torch.where(small, bare[:, 0], bare.all(dim=1))])
        undecided = bare.any(dim=1) & ~bare.all(dim=1) & ~small
        pieces, normals = pieces[undecided], normals[undecided]
    corners = torch.cat(kept).reshape(-1, 3)
    numbers = len(vertices) + torch.arange(len(corners)).reshape(-1, 3)
    return torch.cat([vertices, corners]), torch.cat([triangles[whole], numbers])


def _bare_samples(
    corners: Float[Tensor, "num_pieces 3 3"],
    normals: Float[Tensor, "num_pieces 3"],
    diagonal: float,
    mesh: TriangleMesh,
) -> Bool[Tensor, "num_pieces 4"]:
    """Test that nothing covers a triangle just above it: at its centre, and towards each corner."""
    towards_corner = 0.1 + 0.7 * torch.eye(3, dtype=corners.dtype)
    weights = torch.cat([torch.full((1, 3), 1 / 3, dtype=corners.dtype), towards_corner])
    samples = torch.einsum("sk,fkx->fsx", weights, corners) + _OFFSET * diagonal * normals[:, None]
    return ~mesh.contains(samples.reshape(-1, 3)).reshape(-1, 4)


def _openness(mesh: TriangleMesh, corners: Float[Tensor, "num_pieces 3 3"]) -> Float[Tensor, "num_pieces"]:
    """Return the share of directions above each piece that the mesh does not block, smoothed over neighbours.

    Without smoothing, neighbouring triangles of rough walls would differ, and the end of a pocket would be ragged.
    """
    from scipy.spatial import KDTree

    diagonal = _diagonal(mesh.vertices)
    normals = torch.nn.functional.normalize(torch.linalg.cross(*_edges(corners)[:, :2].unbind(1)), dim=-1, eps=1e-30)
    centers = corners.mean(dim=1)
    origins = centers + _OFFSET * diagonal * normals
    openness = torch.zeros(len(corners), dtype=torch.float64)
    undecided = torch.arange(len(corners))
    for num in _NUM_DIRECTIONS:
        directions = _even_directions(num)
        above = directions * torch.where(normals[undecided] @ directions.T < 0, -1.0, 1.0)[..., None]
        starts = origins[undecided, None].expand_as(above).reshape(-1, 3)
        hits = mesh.is_blocked(starts, above.reshape(-1, 3))
        openness[undecided] = 1 - hits.reshape(-1, num).double().mean(dim=1)
        undecided = (openness < 4 * MIN_OPENNESS).nonzero()[:, 0]
    num = min(_NUM_NEIGHBOURS, len(centers))
    apart, neighbours = (found.reshape(-1, num) for found in KDTree(centers).query(centers[undecided], k=num))
    weights = torch.exp(-0.5 * (torch.from_numpy(apart) / (_SMOOTHING_RADIUS * diagonal)) ** 2)
    weights = weights * (normals[neighbours] * normals[undecided, None]).sum(dim=-1).clamp_min(0)
    openness[undecided] = (weights * openness[neighbours]).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-30)
    return openness


def _even_directions(num: int) -> Float[Tensor, "num 3"]:
    """Return directions spread evenly over the sphere, along a golden-angle spiral."""
    index = torch.arange(num, dtype=torch.float64) + 0.5
    height = 1 - 2 * index / num
    turn = math.pi * (3 - math.sqrt(5)) * index
    radius = (1 - height**2).sqrt()
    return torch.stack([radius * turn.cos(), height, radius * turn.sin()], dim=-1)


def _halve(corners: Float[Tensor, "num_triangles 3 3"]) -> Float[Tensor, "num_halves 3 3"]:
    """Cut every triangle in two across its longest edge; the two halves are adjacent rows."""
    longest = _edges(corners).norm(dim=-1).argmax(dim=-1)
    order = (longest[:, None] + torch.arange(3)) % 3
    a, b, c = corners.gather(1, order[..., None].expand_as(corners)).unbind(1)
    middle = (a + b) / 2
    return torch.stack([torch.stack([a, middle, c], 1), torch.stack([middle, b, c], 1)], 1).flatten(0, 1)


def _edges(corners: Float[Tensor, "num_triangles 3 3"]) -> Float[Tensor, "num_triangles 3 3"]:
    return corners.roll(-1, dims=1) - corners


def _diagonal(vertices: Float[Tensor, "num_vertices 3"]) -> float:
    return float((vertices.amax(dim=0) - vertices.amin(dim=0)).norm())
