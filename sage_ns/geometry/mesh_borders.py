"""The open borders of a triangle mesh."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor


def border_loops(triangles: Int[Tensor, "num_triangles 3"]) -> list[Int64[Tensor, "num_loop"]]:
    """Return the closed loops of border vertices of a mesh, each in the direction of the adjacent triangles.

    An edge is open when triangles run along it more often in one direction than in the other. On a well-formed mesh
    these are the edges with one triangle. By this count, as many open edges enter a vertex as leave it, and every mesh
    has closed loops only, even with edges of more than two triangles or neighbours of opposite orientation. A border
    that meets itself in a vertex is cut into loops that visit each vertex once.

    Returns:
        One tensor of vertex indices per loop, on the triangles' device; the loop with the lowest index comes first.
    """
    following: dict[int, list[int]] = defaultdict(list)
    for start, stop in open_edges(triangles.cpu().numpy()):
        following[int(start)].append(int(stop))
    loops: list[list[int]] = []
    for first in sorted(following):
        while following[first]:
            loops += _walk(first, following)
    return [torch.tensor(loop, dtype=torch.int64, device=triangles.device) for loop in loops]


def open_edges(triangles: Int[np.ndarray, "num_triangles 3"]) -> Int[np.ndarray, "num_edges 2"]:
    """Return directed edges [num_edges, 2] without a counterpart in the other direction; one row per surplus use."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[edges[:, 0] != edges[:, 1]]  # a triangle may name a vertex twice
    forward = edges[:, 0] < edges[:, 1]
    pairs, position = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    surplus = np.bincount(position.ravel(), weights=np.where(forward, 1.0, -1.0), minlength=len(pairs)).astype(np.int64)
    directed = np.where((surplus > 0)[:, None], pairs, pairs[:, ::-1])
    return np.repeat(directed, np.abs(surplus), axis=0)


def _walk(first: int, following: dict[int, list[int]]) -> list[list[int]]:
    """Follow and consume open edges from a vertex until they return to it; cut off a loop at every crossing."""
    loops: list[list[int]] = []
    path = [first]
    while following[path[-1]]:
        vertex = following[path[-1]].pop()
        if vertex in path:
            at = path.index(vertex)
            loops.append(path[at:])
            del path[at + 1 :]
        else:
            path.append(vertex)
    return loops
