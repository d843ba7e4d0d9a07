"""Light that stays in the room while the head turns: one factor on the colours for every direction of the skin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sage_ns.geometry.spherical_harmonics import C0, sh_basis
from sage_ns.geometry.vertex_means import vertex_normals

NUM_LIGHT = 9
"""Harmonics of degree 0 to 2: they hold 99 % of the light that a matt surface reflects (Ramamoorthi and Hanrahan 2001,
"An efficient representation for irradiance environment maps")."""
_DARKEST = 0.05
"""Smallest factor on a colour: no side of a head is black, and a factor of 0 would stop the gradients."""


class RoomLight(nn.Module):
    """Light of the room in harmonics up to degree 2: ``factor(n) = max(0.05, 1 + sum_k Y_k(n) L_k)`` per channel.

    ``n`` is the posed normal of the rig in the axes of the world, in which the lamps stand still. The constant part of
    the light is 1: the surfels' own colours, which turn with the head, hold it. The coefficients start at 0: no light.
    """

    def __init__(self) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(NUM_LIGHT - 1, 3))

    def forward(self, normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return the factors on the colours of skin with these unit normals; gradients reach the light and them."""
        return (1.0 + sh_basis(normals, NUM_LIGHT)[:, 1:] @ self.coefficients).clamp_min(_DARKEST)

    def penalty(self) -> Float[Tensor, ""]:
        """Return the mean square of the coefficients: light is weak unless pictures show it."""
        return self.coefficients.square().mean()


def smooth_normals(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> Float[Tensor, "num_triangles 3"]:
    """Return unit normals of triangles, each the mean of its corners' vertex normals, which have no facets."""
    return F.normalize(vertex_normals(vertices, triangles)[triangles].mean(dim=1), dim=-1, eps=1e-20)


def plain_light() -> Float[Tensor, "9 3"]:
    """Return the light whose factors are 1."""
    light = torch.zeros(NUM_LIGHT, 3)
    light[0] = 1.0 / C0
    return light


def light_factors(
    light: Float[Tensor, "*batch 9 3"], normals: Float[Tensor, "*batch n 3"]
) -> Float[Tensor, "*batch n 3"]:
    """Return the factors of a light on the colours of skin with these unit normals: ``max(0, sum_k Y_k(n) L_k)``."""
    basis = sh_basis(normals.reshape(-1, 3), NUM_LIGHT).reshape(*normals.shape[:-1], NUM_LIGHT)
    return (basis @ light).clamp_min(0.0)
