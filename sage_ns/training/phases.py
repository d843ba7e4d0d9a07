"""Registry of phases by the names of their settings, and the schedule built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sage_ns.motion.bank import DrivingBank
from sage_ns.training.config import SelfSuperviseConfig
from sage_ns.training.deformation_split import DeformationSplit
from sage_ns.training.learner import Learner
from sage_ns.training.phase import Phase, ShotSource
from sage_ns.training.picture_fit import PictureFit
from sage_ns.training.reconstruct import Reconstruct
from sage_ns.training.schedule import Schedule
from sage_ns.training.self_supervise import SelfSupervise


@dataclass(frozen=True, eq=False)
class Ingredients:
    """Everything that phases are built from."""

    learner: Learner
    shots: ShotSource
    fit: PictureFit
    """Fits a real picture; all phases share it."""
    bank: DrivingBank | None
    """Expressions to teach; None if no phase teaches."""
    self_supervise: SelfSuperviseConfig
    seed: int


def _reconstruct(given: Ingredients, num_steps: int) -> Phase:
    splitting = None
    if given.self_supervise.split_deforming and given.bank is not None:
        splitting = DeformationSplit(given.learner, given.shots, given.bank)
    return Reconstruct(given.learner, given.shots, given.fit, num_steps, given.seed, splitting)


def _self_supervise(given: Ingredients, num_steps: int) -> Phase:
    if given.bank is None:
        raise ValueError("self_supervise needs a driving bank")
    return SelfSupervise(given.learner, given.shots, given.fit, given.bank, given.self_supervise, num_steps, given.seed)


PHASES: Mapping[str, Callable[[Ingredients, int], Phase]] = {
    Reconstruct.name: _reconstruct,
    SelfSupervise.name: _self_supervise,
}
"""Builders of the phases by the names of :class:`sage_ns.training.schedule.PhaseSteps`."""


def build_schedule(steps: Mapping[str, int], given: Ingredients) -> Schedule:
    """Build the schedule of a training.

    Args:
        steps: number of steps of each phase by name, in order.
        given: parts that the phases are built from.

    Raises:
        KeyError: there is no phase of that name.
    """
    return Schedule([PHASES[name](given, length) for name, length in steps.items()])
