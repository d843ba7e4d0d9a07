"""Find the identity code whose person looks like the pictures: analysis by synthesis with the product's rasteriser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas_surfels import AtlasSurfels
from sage_ns.geometry.spherical_harmonics import scaled_harmonics
from sage_ns.priors.attributes import surfels_of
from sage_ns.priors.sitter import SUPERSAMPLING, Sitter
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.losses import LossWeights

_FINAL_RATE = 0.05
_MEMORY = 0.9
"""Share of the past in the running mean of the error of the pictures."""
"""Learning rate at the last step, relative to the first."""


@dataclass(frozen=True)
class CodeFitSettings:
    """How an identity code is found."""

    steps: int = 200
    """Optimiser steps, one picture each."""
    fine_from: float = 0.5
    """Share of the steps after which pictures are drawn at twice their resolution."""
    rate: float = 0.08
    """Learning rate of the code, in standard deviations."""
    gain_rate: float = 0.01
    """Learning rate of the logarithm of the colour gain."""
    likelihood: float = 1e-4
    """Weight of the square of the code: a person far from all others needs evidence. Pictures that no person of the
    prior explains are evidence of little: above `usual_error`, the weight rises in proportion to their error."""
    usual_error: float = 4e-3
    """Mean squared error of colours up to which a prior's person explains a picture; 24 dB."""
    gain_weight: float = 0.1
    """Weight of the square of the logarithm of the gain."""
    weights: LossWeights = field(default_factory=LossWeights)


@dataclass(frozen=True, eq=False)
class CodeFit:
    """The person of a prior that looks like the pictures."""

    code: Float[Tensor, "num_codes"]
    gain: Float[Tensor, "3"]
    """Factor on the colours of the prior's people: white balance and exposure of the pictures."""
    attributes: Float[Tensor, "num_places 9"]
    """Of the person, without the gain."""

    def surfels(self, sh_degree: int = 0) -> AtlasSurfels:
        """Return the surfels of the person, with the gain in their colours."""
        surfels = surfels_of(self.attributes, sh_degree)
        return replace(surfels, sh_dc=scaled_harmonics(surfels.sh_dc, self.gain.expand(len(self.attributes), 3)))


def fit_code(
    person: Callable[[Float[Tensor, "num_codes"]], Float[Tensor, "num_places 9"]],
    num_codes: int,
    sitter: Sitter,
    settings: CodeFitSettings,
    generator: torch.Generator,
    start: Float[Tensor, "num_codes"] | None = None,
) -> CodeFit:
    """Minimise the photometric and silhouette losses, plus the weighted square of code and gain, with Adam.

    What the people of a prior cannot explain (hair or an expression that nobody of them has) is noise to it: the weight
    of the code's square grows with the variance that is left, as in a maximum a posteriori estimate. Otherwise faces
    get blotches that explain a fringe.

    Args:
        person: attributes of the person with an identity code; differentiable.
        num_codes: number of entries of the code; the mean person has zeros.
        sitter: rig and pictures.
        settings: rates and weights.
        generator: of the order of the pictures and of the backgrounds; on the CPU.
        start: code to start from; None = the mean person's.
    """
    device = sitter.background.device
    code = torch.zeros(num_codes, device=device) if start is None else start.detach().clone().to(device)
    code.requires_grad_(True)
    log_gain = torch.zeros(3, device=device, requires_grad=True)
    groups = [{"params": [code], "lr": settings.rate}, {"params": [log_gain], "lr": settings.gain_rate}]
    optimizer = torch.optim.Adam(groups, eps=1e-8)  # less is rounding error of pictures without differences
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, _FINAL_RATE ** (1.0 / max(settings.steps, 1)))
    backgrounds = torch.rand(max(settings.steps, 1), 3, generator=generator).to(device)
    order = torch.randint(len(sitter.shots), (max(settings.steps, 1),), generator=generator).tolist()
    left = torch.zeros((), device=device)
    """Running mean of the squared error."""

    def measure(drawn: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
        error = (drawn.detach() - truth).square().mean()
        left.copy_(torch.where(left > 0, _MEMORY * left + (1 - _MEMORY) * error, error))
        return torch.zeros_like(error)

    with cores_for_kernels() if device.type == "cpu" else nullcontext():
        for step in range(settings.steps):
            factor = 1 if step < settings.fine_from * settings.steps else SUPERSAMPLING
            surfels = surfels_of(person(code))
            loss = sitter.picture_loss(
                surfels, sitter.shots[order[step]], backgrounds[step], settings.weights, log_gain.exp(), factor, measure
            )
            doubt = (left / settings.usual_error).clamp_min(1.0)
            loss = (
                loss
                + settings.likelihood * doubt * code.square().sum()
                + settings.gain_weight * log_gain.square().sum()
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return CodeFit(code.detach(), log_gain.detach().exp(), person(code))
