"""Schedule of a training: any number of phases, one after the other."""

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
    """Number of steps of each phase, in the order of the phases."""

    reconstruct: int | None = None
    """steps of phase 1, which fits the pictures; 0 skips it; None = the preset's, or a share of --max-num-iterations"""
    self_supervise: int | None = None
    """steps of phase 2, which teaches expressions; 0 skips it; None = the preset's, or a share of
    --max-num-iterations"""

    def by_name(self) -> dict[str, int | None]:
        """Return the steps by name of the phase."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def settle_steps(
    chosen: Mapping[str, int | None],
    preset: Mapping[str, int],
    total: int | None,
    begun: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], int]:
    """Return the length of each phase and the total number of steps.

    The length of a phase is the first of these that exists:

    1. the length that the user has chosen;
    2. for all phases but the last, the length in the checkpoint that training resumes from: borders stay in place;
    3. with ``total``, the phase's share of the remaining steps, in the proportions of the preset;
    4. the preset's length.

    Args:
        chosen: lengths that the user has chosen, by name of the phase, in order; 0 skips a phase, None is open.
        preset: lengths of the preset by name.
        total: total number of steps that the user has chosen, or None.
        begun: lengths in the checkpoint to resume, or None.

    Raises:
        ValueError: every phase has 0 steps.
    """
    names = [name for name, length in chosen.items() if length != 0]
    if not names:
        raise ValueError("every phase has 0 steps: at least one phase needs some")
    steps = {name: length for name in names if (length := chosen[name]) is not None}
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
    """Phases in order. The last phase continues until training ends.

    Args:
        phases: at least one phase, each with its length.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = list(phases)
        self.borders = list(accumulate(phase.num_steps for phase in self.phases))
        """Number of steps after which each phase ends."""
        self.current: Phase = self.phases[0]
        self.psnr: Float[Tensor, ""] = torch.tensor(float("nan"))
        """PSNR of the last real picture, in dB."""
        self._begun: Phase | None = None

    def steps(self) -> dict[str, int]:
        """Return the length of each phase by name, as checkpoints store it."""
        return {phase.name: phase.num_steps for phase in self.phases}

    def at(self, step: int) -> Phase:
        """Return the phase of ``step``."""
        ahead = (phase for phase, border in zip(self.phases, self.borders, strict=True) if step < border)
        return next(ahead, self.phases[-1])

    def step(self, step: int) -> PhaseStep:
        """Run one step of its phase; begin the phase first if this process has not begun it."""
        self.current = self.at(step)
        if self._begun is not self.current:
            self.current.begin()
            self._begun = self.current
        taken = self.current.step(step)
        self.psnr = taken.psnr
        return taken

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Finish a step; call it after the step of the optimisers, given by name of their parameter group."""
        phase = self.at(step)
        phase.after_step(step, optimizers)
        if step + 1 == self.borders[self.phases.index(phase)]:
            phase.end(optimizers)
