"""Densification of 3D Gaussians bound to triangles (3DGS, and GaussianAvatars' rules for the binding).

Gaussians whose projected centres have large gradients cannot show what lies around them alone: small ones are cloned,
large ones are split. Children are bound to their parent's triangle. Transparent and very large Gaussians are removed,
but no triangle loses all of its Gaussians, so that every triangle can grow new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sage_ns.avatar.growth.ops import SurfelRows, append, keep, overwrite
from sage_ns.avatar.surfels import take_sizes
from sage_ns.geometry.rotations import quaternion_to_matrix

NUM_CHILDREN = 2
"""Number of Gaussians that a split puts in the place of one."""
SHRINK = 0.8 * NUM_CHILDREN
"""A split divides scales by this (3DGS)."""


@dataclass
class DensificationSettings:
    """Settings of densification; the defaults are those of GaussianAvatars' public code.

    Its 600,000 iterations are scaled to the length of phase 1: numbers of iterations are fractions here.
    """

    enabled: bool = False
    """clone, split and remove 3D Gaussians during phase 1; needs primitives = gaussians"""
    most: int | None = None
    """largest number of Gaussians; of more candidates, those with the largest gradients grow; None = the preset's
    (paper: 1,000,000, small: 30,000)"""
    gradient: float = 2e-4
    """a Gaussian grows if the mean gradient of its projected centre exceeds this, in units of half the picture"""
    begin: float = 1 / 60
    """fraction of phase 1 before the first densification (10,000 of 600,000 iterations)"""
    every: float = 1 / 300
    """fraction of phase 1 between two densifications (2,000 of 600,000 iterations)"""
    fewest_steps: int = 20
    """at least this many steps between two densifications: about one picture of every camera, since gradients are
    averaged over views"""
    reset_every: float = 1 / 10
    """fraction of phase 1 between two resets of all opacities (60,000 of 600,000 iterations)"""
    fewest_reset_steps: int = 200
    """at least this many steps between two resets: Adam raises a logit by its learning rate, 0.05, in a step, and from
    the reset to opacity 0.99 it needs 180"""
    split_above: float = 0.01
    """Gaussians larger than this share of the scene's extent are split, smaller ones are cloned"""
    remove_below: float = 0.005
    """Gaussians with a lower opacity are removed"""
    remove_above: float = 0.1
    """Gaussians larger than this share of the scene's extent are removed after the first reset of opacities"""
    reset_to: float = 0.01
    """a reset lowers opacities to this"""


class ScreenGradients(nn.Module):
    """Sums of the gradients of projected centres since the last densification; part of checkpoints.

    Args:
        num_gaussians: number of Gaussians.
    """

    NAMES = ("total", "count")
    total: Tensor
    count: Tensor

    def __init__(self, num_gaussians: int) -> None:
        super().__init__()
        for name in self.NAMES:
            self.register_buffer(name, torch.zeros(num_gaussians))

    @torch.no_grad()
    def add(
        self,
        gradient: Float[Tensor, "num_gaussians 2"],
        visible: Bool[Tensor, "num_gaussians"],
        width: int,
        height: int,
    ) -> None:
        """Add the gradient of a loss with respect to projected centres [1/pixel] of a picture.

        3DGS measures them in units of half the picture, which makes its threshold independent of the resolution.
        """
        x, y = gradient.unbind(-1)
        self.total += torch.hypot(0.5 * width * x, 0.5 * height * y) * visible
        self.count += visible

    def mean(self) -> Float[Tensor, "num_gaussians"]:
        """Return the mean length of the gradients over the pictures that show a Gaussian; 0 if none does."""
        return self.total / self.count.clamp_min(1.0)

    @torch.no_grad()
    def clear(self) -> None:
        """Set all sums to 0."""
        self.total.zero_()
        self.count.zero_()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, self.NAMES, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def growing(
    gradients: Float[Tensor, "num_gaussians"], threshold: float, room: int | None
) -> Bool[Tensor, "num_gaussians"]:
    """Return which Gaussians grow: those above the threshold, of these at most ``room`` with the largest gradients.

    Args:
        gradients: mean lengths of the gradients of projected centres.
        threshold: smallest length.
        room: number of Gaussians that may be added; None = any.
    """
    chosen = gradients >= threshold
    if room is None or int(chosen.sum()) <= room:
        return chosen
    best = torch.where(chosen, gradients, -1.0).topk(max(room, 0)).indices
    return torch.zeros_like(chosen).index_fill(0, best, True)


def clone(rows: SurfelRows, chosen: Bool[Tensor, "num_gaussians"]) -> None:
    """Add a copy of each chosen Gaussian, bound to the same triangle; the optimiser moves the two apart."""
    append(rows, _taken(rows, chosen))


def split(
    rows: SurfelRows,
    chosen: Bool[Tensor, "num_gaussians"],
    samples: Float[Tensor, "num_children num_chosen 3"],
) -> None:
    """Replace each chosen Gaussian by `NUM_CHILDREN` smaller ones at samples of its distribution.

    mu_child = mu + R (s * sample), s_child = s / `SHRINK`. (GaussianAvatars' code leaves out mu, so that its children
    start at the triangle's centre; on a head, hardly any Gaussian is large enough to be split.)

    Args:
        rows: rows to edit.
        chosen: mask of the Gaussians to split.
        samples: from the standard normal distribution.
    """
    parents = _taken(rows, chosen)
    scales = parents["log_scales"].exp()
    offsets = torch.einsum("nij,knj->kni", quaternion_to_matrix(parents["quaternions"]), scales * samples)
    children = {name: torch.cat([tensor] * len(samples)) for name, tensor in parents.items()}
    children["means"] = (parents["means"] + offsets).flatten(0, 1)
    children["log_scales"] = torch.cat([(scales / SHRINK).log()] * len(samples))
    num_before = rows.num_rows
    append(rows, children)
    removed = torch.nn.functional.pad(chosen, (0, rows.num_rows - num_before))
    keep(rows, ~removed)


def _taken(rows: SurfelRows, chosen: Bool[Tensor, "num_gaussians"]) -> dict[str, Tensor]:
    """Return the chosen rows of everything that new rows need."""
    tensors = {**rows.parameters, **rows.buffers}
    return {name: tensor.detach()[chosen] for name, tensor in tensors.items() if name not in rows.optional}


def prunable(
    unwanted: Bool[Tensor, "num_gaussians"], triangle: Int[Tensor, "num_gaussians"], num_triangles: int
) -> Bool[Tensor, "num_gaussians"]:
    """Return the unwanted Gaussians of those triangles that keep at least one other Gaussian."""
    left = torch.bincount(triangle[~unwanted], minlength=num_triangles)
    return unwanted & (left[triangle] > 0)


def reset_opacities(rows: SurfelRows, opacity: float) -> None:
    """Lower all opacities to at most ``opacity``, and clear the optimisers' moments of them (3DGS)."""
    logits = rows.parameters["opacity_logits"]
    every = torch.ones_like(logits, dtype=torch.bool)
    highest = torch.logit(torch.tensor(opacity)).item()
    overwrite(rows, every, {"opacity_logits": logits.detach().clamp_max(highest)}, fresh=("opacity_logits",))
