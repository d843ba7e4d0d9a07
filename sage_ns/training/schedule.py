"""Which phase a step of training belongs to: any number of phases, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from sage_ns.training.phase import Phase, PhaseStep


@dataclass
class PhaseSteps:
    """Length of each phase, in the order of the phases."""

    reconstruct: int | None = None
    """steps of phase 1, which fits the pictures; None = the preset's, or its share of --max-num-iterations"""
    self_supervise: int | None = None
    """steps of phase 2, which teaches expressions; 0 leaves it out; None = the preset's, or its share of
    --max-num-iterations"""

    def asked(self) -> dict[str, int | None]:
        """Steps by name of the phase."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def settle_steps(
    asked: Mapping[str, int | None],
    preset: Mapping[str, int],
    total: int | None,
    begun: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], int]:
    """Length of each phase, and the number of steps in all.

    A phase has the length that was asked for; else, all but the last one, the length in the checkpoint that training
    resumes from, so that borders stay where they were; else its share of the steps that are left of ``total``, in the
    proportions of the preset, or without a total the preset's length.

    Args:
        asked: by name of the phase, in their order; 0 leaves a phase out, None leaves its length open.
        preset: lengths to fall back to.
        total: steps in all, if that was asked for.
        begun: lengths in the checkpoint to resume.
    """
    names = [name for name, length in asked.items() if length != 0]
    if not names:
        raise ValueError("every phase has 0 steps: at least one phase needs some")
    steps = {name: length for name in names if (length := asked[name]) is not None}
    for name in names[:-1]:
        if begun is not None and name in begun:
            steps.setdefault(name, begun[name])
    if total is None:
        steps = {name: steps.get(name, preset[name]) for name in names}
        return steps, sum(steps.values())
    still_open = [name for name in names if name not in steps]
    left = max(total - sum(steps.values()), 0)
    proportion = sum(preset[name] for name in still_open)
    for name in still_open[:-1]:
        steps[name] = round(left * preset[name] / proportion)
    if still_open:
        steps[still_open[-1]] = max(total - sum(steps.values()), 0)
    return {name: steps[name] for name in names}, total


class Schedule:
    """Phases in their order. The last one goes on for as long as training does.

    Args:
        phases: at least one, each with its length.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = list(phases)
        self.borders = list(accumulate(phase.num_steps for phase in self.phases))
        """Number of steps after which each phase ends."""
        self.current: Phase = self.phases[0]
        self.psnr: Float[Tensor, ""] = torch.tensor(float("nan"))
        """Of the last real picture, in dB."""
        self._begun: Phase | None = None

    def steps(self) -> dict[str, int]:
        """Length of each phase by name, as checkpoints hold it."""
        return {phase.name: phase.num_steps for phase in self.phases}

    def at(self, step: int) -> Phase:
        """The phase that ``step`` belongs to."""
        ahead = (phase for phase, border in zip(self.phases, self.borders, strict=True) if step < border)
        return next(ahead, self.phases[-1])

    def step(self, step: int) -> PhaseStep:
        """One step of the phase that it belongs to; the phase is begun first if this process has not yet begun it."""
        self.current = self.at(step)
        if self._begun is not self.current:
            self.current.begin()
            self._begun = self.current
        taken = self.current.step(step)
        self.psnr = taken.psnr
        return taken

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """To be called once the optimisers, by name of their parameter group, have made their step."""
        phase = self.at(step)
        phase.after_step(step, optimizers)
        if step + 1 == self.borders[self.phases.index(phase)]:
            phase.end()
