"""Deform a surface onto points and onto another surface: a spline through pairs, then non-rigid closest points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Nearest = Callable[
    [Float[Tensor, "num_vertices 3"]], tuple[Float[Tensor, "num_vertices 3"], Bool[Tensor, "num_vertices"]]
]
"""Returns the point of the other surface that each vertex should move to, and which vertices have one."""

_SOFTENING = 1e-9
"""Keeps the spline's equations solvable where two landmarks coincide."""


def spline_through(
    sources: Float[Tensor, "num_pairs 3"], targets: Float[Tensor, "num_pairs 3"], points: Float[Tensor, "num_points 3"]
) -> Float[Tensor, "num_points 3"]:
    """Move points with the smoothest map that takes each source to its target.

    ``f(x) = A x + b + sum_j w_j |x - s_j|``: the biharmonic spline of three dimensions (Bookstein 1989 for two), which
    is affine where nothing bends it.

    Args:
        sources: at least four, not in one plane.
        targets: where they should go.
        points: what is moved, in the same unit.
    """
    s, t, x = (value.double() for value in (sources, targets, points))
    count = len(s)
    kernel = torch.cdist(s, s, compute_mode="donot_use_mm_for_euclid_dist") + _SOFTENING * torch.eye(count).to(s)
    affine = torch.cat([s, torch.ones(count, 1).to(s)], dim=1)
    system = torch.cat([torch.cat([kernel, affine], 1), torch.cat([affine.T, torch.zeros(4, 4).to(s)], 1)])
    weights = torch.linalg.solve(system, torch.cat([t, torch.zeros(4, 3).to(t)]))
    reach = torch.cdist(x, s, compute_mode="donot_use_mm_for_euclid_dist")
    return (reach @ weights[:count] + x @ weights[count : count + 3] + weights[count + 3]).to(points)


def drawn_onto(
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    nearest: Nearest,
    stiffness: Sequence[float],
) -> Float[Tensor, "num_vertices 3"]:
    """Deform a mesh towards another surface: non-rigid closest points.

    Each round finds the closest points c of the vertices v, and moves the vertices by the u that minimise
    ``sum_i w_i |v_i + u_i - c_i|^2 + a sum_ij |u_i - u_j|^2`` over vertices and edges, where u is the way from the
    first position and w is 0 for vertices without a closest point (Amberg et al. 2007, with translations in place of
    affine maps). The stiffness a falls from round to round.

    Args:
        vertices: metres.
        triangles: of the mesh.
        nearest: the closest points, see `Nearest`.
        stiffness: a of every round.
    """
    from scipy.sparse import coo_matrix, csr_matrix, diags
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import splu

    count = len(vertices)
    corners = triangles.cpu().numpy()
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    bending = csr_matrix(laplacian((graph + graph.T).tocsr()))
    start = vertices.double().cpu().numpy()
    moved = start
    for weight in stiffness:
        found, has = nearest(torch.from_numpy(moved).to(vertices))
        pull = has.cpu().numpy().astype(np.float64)
        # A trace of the identity keeps parts that nothing pulls where they are.
        system = diags(pull + 1e-6) + weight * bending
        way = splu(system.tocsc()).solve(pull[:, None] * (found.double().cpu().numpy() - start))
        moved = start + way
    return torch.from_numpy(moved).to(vertices)
