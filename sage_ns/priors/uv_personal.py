"""Fine-tune the decoders of a prior on the pictures of one person, as SEGA does last."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.priors.attributes import surfels_of
from sage_ns.priors.sitter import SUPERSAMPLING, Sitter
from sage_ns.priors.uv_decoder import UvDecoders
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.losses import LossWeights


@dataclass(frozen=True)
class PersonalSettings:
    """How the decoders are fine-tuned."""

    steps: int = 60
    """Optimiser steps, one picture each; 0 leaves the prior as it is."""
    free_code: bool = False
    """Whether the identity code moves, too."""
    rate: float = 3e-4
    """Learning rate of the weights of the decoders."""
    code_rate: float = 1e-2
    pull: float = 0.1
    """Weight of the mean square distance from the person of the prior: holds what the pictures do not show."""
    weights: LossWeights = field(default_factory=LossWeights)


def personalised(
    decoders: UvDecoders,
    identity: Float[Tensor, "num_identity"],
    expression: Float[Tensor, "num_expression"],
    sitter: Sitter,
    gain: Float[Tensor, "3"],
    settings: PersonalSettings,
    generator: torch.Generator,
) -> tuple[UvDecoders, Float[Tensor, "num_identity"]]:
    """Return decoders and identity code with which the person looks more like the pictures; the inputs stay.

    The maps are painted as a whole: what changes where the pictures show the person carries over to places nearby.

    Args:
        decoders: of the prior.
        identity: what they see of the person.
        expression: code of the expression on the pictures.
        sitter: rig and pictures.
        gain: factor on the colours.
        settings: see `PersonalSettings`.
        generator: of the order of the pictures and of the backgrounds; on the CPU.
    """
    own = deepcopy(decoders).requires_grad_(True)
    code = identity.detach().clone().requires_grad_(settings.free_code)
    with torch.no_grad():
        start = decoders(identity[None], expression[None])[0]
    groups: list[dict[str, Any]] = [{"params": list(own.parameters()), "lr": settings.rate}]
    if settings.free_code:
        groups.append({"params": [code], "lr": settings.code_rate})
    optimizer = torch.optim.Adam(groups)
    backgrounds = torch.rand(max(settings.steps, 1), 3, generator=generator).to(start.device)
    order = torch.randint(len(sitter.shots), (max(settings.steps, 1),), generator=generator).tolist()
    with cores_for_kernels() if start.device.type == "cpu" else nullcontext():
        for step in range(settings.steps):
            attributes = own(code[None], expression[None])[0]
            loss = sitter.picture_loss(
                surfels_of(attributes), sitter.shots[order[step]], backgrounds[step], settings.weights, gain,
                SUPERSAMPLING,
            )  # fmt: skip
            loss = loss + settings.pull * (attributes - start).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return own.requires_grad_(False), code.detach()
