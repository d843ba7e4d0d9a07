"""Fit the surfels at the places of the atlas to pictures of one person, from the mean of the people before."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.priors.attributes import COLOUR, LOG_SCALES, NUM_ATTRIBUTES, OFFSET, OPACITY, surfels_of
from sage_ns.priors.sitter import SUPERSAMPLING, Sitter
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.losses import LossWeights

_FINAL_RATE = 0.1
"""Learning rates at the last step, relative to the first."""
_LARGEST_SCALE = -4.6
"""Logarithm of the largest scale in metres: 1 cm."""


@dataclass(frozen=True)
class PersonFitSettings:
    """How one person is fitted."""

    steps: int = 160
    """Optimiser steps, one picture each."""
    first_steps: int = 480
    """Steps of the first person, who starts from grey."""
    fine_from: float = 0.6
    """Share of the steps after which pictures are drawn at twice their resolution."""
    pull: float = 0.1
    """Weight of the mean square distance from the mean person: keeps places from wandering."""
    offset_rate: float = 0.05
    scale_rate: float = 0.015
    opacity_rate: float = 0.05
    colour_rate: float = 0.015
    weights: LossWeights = field(default_factory=LossWeights)


def fit_person(
    sitter: Sitter,
    mean: Float[Tensor, "num_places 9"],
    settings: PersonFitSettings,
    steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "num_places 9"]:
    """Return the attributes (`sage_ns.priors.attributes`) with which the surfels look like the pictures.

    Args:
        sitter: the person; all pictures count equally.
        mean: where the fit starts, and what it is pulled to.
        settings: rates and weights.
        steps: number of optimiser steps.
        generator: of the order of the pictures and of the backgrounds; on the CPU.
    """
    device = sitter.background.device
    start = mean.to(device)
    rate = torch.ones(NUM_ATTRIBUTES)
    for columns, value in (
        (OFFSET, settings.offset_rate),
        (LOG_SCALES, settings.scale_rate),
        (OPACITY, settings.opacity_rate),
        (COLOUR, settings.colour_rate),
    ):
        rate[columns] = value
    rate = rate.to(device)
    # One tensor of unit rate: the attributes are `start + rate * change`.
    change = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=1.0, eps=1e-12)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, _FINAL_RATE ** (1.0 / max(steps, 1)))
    backgrounds = torch.rand(max(steps, 1), 3, generator=generator).to(device)
    order = torch.cat(
        [torch.randperm(len(sitter.shots), generator=generator) for _ in range(steps // len(sitter.shots) + 1)]
    ).tolist()
    with cores_for_kernels() if device.type == "cpu" else nullcontext():
        for step in range(steps):
            attributes = start + rate * change
            shot, factor = sitter.shots[order[step]], 1 if step < settings.fine_from * steps else SUPERSAMPLING
            drawn = surfels_of(attributes)
            loss = sitter.picture_loss(drawn, shot, backgrounds[step], settings.weights, supersampling=factor)
            loss = loss + settings.pull * (attributes - start).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    attributes = (start + rate * change).detach()
    attributes[:, LOG_SCALES] = attributes[:, LOG_SCALES].clamp(max=_LARGEST_SCALE)
    return attributes.cpu()
