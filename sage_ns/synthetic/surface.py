"""Surfaces: Loop's subdivision, normals, a cap for the neck, and smooth random fields."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage, sparse

from sage_ns.rig import HeadModel

_LATTICE = 32


def noise(points: Float[np.ndarray, "n 3"], wavelength: float, seed: int) -> Float[np.ndarray, "n"]:
    """Sample a smooth random field, about -1..1; `wavelength` in the unit of `points`; repeats after 16 wavelengths."""
    table = np.random.default_rng(seed).uniform(-1.7, 1.7, size=(_LATTICE,) * 3)
    return ndimage.map_coordinates(table, points.T / wavelength * 2.0, order=2, mode="grid-wrap")


def loop_subdivision(
    triangles: Int[np.ndarray, "num_triangles 3"], num_vertices: int
) -> tuple[sparse.csr_array, Int[np.ndarray, "4*num_triangles 3"]]:
    """Compute one step of Loop's subdivision as a matrix on vertices (Loop 1987; vertex weights of Warren 1995).

    Returns:
        Matrix [num_vertices + num_edges, num_vertices] whose first rows are the old vertices, smoothed, and the new
        triangles. Open borders become cubic splines.
    """
    corners = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    opposite = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    edges, edge_of = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.ravel()
    uses = np.bincount(edge_of, minlength=len(edges))
    is_border = uses == 1
    number = np.arange(len(edges))
    share = np.where(is_border, 0.5, 0.375)
    rows = [number, number, edge_of[~is_border[edge_of]]]
    columns = [edges[:, 0], edges[:, 1], opposite[~is_border[edge_of]]]
    values = [share, share, np.full(len(rows[2]), 0.125)]
    edge_points = _coo(rows, columns, values, (len(edges), num_vertices))

    on_border = np.zeros(num_vertices, dtype=bool)
    on_border[edges[is_border]] = True
    both = np.concatenate([edges, edges[:, ::-1]])
    valence = np.bincount(both[:, 0], minlength=num_vertices)
    beta = np.where(valence == 3, 3.0 / 16.0, 3.0 / (8.0 * np.maximum(valence, 1)))
    inner = both[~on_border[both[:, 0]]]
    rim = np.concatenate([edges[is_border], edges[is_border][:, ::-1]])
    old = np.arange(num_vertices)
    keep = np.where(on_border, 0.75, 1.0 - valence * beta)
    vertex_points = _coo(
        [old, inner[:, 0], rim[:, 0]],
        [old, inner[:, 1], rim[:, 1]],
        [keep, beta[inner[:, 0]], np.full(len(rim), 0.125)],
        (num_vertices, num_vertices),
    )
    a, b, c = triangles.T
    ab, bc, ca = (num_vertices + part for part in np.split(edge_of, 3))
    finer = np.concatenate([np.stack(t, -1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return sparse.csr_array(sparse.vstack([vertex_points, edge_points])), finer


def _coo(rows: list, columns: list, values: list, shape: tuple[int, int]) -> sparse.csr_array:
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=shape))


def vertex_normals(
    vertices: Float[np.ndarray, "num_vertices 3"], triangles: Int[np.ndarray, "num_triangles 3"]
) -> Float[np.ndarray, "num_vertices 3"]:
    """Compute area-weighted unit normals."""
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=-1
    )
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-20)


@dataclass(frozen=True)
class Refinement:
    """Subdivision of a rig's mesh: `coarse` (one step; light is computed there) and `fine` (rendered)."""

    num_coarse: int
    to_coarse: sparse.csr_array
    coarse_to_fine: sparse.csr_array
    fine_triangles: Int[np.ndarray, "nf 3"]

    @staticmethod
    def of(model: HeadModel, steps: int) -> Refinement:
        """Subdivide `steps` (1 or 2) times."""
        to_coarse, coarse = loop_subdivision(model.triangles.numpy(), model.num_vertices)
        num_coarse = int(coarse.max()) + 1
        if steps == 1:
            return Refinement(num_coarse, to_coarse, sparse.csr_array(sparse.eye_array(num_coarse)), coarse)
        coarse_to_fine, fine = loop_subdivision(coarse, num_coarse)
        return Refinement(num_coarse, to_coarse, coarse_to_fine, fine)

    def fine(self, values: Float[np.ndarray, "num_vertices k"]) -> Float[np.ndarray, "num_fine k"]:
        """Interpolate the rig's vertex values to the fine vertices; the rig's own vertices come first."""
        return self.coarse_to_fine @ (self.to_coarse @ values)


def neck_cap(
    triangles: Int[np.ndarray, "num_triangles 3"], vertices: Float[np.ndarray, "num_vertices 3"]
) -> Int[np.ndarray, "num_cap 3"]:
    """Close the lowest open border with a fan of triangles that faces down."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    code, back = edges @ [len(vertices), 1], edges @ [1, len(vertices)]
    border = {int(b): int(a) for a, b in edges[~np.isin(back, code)]}
    first = min(border, key=lambda vertex: vertices[vertex, 1])
    loop = [first]
    while border[loop[-1]] != first:
        loop.append(border[loop[-1]])
    return np.array([[loop[0], b, c] for b, c in pairwise(loop[1:])], dtype=np.int64)
