"""Meshes with fewer vertices that are a subset of the old ones, so that everything stored per vertex stays exact.

Edges are collapsed into one of their ends in the order of quadric errors (Garland and Heckbert 1997), summed over
several shapes of one mesh: what is flat at rest may fold when it moves.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

_BORDER = 10.0
"""Weight of the planes that stand on border edges, relative to those of triangles."""
_LEAST_COSINE = 0.3
"""Between a triangle's normals before and after a collapse."""
_SHORT = 1e-9
"""Weight of the squared length of an edge: of equally flat edges, the shortest one goes."""


@dataclass
class _Mesh:
    """A mesh that shrinks."""

    shapes: Float[np.ndarray, "k v 3"]
    quadrics: Float[np.ndarray, "k v 4 4"]
    triangles: dict[int, tuple[int, int, int]]
    around: list[set[int]]
    """Triangles of every vertex."""
    rims: dict[int, set[int]] = field(default_factory=dict)
    """Neighbours along the borders and seams that a vertex lies on."""

    def neighbours(self, vertex: int) -> set[int]:
        return {other for row in self.around[vertex] for other in self.triangles[row]} - {vertex}

    def cost(self, gone: int, kept: int) -> float:
        points = np.concatenate([self.shapes[:, kept], np.ones((len(self.shapes), 1))], axis=1)
        error = np.einsum("ki,kij,kj->", points, self.quadrics[:, gone], points)
        return float(error) + _SHORT * float(((self.shapes[0, gone] - self.shapes[0, kept]) ** 2).sum())

    def may(self, gone: int, kept: int) -> bool:
        """Return whether the surface stays one: no fold, no fin, and rims stay where they are."""
        if gone in self.rims and (kept not in self.rims[gone] or len(self.rims[gone]) != 2):
            return False  # where rims meet or end, they stay
        shared = self.around[gone] & self.around[kept]
        common = self.neighbours(gone) & self.neighbours(kept)
        if not shared or len(common) != len(shared):
            return False
        for row in self.around[gone] - shared:
            corners = self.triangles[row]
            old = self._normal(corners)
            new = self._normal(tuple(kept if each == gone else each for each in corners))
            size = np.linalg.norm(old) * np.linalg.norm(new)
            if not float(old @ new) > _LEAST_COSINE * size > 0:
                return False
        return True

    def collapse(self, gone: int, kept: int) -> None:
        for row in list(self.around[gone]):
            corners = self.triangles[row]
            for each in corners:
                self.around[each].discard(row)
            if kept in corners:
                del self.triangles[row]
                continue
            moved = tuple(kept if each == gone else each for each in corners)
            self.triangles[row] = moved  # type: ignore[assignment]
            for each in moved:
                self.around[each].add(row)
        self.quadrics[:, kept] += self.quadrics[:, gone]
        if gone in self.rims:
            for other in self.rims.pop(gone) - {kept}:
                self.rims[other].discard(gone)
                self.rims[other].add(kept)
                self.rims[kept].add(other)
            self.rims[kept].discard(gone)

    def _normal(self, corners: tuple[int, ...]) -> np.ndarray:
        a, b, c = self.shapes[0, list(corners)]
        return np.cross(b - a, c - a)


def decimated(
    shapes: Float[np.ndarray, "k v 3"],
    triangles: Int[np.ndarray, "t 3"],
    num_vertices: int,
    kept: Bool[np.ndarray, "v"],
    seams: Int[np.ndarray, "s 2"],
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "m 3"]]:
    """Return the vertices that stay (ascending), and triangles on them (rows of the first).

    Args:
        shapes: the mesh at rest, and further shapes of it whose errors count, too.
        triangles: of the mesh, manifold.
        num_vertices: aim; more stay where nothing more can go.
        kept: vertices that must stay.
        seams: edges along which vertices may only move along the seam (of texture coordinates); borders are kept
            likewise.
    """
    mesh = _started(np.asarray(shapes, dtype=np.float64), triangles, seams)
    heap: list[tuple[float, int, int, int]] = []
    version = np.zeros(shapes.shape[1], dtype=np.int64)

    def push(gone: int) -> None:
        if not kept[gone]:
            for other in mesh.neighbours(gone):
                heapq.heappush(heap, (mesh.cost(gone, other), int(version[gone]), gone, other))

    alive = {int(each) for each in np.unique(triangles)}
    for vertex in alive:
        push(vertex)
    while heap and len(alive) > num_vertices:
        _, stamp, gone, into = heapq.heappop(heap)
        if gone not in alive or into not in alive or stamp != version[gone] or not mesh.may(gone, into):
            continue
        touched = mesh.neighbours(gone)
        mesh.collapse(gone, into)
        alive.discard(gone)
        for each in touched:
            version[each] += 1
            push(each)
    rows = np.array(sorted(alive))
    number = np.full(shapes.shape[1], -1)
    number[rows] = np.arange(len(rows))
    return rows, number[np.array(list(mesh.triangles.values()))]


def _started(shapes: np.ndarray, triangles: np.ndarray, seams: np.ndarray) -> _Mesh:
    corners = shapes[:, triangles]
    normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    area = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = normals / np.maximum(area, 1e-30)
    planes = np.concatenate([normals, -(normals * corners[:, :, 0]).sum(axis=-1, keepdims=True)], axis=-1)
    each = area[..., None] * planes[..., :, None] * planes[..., None, :]
    quadrics = np.zeros((*shapes.shape[:2], 4, 4))
    for corner in range(3):
        for shape, planes_of in zip(quadrics, each, strict=True):
            np.add.at(shape, triangles[:, corner], planes_of)
    mesh = _Mesh(shapes, quadrics, dict(enumerate(map(tuple, triangles.tolist()))), [set() for _ in shapes[0]])
    edges: dict[tuple[int, int], int] = {}
    for row, three in mesh.triangles.items():
        for index, vertex in enumerate(three):
            mesh.around[vertex].add(row)
            pair = (vertex, three[(index + 1) % 3])
            key = (min(pair), max(pair))
            edges[key] = -1 if key in edges else row
    rim = [(key, row) for key, row in edges.items() if row >= 0]
    for (a, b), row in [*rim, *(((int(a), int(b)), -1) for a, b in seams)]:
        mesh.rims.setdefault(a, set()).add(b)
        mesh.rims.setdefault(b, set()).add(a)
        if row >= 0:
            _stand_plane(mesh, a, b, normals[:, row])
    return mesh


def _stand_plane(mesh: _Mesh, a: int, b: int, normal: Float[np.ndarray, "k 3"]) -> None:
    """Add the planes that stand on a border edge to the quadrics of its ends."""
    along = mesh.shapes[:, b] - mesh.shapes[:, a]
    across = np.cross(along, normal)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    across = across / np.maximum(length, 1e-30)
    planes = np.concatenate([across, -(across * mesh.shapes[:, a]).sum(axis=-1, keepdims=True)], axis=-1)
    quadric = _BORDER * (along**2).sum(axis=-1)[:, None, None] * planes[:, :, None] * planes[:, None, :]
    mesh.quadrics[:, a] += quadric
    mesh.quadrics[:, b] += quadric
