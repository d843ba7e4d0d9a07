"""The guided filter: smooth one picture along the edges of another one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage


def guided_filter(
    values: Float[np.ndarray, "h w"], guide: Float[np.ndarray, "h w"], radius: int, softness: float
) -> Float[np.ndarray, "h w"]:
    """Return values that follow the edges of a guide.

    In each square window, the result is the line ``a g + b`` of the guide g that fits the values best, with the ridge
    ``softness`` on a^2; overlapping windows are averaged (He et al. 2010, Eq. 5 to 8).

    Args:
        values: for instance a coarse matte.
        guide: for instance the grey levels of the picture, 0..1.
        radius: half the side of a window, pixels.
        softness: variance of the guide (squared grey levels) below which an area counts as flat.
    """

    def mean(picture: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(picture, size=2 * radius + 1, mode="nearest")

    guide, values = np.asarray(guide, dtype=np.float64), np.asarray(values, dtype=np.float64)
    middle, level = mean(guide), mean(values)
    slope = (mean(guide * values) - middle * level) / (mean(guide * guide) - middle**2 + softness)
    return mean(slope) * guide + mean(level - slope * middle)
