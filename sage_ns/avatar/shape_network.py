"""Shape network: rotation and scales of surfels from the field's encoding of their positions (method, Eq. 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.perceptron import Perceptron
from sage_ns.geometry.symmetric_eigen import lower_triangle, symmetric_eigen_quaternions

SMALLEST_RATIO = 0.1
"""Least ratio of smaller to larger scale: thinner surfels are needles with an undetermined normal."""
LARGEST_LOG_FACTOR = 3.0
"""Bound of |log(scale / typical scale)|."""
_TINY = 1e-4


@dataclass(frozen=True)
class SurfelShape:
    """Shapes of surfels in canonical world space.

    Attributes:
        quaternions: wxyz, unit; the rotation's columns are t_u, t_v and the normal (of either sign).
        scales: along t_u and t_v, metres, positive; the first is the smaller one.
        flatness: smallest over largest |eigenvalue|, 0..1; a loss drives it to 0.
        lower: lower triangle of the symmetric matrix (see `symmetric_eigen`).
        log_factor: logarithm of the larger scale over the typical one.
    """

    quaternions: Float[Tensor, "num_points 4"]
    scales: Float[Tensor, "num_points 2"]
    flatness: Float[Tensor, " num_points"]
    lower: Float[Tensor, "num_points 6"]
    log_factor: Float[Tensor, " num_points"]


class ShapeNetwork(nn.Module):
    """Encoding and position -> a symmetric matrix M and a scalar -> rotation and scales of a surfel.

    The eigenvector of M with the smallest |eigenvalue| is the normal; the other two span the tangent plane. The scales
    are their |eigenvalues|, divided by the larger one, multiplied by the scalar, and swapped: the surfel is shorter
    along the direction with the larger |eigenvalue|, that of the largest curvature.

    Args:
        num_inputs: features of the encoding.
        hidden: width of the hidden layers.
        num_layers: number of hidden layers.
        typical_scale: metres; scalar of a new network. A buffer, meant to be set before pre-training.
    """

    typical_scale: Tensor

    def __init__(self, num_inputs: int, hidden: int = 64, num_layers: int = 1, typical_scale: float = 1e-3) -> None:
        super().__init__()
        self.network = Perceptron(num_inputs + 3, (6, 1), hidden, num_layers)
        self.register_buffer("typical_scale", torch.tensor(typical_scale))
        for head in self.network.heads:
            assert isinstance(head, nn.Linear)
            nn.init.normal_(head.weight, std=1e-2)
            nn.init.zeros_(head.bias)
        # The mean of I - n n^T over all normals n, which prefers no direction.
        matrix_bias = self.network.heads[0].bias
        assert isinstance(matrix_bias, Tensor)
        matrix_bias.data.copy_(lower_triangle(torch.eye(3) * 2 / 3))

    def forward(
        self,
        encoding: Float[Tensor, "num_points num_inputs"],
        position: Float[Tensor, "num_points 3"],
        detail: Float[Tensor, "num_points 7"] | None = None,
    ) -> SurfelShape:
        """Return the shapes of surfels at points.

        Args:
            encoding: features of the field's encoding at the points.
            position: in the cube of the field, -1..1.
            detail: details of single surfels, added to the lower triangle of M (6) and to the scalar (1).
        """
        lower, scalar = self.network(torch.cat((encoding, position), dim=-1))
        if detail is not None:
            lower, scalar = lower + detail[:, :6], scalar + detail[:, 6:]
        return self.shape_of(lower, scalar.squeeze(-1))

    def shape_of(self, lower: Float[Tensor, "num_points 6"], scalar: Float[Tensor, " num_points"]) -> SurfelShape:
        """Return shapes from raw outputs: the lower triangle of M, and the scalar before its bounded exponential."""
        values, quaternions = symmetric_eigen_quaternions(lower)
        first, second, smallest = values.abs().unbind(-1)
        share = first.clamp(min=_TINY).reciprocal()
        log_factor = LARGEST_LOG_FACTOR * torch.tanh(scalar / LARGEST_LOG_FACTOR)
        larger = self.typical_scale * log_factor.exp()
        ratio = _AtLeast.apply(second * share, SMALLEST_RATIO)
        scales = torch.stack((larger * ratio, larger), dim=-1)
        return SurfelShape(quaternions, scales, smallest * share, lower, log_factor)

    def target_loss(
        self,
        output: SurfelShape,
        normals: Float[Tensor, "num_points 3"],
        scales: Float[Tensor, " num_points"],
    ) -> Float[Tensor, ""]:
        """Return the loss towards round surfels with given normals: |M - (I - n n^T)|^2 + log(scale ratio)^2, averaged.

        The loss uses the matrix itself and therefore has gradients also where eigenvalues are equal.

        Args:
            output: result of `forward`.
            normals: unit vectors of either sign.
            scales: radius of each surfel, metres, positive.
        """
        identity = torch.eye(3, dtype=normals.dtype, device=normals.device)
        target = lower_triangle(identity - normals[:, :, None] * normals[:, None, :])
        # The three off-diagonal numbers are two entries of the matrix each.
        entries = target.new_tensor([1.0, 2.0, 1.0, 2.0, 2.0, 1.0])
        shape = (entries * (output.lower - target).square()).sum(-1)
        size = (output.log_factor - torch.log(scales / self.typical_scale)).square()
        return (shape + size).mean()


class _AtLeast(torch.autograd.Function):
    """max(x, bound) that also passes gradients below the bound if a descent step would increase x."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.bound = bound
        return value.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        (gradient,) = gradients
        return torch.where((value < ctx.bound) & (gradient > 0), 0.0, gradient), None
