"""The similarity (rotation, scale, translation) that takes points nearest to others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import nearest_rotation


@dataclass(frozen=True, eq=False)
class Similarity:
    """The map ``y = s R x + t``."""

    scale: float
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]

    def __call__(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return where the map takes points."""
        return self.scale * points @ self.rotation.T + self.translation


def similarity(
    sources: Float[Tensor, "n 3"], targets: Float[Tensor, "n 3"], weights: Float[Tensor, "n"] | None = None
) -> Similarity:
    """Return the similarity that minimises ``sum_i w_i |s R x_i + t - y_i|^2`` (Umeyama 1991).

    Args:
        sources: x, at least three that do not lie on a line.
        targets: y.
        weights: w, not all zero; None = all equal.
    """
    w = torch.ones_like(sources[:, 0]) if weights is None else weights.to(sources)
    w = (w / w.sum())[:, None]
    middle, goal = (w * sources).sum(dim=0), (w * targets).sum(dim=0)
    x, y = sources - middle, targets - goal
    covariance = (w * y).T @ x
    rotation = nearest_rotation(covariance)
    scale = float((rotation * covariance).sum() / (w * x**2).sum())
    return Similarity(scale, rotation, goal - scale * rotation @ middle)


def rigid_motion(sources: Float[Tensor, "n 3"], targets: Float[Tensor, "n 3"]) -> Similarity:
    """Return the rotation and translation that minimise ``sum_i |R x_i + t - y_i|^2``: those of scale 1.

    The rotation is that of `similarity`; the translation is not.
    """
    rotation = similarity(sources, targets).rotation
    return Similarity(1.0, rotation, targets.mean(dim=0) - rotation @ sources.mean(dim=0))
