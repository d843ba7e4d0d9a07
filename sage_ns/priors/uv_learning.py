"""Learn the decoders of `sage_ns.priors.uv` from pictures of many people at many moments.

Stage 1 paints people at their canonical moments: static decoder, and the identity code of each person (an
auto-decoder: codes are learned with the weights). Stage 2 paints all moments: dynamic decoder, with everything else
held. Each step draws some people, one picture each, through `Sitter.picture_loss`. A stopped run goes on, and equals an
unbroken one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions
from sage_ns.capture.shot import Shot
from sage_ns.errors import SageError
from sage_ns.priors.attributes import surfels_of
from sage_ns.priors.coded import PriorError
from sage_ns.priors.displacement import ExpressionCode
from sage_ns.priors.sitter import SUPERSAMPLING
from sage_ns.priors.uv import UvPrior, make_decoders
from sage_ns.priors.uv_decoder import UvDecoders, UvSize
from sage_ns.priors.uv_people import Draws, Film, film_people, pictures_ahead
from sage_ns.system.files import whole_file
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.system.progress import tracked
from sage_ns.system.torch_files import load_torch_file
from sage_ns.training.losses import LossWeights

_KEPT_EVERY = 200
"""Steps between two savings of the state."""
_STATE = "uv.pt"
_FIRST_CODE = 0.1
"""Standard deviation of the entries of the codes before learning."""
_FINAL_RATE = 0.1
"""Learning rates at the last step of a stage, relative to the first."""

Further = Callable[[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]], Float[Tensor, ""]]
"""A loss of the drawn and the true picture, besides those of `LossWeights`."""


@dataclass(frozen=True)
class UvLearning:
    """How the decoders are learned."""

    size: UvSize
    static_steps: int
    dynamic_steps: int
    people_per_step: int
    moments: int = 8
    """Largest number of moments of each person besides the canonical one."""
    seed: int = 0
    fine_from: float = 0.5
    """Share of the steps of stage 1 after which pictures are drawn at twice their resolution, as in all of stage 2."""
    rate: float = 2e-3
    """Learning rate of the weights."""
    code_rate: float = 2e-2
    """Learning rate of the identity codes."""
    likelihood: float = 1e-4
    """Weight of the mean square of the codes."""
    pull: float = 0.02
    """Weight of the mean square change of attributes that no picture asks for: from the mean person in stage 1, from
    the static map in stage 2."""
    weights: LossWeights = field(default_factory=LossWeights)


@dataclass
class _Progress:
    """The state that a stopped run goes on from."""

    decoders: UvDecoders
    codes: Tensor
    stage: int = 0
    step: int = 0
    """Steps of the stage that are done."""
    optimizer: dict[str, Any] | None = None


def learn_uv(
    people: Float[Tensor, "num_people num_places 9"],
    captures: Sequence[CaptureOptions],
    learning: UvLearning,
    work: Path,
    device: torch.device | str,
    further: Further | None = None,
) -> UvPrior:
    """Return the prior of some people, on the CPU.

    Args:
        people: attributes of the people's fits; their mean is the base of the decoders.
        captures: of the same people.
        learning: sizes, steps and rates.
        work: folder of the state of a stopped run.
        device: where to learn.
        further: see `Further`.

    Raises:
        SageError: a capture cannot be used.
        WriteError: the state cannot be written.
    """
    film = film_people(captures, people.shape[1], learning.size.expression, learning.moments, device)
    base = people.mean(dim=0)
    path, key = work / _STATE, _key(base, captures, learning, further is not None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(learning.seed)
        decoders = make_decoders(base, learning.size).to(device)
        codes = _FIRST_CODE * torch.randn(len(captures), learning.size.identity)
    progress = _Progress(decoders, codes.to(device))
    _resume(progress, path, key)
    stages = (("static", learning.static_steps), ("dynamic", learning.dynamic_steps if film.any_moves else 0))
    for stage in range(progress.stage, len(stages)):
        name, steps = stages[stage]
        _learn_stage(progress, film, learning, name, steps, further, lambda: _keep(progress, path, key))
        progress.stage, progress.step, progress.optimizer = stage + 1, 0, None
        _keep(progress, path, key)
    return _prior(progress, film.expressions, len(captures))


def _learn_stage(
    progress: _Progress,
    film: Film,
    learning: UvLearning,
    stage: str,
    steps: int,
    further: Further | None,
    keep: Callable[[], None],
) -> None:
    """Do the rest of the steps of one stage. No step waits for the device."""
    moves = stage == "dynamic"
    decoders, codes = progress.decoders, progress.codes.requires_grad_(not moves)
    trained = decoders.dynamic if moves else decoders.static
    groups: list[dict[str, Any]] = [{"params": list(trained.parameters()), "lr": learning.rate, "first": learning.rate}]
    if not moves:
        groups.append({"params": [codes], "lr": learning.code_rate, "first": learning.code_rate})
    optimizer = torch.optim.Adam(groups, eps=1e-12)
    if progress.optimizer is not None:
        optimizer.load_state_dict(progress.optimizer)
    draws = film.draw(steps, learning.people_per_step, learning.seed, moves)
    with (
        cores_for_kernels() if codes.device.type == "cpu" else nullcontext(),
        tracked(range(progress.step, steps), f"Learning {stage} maps") as shown,
    ):
        for step, shots in zip(shown, pictures_ahead(film, draws, progress.step), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = group["first"] * _FINAL_RATE ** (step / steps)
            loss = _loss(decoders, codes, film, draws, step, shots, learning, moves, further)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            progress.step, progress.optimizer = step + 1, None
            if (step + 1) % _KEPT_EVERY == 0:
                progress.optimizer = optimizer.state_dict()
                keep()
    progress.codes = codes.detach()


def _loss(
    decoders: UvDecoders, codes: Tensor, film: Film, draws: Draws, step: int, shots: Sequence[Shot],
    learning: UvLearning, moves: bool, further: Further | None,
) -> Float[Tensor, ""]:  # fmt: skip
    identity = codes.index_select(0, draws.people[step])
    if moves:
        with torch.no_grad():
            still = decoders.still(identity)
        attributes = decoders.moved(
            still,
            decoders.expressive_map(identity, film.codes.index_select(0, draws.moments[step]))
            - decoders.neutral_map(identity),
        )
    else:
        still, attributes = decoders.base, decoders.still(identity)
    total = learning.pull * (attributes - still).square().mean()
    if not moves:
        total = total + learning.likelihood * identity.square().mean()
    fine = moves or step >= learning.fine_from * learning.static_steps
    for person, shot in enumerate(shots):
        sitter = film.sitter(draws.flat[step][person][0])
        background = draws.backgrounds[step, person]
        loss = sitter.picture_loss(
            surfels_of(attributes[person]), shot, background, learning.weights,
            supersampling=SUPERSAMPLING if fine else 1, more=further,
        )  # fmt: skip
        total = total + loss / len(shots)
    return total


def _prior(progress: _Progress, expressions: ExpressionCode, num_people: int) -> UvPrior:
    """Return the prior; the codes of its people have mean 0 and deviation 1 in the basis that it stores."""
    codes = progress.codes.detach().cpu().double()
    center = codes.mean(dim=0)
    _, values, axes = torch.linalg.svd(codes - center, full_matrices=False)
    count = min(num_people - 1, codes.shape[1])
    basis = values[:count, None] * axes[:count] / (num_people - 1) ** 0.5
    decoders = progress.decoders.cpu().requires_grad_(False)
    return UvPrior(decoders.base, decoders, center.float(), basis.float(), expressions.to("cpu"), num_people)


def _key(base: Tensor, captures: Sequence[CaptureOptions], learning: UvLearning, further: bool) -> str:
    """Return a text that identifies all that the decoders depend on."""
    names = [(str(options.data.absolute()), options.downscale_factor, options.background) for options in captures]
    digest = hashlib.sha256(repr((learning, names, further)).encode())
    digest.update(base.numpy().tobytes())
    return digest.hexdigest()


def _keep(progress: _Progress, path: Path, key: str) -> None:
    content = {
        "key": key,
        "stage": progress.stage,
        "step": progress.step,
        "codes": progress.codes.detach(),
        "weights": progress.decoders.state_dict(),
        "optimizer": progress.optimizer,
    }
    with whole_file(path) as unfinished:
        torch.save(content, unfinished)


def _resume(progress: _Progress, path: Path, key: str) -> None:
    """Take over the state of a stopped run, if there is one of the same people and settings."""
    if not path.exists():
        return
    with suppress(SageError, KeyError, TypeError, RuntimeError, ValueError):
        content = load_torch_file(path, PriorError, "the state of sage-prior learn", "")
        if content["key"] != key:
            return
        progress.decoders.load_state_dict(content["weights"])
        progress.codes = content["codes"].to(progress.codes).clone()
        progress.stage, progress.step, progress.optimizer = content["stage"], content["step"], content["optimizer"]
