"""Curves over time for generated motion."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def smooth_curve(
    position: Float[np.ndarray, "t"], knots: int, rng: np.random.Generator, width: int
) -> Float[np.ndarray, "t width"]:
    """Return random curves of about unit size with `knots` knots: uniform cubic B-splines in `position` (0..1)."""
    values = rng.normal(size=(knots + 3, width))
    x = position * knots
    left = np.minimum(x.astype(int), knots - 1)
    u = (x - left)[:, None]
    a, b, c, d = (values[left + k] for k in range(4))
    return ((1 - u) ** 3 * a + (3 * u**3 - 6 * u**2 + 4) * b + (-3 * u**3 + 3 * u**2 + 3 * u + 1) * c + u**3 * d) / 6


def bump(position: Float[np.ndarray, "t"], center: float, half_width: float) -> Float[np.ndarray, "t"]:
    """Return one raised cosine: 1 at `center`, 0 at a distance of `half_width` and beyond."""
    u = np.clip(np.abs(position - center) / half_width, 0.0, 1.0)
    return 0.5 + 0.5 * np.cos(np.pi * u)
