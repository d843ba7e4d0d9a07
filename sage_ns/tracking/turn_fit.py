"""Turn the head of a clip right by its own colours: from landmarks that turn with the head wrongly, coarse to fine.

A detector's landmarks turn less than the head does: on turned faces, the fit to them is off by ten degrees. The skin's
colours do not slide. All pictures are compared with each other through the head (`sage_ns.tracking.turn_problem`), so
that no drawing, no prior and no light has to be known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from sage_ns.tracking.log_pictures import LogPictures
from sage_ns.tracking.skin_samples import SkinSamples
from sage_ns.tracking.turn_problem import TurnNoise, TurnProblem, Turns

_FIRST_DAMPING, _LEAST_DAMPING = 1e-3, 1e-7
_FALL, _RISE = 0.3, 8.0
_MOST_TRIES = 5


@dataclass(frozen=True)
class TurnSettings:
    """How the search goes."""

    widths: tuple[int, ...] = (30, 60, 120)
    """Pixels of the face, from coarse to fine; pictures are never enlarged."""
    coarse_colors: tuple[float, ...] = (0.15, 0.1)
    """Noise of colours (`TurnNoise.color`) at all but the finest: while heads are turned wrongly, little agrees, and
    much has to count (graduated non-convexity: Blake and Zisserman 1987)."""
    points: int = 1500
    identity: int = 30
    """First identity coefficients that are searched for."""
    steps: int = 25
    """Most steps at each resolution."""
    converged: float = 3e-4
    """Share of the sum that a step has to remove for the next to follow."""
    noise: TurnNoise = field(default_factory=TurnNoise)


@dataclass(frozen=True, eq=False)
class TurnFit:
    """Heads that were found, and what speaks for them."""

    turns: Turns
    before: float
    """The sum (`TurnProblem.energy`) at the finest resolution with the heads from landmarks."""
    after: float


def fit_turns(
    samples: SkinSamples,
    pictures: LogPictures,
    face_width: float,
    focal: float,
    center: torch.Tensor,
    start: Turns,
    settings: TurnSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TurnFit:
    """Return heads whose colours agree in all pictures.

    Poses are searched for first, at the coarsest resolution; then everything, from coarse to fine.

    Args:
        samples: points of the skin.
        pictures: at the finest resolution.
        face_width: of these pictures, pixels.
        focal: of the whole picture, pixels.
        center: principal point of the whole picture, pixels.
        start: heads from landmarks.
        settings: how to search.
        progress: called with (steps done, most steps in total).
    """
    turns, levels, total = start, settings.widths, settings.steps * (1 + len(settings.widths))
    whole = TurnProblem(samples, pictures, focal, center, start, settings.noise)
    colors = (*settings.coarse_colors, settings.noise.color)
    for number, (width, color) in enumerate(zip(levels, colors, strict=True)):
        level = pictures if width == levels[-1] else pictures.smaller(min(1.0, width / face_width))
        problem = replace(whole, pictures=level, noise=replace(settings.noise, color=color))
        if number == 0:
            turns = _search(_poses_alone(problem), turns, settings, lambda step: progress(step, total))
        before = settings.steps * (number + 1)
        turns = _search(problem, turns, settings, lambda step, before=before: progress(before + step, total))
    progress(total, total)
    return TurnFit(turns, _best_energy(whole, start), _best_energy(whole, turns))


def _poses_alone(problem: TurnProblem) -> TurnProblem:
    """Return the problem in which identity and focal length hardly move."""
    held = replace(problem.noise, identity=1e-4, focal=0.0)
    return replace(problem, noise=held)


def _search(problem: TurnProblem, turns: Turns, settings: TurnSettings, progress: Callable[[int], None]) -> Turns:
    """Take steps, each of which lowers the sum with the points that are seen before it."""
    damping, look = _FIRST_DAMPING, None
    for number in range(settings.steps):
        progress(number)
        sight = problem.sight(turns)
        look = problem.look(sight, look)
        before = problem.energy(sight, look, turns)
        stepped = problem.step(turns, sight, look)
        for _ in range(_MOST_TRIES):
            tried = stepped(damping)
            seen = problem.sight(tried, sight.weights)
            after = problem.energy(seen, problem.look(seen, look), tried)
            if after < before:
                break
            damping = max(damping, _FIRST_DAMPING) * _RISE
        else:
            return turns
        turns, damping = tried, max(damping * _FALL, _LEAST_DAMPING)
        if before - after < settings.converged * before:
            return turns
    return turns


def _best_energy(problem: TurnProblem, turns: Turns) -> float:
    sight = problem.sight(turns)
    return problem.energy(sight, problem.look(sight), turns)
