"""A field with a known surface, and an appearance, in place of trained ones."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.avatar.appearance_network import Appearance
from sage_ns.field.sdf import FieldSample
from sage_ns.geometry.spherical_harmonics import C0

CENTER, RADIUS = torch.tensor([0.02, -0.01, 0.03]), 0.05


class SphereField:
    """Signed distance to a sphere, and to a smaller one beside it."""

    def __init__(self, steepness: float = 1.0) -> None:
        self.center, self.half_size = CENTER + 0.005, torch.tensor(0.1)
        self.steepness = steepness
        self.num_asked = 0

    def normalised(self, x: Tensor) -> Tensor:
        return (x - self.center) / self.half_size

    def distance(self, x: Tensor) -> Tensor:
        self.num_asked += len(x)
        island = (x - CENTER - torch.tensor([0.0, 0.085, 0.0])).norm(dim=-1) - 0.008
        return self.steepness * torch.minimum((x - CENTER).norm(dim=-1) - RADIUS, island)

    def evaluate(self, x: Tensor, gradient: bool | str = False) -> FieldSample:
        slope = self.steepness * torch.nn.functional.normalize(x - CENTER, dim=-1)
        return FieldSample(self.distance(x), slope, torch.zeros(len(x), 2), torch.zeros(len(x), 3))


def reddish_above(position: Tensor, gradient: Tensor, feature: Tensor) -> Appearance:
    """Red where the surface looks up, grey elsewhere; the cube's centre is at position 0."""
    assert position.abs().max() <= 1
    assert feature.shape == (len(position), 2)
    sh = torch.zeros(len(position), 4, 3)
    sh[:, 0, 0] = torch.where(gradient[:, 1] > 0, 0.4 / C0, 0.0)
    return Appearance(sh, torch.zeros(len(position)))
