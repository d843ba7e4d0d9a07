"""MonoNPHM's deformation network (Giebenhain et al. 2024), its global variant: offsets from posed to neutral space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

NUM_LAYERS, REJOINED = 7, 3
"""Linear layers, and the one that receives the input again."""
_SHARPNESS = 100.0
"""Beta of the softplus."""


class DeformationNetwork:
    """``o(x; z)``: seven linear layers with softplus(100 h) / 100 between them.

    The input is [x, z] with the codes z of identity and expression. Layer 3 receives [h, x, z] / sqrt 2. Outputs past
    the third are MonoNPHM's hyper-coordinates, which a signed distance field of one person does not need. The codes are
    the same for all points, so their part of layers 0 and 3 is computed once per call.

    Args:
        weights, biases: of the layers, constant.

    Raises:
        ValueError: their shapes do not fit each other.
    """

    def __init__(self, weights: Sequence[Float[Tensor, "out in"]], biases: Sequence[Float[Tensor, "out"]]) -> None:
        if len(weights) != NUM_LAYERS or len(biases) != NUM_LAYERS:
            raise ValueError(f"DeformationNetwork: found {len(weights)} layers, expected {NUM_LAYERS}")
        self.num_inputs = weights[0].shape[1]
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            inputs = weight.shape[1] if index == 0 else len(weights[index - 1])
            inputs += self.num_inputs if index == REJOINED else 0
            if weight.shape[1] != inputs or len(weight) != len(bias) or (index == NUM_LAYERS - 1 and len(weight) < 3):
                raise ValueError(
                    f"DeformationNetwork: layer {index}: found {list(weight.shape)} weights and {len(bias)} biases, "
                    f"expected {inputs} inputs and, from the last layer, at least 3 outputs"
                )
        self.weights = [each.detach() for each in weights]
        self.biases = [each.detach() for each in biases]
        self.weights[-1], self.biases[-1] = self.weights[-1][:3], self.biases[-1][:3]

    def to(self, other: Tensor) -> DeformationNetwork:
        """Return the network on another tensor's device and in its type."""
        return DeformationNetwork([each.to(other) for each in self.weights], [each.to(other) for each in self.biases])

    def __call__(
        self, points: Float[Tensor, "num_points 3"], code: Float[Tensor, "num_codes"]
    ) -> Float[Tensor, "num_points 3"]:
        """Return the offsets of points [NPHM's units]."""
        first = self.biases[0] + self.weights[0][:, 3:] @ code
        hidden = F.linear(points, self.weights[0][:, :3], first)
        for index in range(1, NUM_LAYERS):
            hidden = F.softplus(hidden, beta=_SHARPNESS)
            weight, bias = self.weights[index], self.biases[index]
            if index == REJOINED:
                own, again, codes = weight.div(math.sqrt(2)).tensor_split((-self.num_inputs, 3 - self.num_inputs), 1)
                hidden = F.linear(hidden, own, bias + codes @ code) + F.linear(points, again)
            else:
                hidden = F.linear(hidden, weight, bias)
        return hidden

    def with_jacobian(
        self, points: Float[Tensor, "num_points 3"], code: Float[Tensor, "num_codes"]
    ) -> tuple[Float[Tensor, "num_points 3"], Float[Tensor, "num_points 3 3"]]:
        """Return the offsets and ``d offset / d point``, by automatic differentiation."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            offsets = self(points, code)
            rows = [torch.autograd.grad(each.sum(), points, retain_graph=True)[0] for each in offsets.unbind(-1)]
        return offsets.detach(), torch.stack(rows, dim=1)
