"""Canonical appearance: one colour and opacity for the surfels and for the field's volume rendering (Eq. 8)."""

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

    Eq. 8 also hands the view direction v to the network. Here v enters linearly: the network predicts coefficients of
    spherical harmonics in v. Every colour that a smooth lobe needs can be had that way, one evaluation serves all
    views, and the surfels can store the coefficients: baked avatars play back without the network, exactly as trained.
    For the same reason the opacity cannot depend on v: a stored surfel has a single one. Besides, an opacity that
    changes with the view would let surfels fake geometry, which is the field's to explain.

    Args:
        num_features: length of the field's feature z.
        sh_degree: 0 to 3.
        hidden: width of the hidden layers.
        num_layers: how many hidden layers.

    Raises:
        ValueError: another degree.
    """

    def __init__(self, num_features: int, sh_degree: int, hidden: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        if not 0 <= sh_degree < len(NUM_COEFFICIENTS):
            raise ValueError(f"spherical harmonics of degree {sh_degree}; expected 0 to {len(NUM_COEFFICIENTS) - 1}")
        num_coefficients = NUM_COEFFICIENTS[sh_degree]
        self.network = Perceptron(6 + num_features, (3 * num_coefficients, 1), hidden, num_layers)
        colors, opacity = self.network.heads
        assert isinstance(colors, nn.Linear) and isinstance(opacity, nn.Linear)
        # Grey, the same from all sides, and equally opaque everywhere, but for a little noise.
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
        """Appearance of points.

        Args:
            position: within the field's cube, -1..1.
            gradient: of the signed distance, as it is (about unit length).
            feature: z of the field.
        """
        coefficients, opacity_logits = self.network(torch.cat((position, gradient, feature), dim=-1))
        return Appearance(coefficients.unflatten(-1, (-1, 3)), opacity_logits.squeeze(-1))


def radiance(appearance: Appearance, directions: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
    """Colours seen along directions (camera -> point, world, of any length but zero): harmonics + 0.5, not below 0."""
    # A point in direction d from a camera at the origin is seen along d: the very same function as for surfels.
    return sh_colors(appearance.sh, directions, directions.new_zeros(3))
