"""The first surfels of an avatar from few pictures: a source completes the person, a smooth change fits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.motion.source import MotionSource
from sage_ns.priors.sources import open_source
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.config import NOTHING, LearnerConfig
from sage_ns.training.smooth_residual import fit_residual


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
        rig = PersonalRig(record.head_model, record.flame_params)
        motion = MotionSource(record.flame_params, record.timesteps, record.canonical_row)
        interior = interior_triangles(rig, motion.canonical(), [shot.camera for shot in shots])
        avatar = Avatar(rig, person.surfels, motion, interior, None, record.background, config.look())
        with cores_for_kernels():
            fit_residual(avatar, shots, config.residual_steps, seed)
        return avatar.surfels

    return complete
