"""Farthest-point order: the members of a set that differ most, each chosen to be far from all chosen before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor


def farthest_first(
    first: int | Sequence[int],
    count: int,
    distances_from: Callable[[int], Float[Tensor, "num_points"]],
    near: float = -math.inf,
) -> tuple[int, ...]:
    """Return ``count`` indices: those of ``first``, then each time the point farthest from its nearest chosen one.

    Fewer are returned if all points are ``near`` one of them.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance". Of equally far points the lowest index is
    chosen, so that the order depends on the distances alone. A smaller count gives a prefix of a larger one.

    Args:
        first: index of the first point, or of several.
        count: number of points to choose; at least those of ``first``, at most the number of points.
        distances_from: distances from the point of an index to all points, in any unit.
        near: distance up to which a chosen point stands for another one.

    Raises:
        ValueError: there are fewer points.
    """
    chosen = [first] if isinstance(first, int) else list(first)
    nearest: np.ndarray | None = None
    new = chosen
    while len(chosen) < count:
        for index in new:
            distances = distances_from(index).double().cpu().numpy()
            if count > len(distances):
                raise ValueError(f"count is {count}; there are {len(distances)} points")
            nearest = distances if nearest is None else np.minimum(nearest, distances)
        assert nearest is not None
        nearest[chosen] = -np.inf
        if nearest.max() <= near:
            break
        new = [int(nearest.argmax())]
        chosen += new
    return tuple(chosen)
