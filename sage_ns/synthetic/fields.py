"""Scalar fields over the mean head (millimetres): soft steps, blobs, distances to curves and creases."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "num_points 3"]
Values = Float[np.ndarray, "num_points"]


def step(value: Values, start: float, end: float) -> Values:
    """Rise smoothly from 0 at `start` to 1 at `end` (Hermite polynomial); falls where `end` is below `start`."""
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def blob(q: Points, center: tuple[float, float, float], radii: tuple[float, float, float]) -> Values:
    """Gaussian of `radii` around `center` (on the side x >= 0) and around its mirrored place."""
    folded = np.abs(q) * [1, 0, 0] + q * [0, 1, 1]
    return np.exp(-0.5 * (((folded - center) / radii) ** 2).sum(-1))


def groove(distance: Values, width: float) -> Values:
    """Compute the profile across a crease: a dip with slightly raised shoulders (both dimensionless)."""
    u = (distance / width) ** 2
    return (1.0 - 0.45 * u) * np.exp(-0.5 * u)


def curve_distance(xy: Float[np.ndarray, "num_points 2"], curve: Sequence[tuple[float, float]]) -> Values:
    """Compute the distance of frontal positions to a polyline, growing faster beyond its ends."""
    points = np.asarray(curve, dtype=np.float64)
    best = np.full(len(xy), np.inf)
    for a, b in pairwise(points):
        along = np.clip((xy - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(xy - a - along[:, None] * (b - a), axis=-1))
    return best
