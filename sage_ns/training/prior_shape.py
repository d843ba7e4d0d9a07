"""Where the surface of a prior mesh is, so that the field's surface stays in its place and size."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.field.sdf import SignedDistanceField

NUM_POINTS = 4096
"""Points of the prior that are kept; all checkpoints have as many."""


class PriorShape(nn.Module):
    """Points on a registered prior mesh; part of checkpoints, so that a resumed training need not read the mesh.

    Args:
        points: canonical world, metres.
    """

    points: Tensor

    def __init__(self, points: Float[Tensor, "num_points 3"]) -> None:
        super().__init__()
        self.register_buffer("points", points)

    @classmethod
    def empty(cls) -> PriorShape:
        """Return one whose points a checkpoint will bring."""
        return cls(torch.zeros(NUM_POINTS, 3))

    def zero_set(
        self, field: SignedDistanceField, chosen: Int[Tensor, "num_chosen"]
    ) -> tuple[Float[Tensor, "num_chosen 3"], Float[Tensor, "num_chosen 3"]]:
        """Return points of the field's zero set, and the points of the prior that they are nearest to [metres].

        A step of Newton's method leads from the prior to the zero set: ``x - f(x) g / |g|^2``, g = grad f(x). Gradients
        reach the field through f, and not through g, which only says where the surface is.

        Args:
            field: the field in training.
            chosen: which points of the prior.
        """
        points = self.points[chosen]
        sample = field.evaluate(points, gradient="detached")
        assert sample.gradient is not None
        slope = sample.gradient.detach()
        step = slope / slope.square().sum(dim=-1, keepdim=True).clamp_min(1e-6)
        return points - sample.distance[:, None] * step, points
