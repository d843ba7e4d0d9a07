"""Phase 1: fits surfels and the signed distance field to the pictures of the training timesteps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch.optim import Optimizer

from sage_ns.raster import PinholeCamera
from sage_ns.training.config import NOTHING
from sage_ns.training.deformation_split import DeformationSplit
from sage_ns.training.densification import Densification
from sage_ns.training.field_supervision import FieldSupervision
from sage_ns.training.learner import Learner
from sage_ns.training.phase import PhaseStep, ShotSource
from sage_ns.training.picture_fit import PictureFit

_REFINED_FROM, _REFINED_UNTIL = 0.4, 0.8
"""Shares of the phase between which the tracked head is corrected: the avatar has to be there first."""


class Reconstruct:
    """Phase 1 (Eq. 12): fits everything to the pictures of the training timesteps.

    Args:
        learner: the avatar in training.
        shots: source of the pictures.
        fit: fits one picture.
        num_steps: length of the phase.
        seed: random seed.
        splitting: splits surfels at the end of the phase; None leaves them as they are.
    """

    name: ClassVar[str] = "reconstruct"
    title: ClassVar[str] = "Fitting the pictures"

    def __init__(
        self,
        learner: Learner,
        shots: ShotSource,
        fit: PictureFit,
        num_steps: int,
        seed: int,
        splitting: DeformationSplit | None = None,
    ) -> None:
        self.learner = learner
        self.splitting = splitting
        self.shots = shots
        self.seed = seed
        self.num_steps = num_steps
        self.fit = fit
        # With many moments, their tracking errors average out.
        self.single_moment = shots.num_moments == 1
        config = learner.config
        self.supervision = (
            FieldSupervision.of(config, learner.canonical, learner.rig.head_model, seed, learner.prior)
            if learner.canonical is not None
            else None
        )
        self.densification = (
            Densification(learner, shots.cameras, num_steps, seed) if config.densification.enabled else None
        )

    def begin(self) -> None:
        """Hold what only a completed person tells: it shines through what pictures show, and would take its colours."""
        learner = self.learner
        if learner.config.complete_from == NOTHING:
            return
        if len(learner.avatar.evidence) == 0:  # a resumed training has it in its checkpoint
            learner.measure_evidence(self._real_cameras())
        learner.hold(learner.avatar.guessed())

    def step(self, step: int) -> PhaseStep:
        """Return the losses of the picture of ``step``."""
        self._open_levels(step)
        self._open_degrees(step)
        self._refine_frames(step)
        regularised = step >= self.learner.config.regularise_from * self.num_steps
        watch = None if self.densification is None else self.densification.watch
        return self.fit.step(step, regularised, self.supervision, watch)

    def _open_levels(self, step: int) -> None:
        """Open the levels of the field's grid one by one, from coarse to fine, in the first part of the phase."""
        if self.learner.canonical is None:
            return
        field, config = self.learner.canonical.field, self.learner.config
        opened = step / max(config.levels_open_by * self.num_steps, 1)
        first = min(config.levels_at_start, field.config.num_levels)
        field.set_open_levels(min(first + opened * (field.config.num_levels - first), field.config.num_levels))

    def _open_degrees(self, step: int) -> None:
        """Train one degree of the view-dependent colour after the other, from constant colours on."""
        config = self.learner.config
        every = config.sh_degree_every * self.num_steps
        self.learner.sh_degree = min(int(step / every), config.sh_degree) if every > 0 else config.sh_degree

    def _refine_frames(self, step: int) -> None:
        """Train the corrections of the tracked head in the middle of the phase; later ones would only chase noise."""
        poses = self.learner.frame_poses
        if poses is not None:
            begin, end = _REFINED_FROM * self.num_steps, _REFINED_UNTIL * self.num_steps
            poses.twist.requires_grad_(begin <= step < end)

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Densify, and rebind surfels every `rebind_every` steps."""
        config = self.learner.config
        if self.densification is not None and self.densification.after_step(step, optimizers):
            self.fit.rebound()
        every = config.rebind_every
        if every > 0 and (step + 1) % every == 0 and step + 1 <= config.rebind_until * self.num_steps:
            self.learner.rebind(optimizers)
            self.fit.rebound()

    def end(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Refine the tracking of a single moment on the reconstructed surface; fill in what no picture shows; split
        what expressions stretch, if asked.
        """
        if self.single_moment:
            self.learner.refine_tracking()
            self.fit.rebound()
        config = self.learner.config
        if config.complete_from != NOTHING:  # what no picture shows is complete already
            self.learner.measure_evidence(self._real_cameras())
        elif config.fill_unseen:
            self.learner.fill_unseen(self._real_cameras(), self.seed)
        if self.splitting is not None:
            self.splitting(optimizers)
            self.fit.rebound()

    def _real_cameras(self) -> list[PinholeCamera]:
        """Return cameras of real pictures that show the canonical head."""
        return [view.camera for view in self.shots.registered_views() if not view.is_pseudo]
