"""Canonical appearance: one model of colour and opacity for the surfels and for volume rendering (Eq. 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.perceptron import Perceptron
from sage_ns.geometry.spherical_harmonics import NUM_COEFFICIENTS, sh_colors

INITIAL_OPACITY = 0.6


@dataclass(frozen=True)
class Appearance:
    """Appearance of points.

    Attributes:
        sh: spherical harmonics in 3DGS' convention (see `sh_colors`): degree 0 first, world axes.
        opacity_logits: inverse sigmoid of the opacities.
    """

    sh: Float[Tensor, "num_points num_coefficients 3"]
    opacity_logits: Float[Tensor, " num_points"]


class AppearanceNetwork(nn.Module):
    """F_a(x, grad f(x), z(x)) -> spherical harmonics and opacity.

    In Eq. 8 the network also gets the view direction v. Here v enters linearly instead: the network predicts
    coefficients of spherical harmonics in v. These represent all smooth view-dependent colours, one evaluation serves
    all views, and the surfels can store the coefficients: baked avatars play back without the network, exactly as
    trained.
    The opacity does not depend on v, because a stored surfel has a single opacity. A view-dependent opacity would also
    let surfels imitate geometry, which the field has to represent.

    Args:
        num_features: length of the feature z of the field.
        sh_degree: 0 to 3.
        hidden: width of the hidden layers.
        num_layers: number of hidden layers.

    Raises:
        ValueError: the degree is not 0 to 3.
    """

    def __init__(self, num_features: int, sh_degree: int, hidden: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        if not 0 <= sh_degree < len(NUM_COEFFICIENTS):
            raise ValueError(f"sh_degree: found degree {sh_degree}, expected 0 to {len(NUM_COEFFICIENTS) - 1}")
        num_coefficients = NUM_COEFFICIENTS[sh_degree]
        self.network = Perceptron(6 + num_features, (3 * num_coefficients, 1), hidden, num_layers)
        colors, opacity = self.network.heads
        assert isinstance(colors, nn.Linear) and isinstance(opacity, nn.Linear)
        # Start with grey from all sides and the same opacity everywhere, plus a little noise.
        for head in (colors, opacity):
            nn.init.normal_(head.weight, std=3e-3)
            nn.init.zeros_(head.bias)
        nn.init.zeros_(colors.weight[3:])
        nn.init.constant_(opacity.bias, math.log(INITIAL_OPACITY / (1 - INITIAL_OPACITY)))

    def forward(
        self,
        position: Float[Tensor, "num_points 3"],
        gradient: Float[Tensor, "num_points 3"],
        feature: Float[Tensor, "num_points num_features"],
    ) -> Appearance:
        """Return the appearance of points.

        Args:
            position: in the cube of the field, -1..1.
            gradient: gradient of the signed distance, not normalised (length about 1).
            feature: z of the field.
        """
        coefficients, opacity_logits = self.network(torch.cat((position, gradient, feature), dim=-1))
        return Appearance(coefficients.unflatten(-1, (-1, 3)), opacity_logits.squeeze(-1))


def radiance(appearance: Appearance, directions: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
    """Return colours seen along directions (camera -> point, world, any length but 0): harmonics + 0.5, at least 0."""
    # A camera at the origin sees the point d along d; this evaluates the same function as for surfels.
    return sh_colors(appearance.sh, directions, directions.new_zeros(3))
