"""The first surfels of an avatar that a source completes: all of them from one picture, else where no picture looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.evidence import SEEN, evidence
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.motion.source import MotionSource
from sage_ns.priors.contract import FittedPerson
from sage_ns.priors.sources import open_source
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.config import NOTHING, LearnerConfig, require
from sage_ns.training.smooth_residual import fit_residual

_CONFIDENT = 0.5
"""Confidence of a completed person's surfel, from which on pictures determine its place."""


def completion(config: LearnerConfig, seed: int) -> Callable[[CaptureRecord, Sequence[Shot]], BoundSurfels] | None:
    """Return what makes the first surfels of a new avatar; None if the settings complete nobody.

    Args:
        config: settings to which a preset has been applied.
        seed: of all draws.

    Raises:
        PriorError: the source cannot be used; it is opened before the long work.
    """
    if config.complete_from == NOTHING:
        return None
    source = open_source(config.complete_from, config)

    def complete(record: CaptureRecord, shots: Sequence[Shot]) -> BoundSurfels:
        person = source.fit(record, shots, config.sh_degree, torch.Generator().manual_seed(seed))
        make = _changed_smoothly if len(shots) == 1 else _where_nothing_is_seen
        with cores_for_kernels():
            return make(config, record, shots, person, seed)

    return complete


def _changed_smoothly(
    config: LearnerConfig, record: CaptureRecord, shots: Sequence[Shot], person: FittedPerson, seed: int
) -> BoundSurfels:
    """Return the completed person after a smooth change that fits the picture."""
    avatar = _avatar(config, record, shots, person.surfels)
    fit_residual(avatar, shots, config.residual_steps, seed)
    return avatar.surfels


def _where_nothing_is_seen(
    config: LearnerConfig, record: CaptureRecord, shots: Sequence[Shot], person: FittedPerson, seed: int
) -> BoundSurfels:
    """Return surfels in the colours of the pictures where these look, and those of the completed person elsewhere.

    Many pictures tell more about what they show than a person whom a prior has put together.
    """
    rig, motion = PersonalRig(record.head_model, record.flame_params), _motion(record)
    drawn = initialise_surfels(
        rig.head_model,
        rig.vertices(motion.canonical()),
        require(config.num_surfels, "num_surfels"),
        config.sh_degree,
        shots,
        config.hair_reach,
        torch.Generator().manual_seed(seed),
    )
    shown = evidence(_avatar(config, record, shots, drawn), [shot.camera for shot in shots]) >= SEEN
    return drawn.rows(shown).joined(person.surfels.rows(person.confidence < _CONFIDENT))


def _motion(record: CaptureRecord) -> MotionSource:
    return MotionSource(record.flame_params, record.timesteps, record.canonical_row)


def _avatar(config: LearnerConfig, record: CaptureRecord, shots: Sequence[Shot], surfels: BoundSurfels) -> Avatar:
    rig, motion = PersonalRig(record.head_model, record.flame_params), _motion(record)
    interior = interior_triangles(rig, motion.canonical(), [shot.camera for shot in shots])
    return Avatar(rig, surfels, motion, interior, None, record.background, config.look())
