"""Farthest-point order: the members of a set that differ most, each chosen to be far from all chosen before."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from torch import Tensor


def farthest_first(
    first: int,
    count: int,
    distances_from: Callable[[int], Float[Tensor, "num_points"]],
    near: float = -math.inf,
) -> tuple[int, ...]:
    """Return ``count`` indices: ``first``, then each time the point that is farthest from its nearest chosen one.

    Fewer are returned if all points are ``near`` one of them.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance". Of equally far points the lowest index is
    chosen, so that the order depends on the distances alone. A smaller count gives a prefix of a larger one.

    Args:
        first: index of the first point.
        count: number of points to choose; at least 1, at most the number of points.
        distances_from: distances from the point of an index to all points, in any unit.
        near: distance up to which a chosen point stands for another one.

    Raises:
        ValueError: there are fewer points.
    """
    chosen = [first]
    nearest: np.ndarray | None = None
    while len(chosen) < count:
        distances = distances_from(chosen[-1]).double().cpu().numpy()
        if count > len(distances):
            raise ValueError(f"count is {count}; there are {len(distances)} points")
        nearest = distances if nearest is None else np.minimum(nearest, distances)
        nearest[chosen] = -np.inf
        if nearest.max() <= near:
            break
        chosen.append(int(nearest.argmax()))
    return tuple(chosen)
