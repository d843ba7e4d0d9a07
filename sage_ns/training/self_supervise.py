"""Phase 2: self-supervision teaches expressions of which there are no pictures (method Sec. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch.optim import Optimizer

from sage_ns.motion.bank import DrivingBank
from sage_ns.raster.supersampling import downsampled
from sage_ns.system.console import console
from sage_ns.system.devices import sent
from sage_ns.training import losses
from sage_ns.training.appearance_consistency import AppearanceConsistency
from sage_ns.training.config import SelfSuperviseConfig
from sage_ns.training.learner import Learner
from sage_ns.training.open_mouth import OpenMouth, clear_mouth
from sage_ns.training.phase import PhaseStep, ShotSource
from sage_ns.training.picture_fit import PictureFit


class SelfSupervise:
    """Phase 2 (Eq. 21): draws poses of a driving bank with training cameras and compares them with the canonical head.

    Every second step fits a real picture instead, which preserves what phase 1 has learned. The field is frozen; hair
    and appearance network are frozen as the settings say.

    Args:
        learner: the avatar in training.
        shots: source of cameras and pictures.
        fit: fits one picture, as in phase 1.
        bank: expressions to teach.
        config: settings of the phase.
        num_steps: length of the phase.
        seed: random seed.
    """

    name: ClassVar[str] = "self_supervise"
    title: ClassVar[str] = "Teaching expressions"

    def __init__(
        self,
        learner: Learner,
        shots: ShotSource,
        fit: PictureFit,
        bank: DrivingBank,
        config: SelfSuperviseConfig,
        num_steps: int,
        seed: int,
    ) -> None:
        self.learner = learner
        self.shots = shots
        self.bank = bank
        self.config = config
        self.num_steps = num_steps
        self.seed = seed
        self.fit = fit
        self.consistency: AppearanceConsistency | None = None
        self.open_mouth: OpenMouth | None = None

    def begin(self) -> None:
        """Freeze the field, and appearance and hair if asked; clear surfels behind closed lips; settle the surfels."""
        learner, avatar = self.learner, self.learner.avatar
        if learner.canonical is not None:
            # Networks read the field's features; what surfels learn must not move its surface.
            learner.canonical.field.requires_grad_(False)
            # What phase 2 aims at is rendered with it.
            learner.canonical.appearance.requires_grad_(not self.config.freezes_appearance)
        if learner.frame_poses is not None:
            learner.frame_poses.requires_grad_(False)
        self.consistency = self._canonical_appearance()
        in_training = learner.config.mouth_in_training
        if avatar.mouth is not None and in_training:
            self.open_mouth = OpenMouth(avatar.mouth, avatar.rig, avatar.motion.canonical())
        if not avatar.is_settled and self.consistency is not None and in_training:
            clear_mouth(avatar, self.consistency.colors)
        avatar.settle()
        if learner.config.correction_source == "controlled" and len(avatar.displacement) == 0:
            avatar.measure_displacement(self.bank.motion.vectors)
        held = avatar.guessed()
        learner.hold(held | avatar.hair() if self.config.hold_hair else held)

    def _canonical_appearance(self) -> AppearanceConsistency | None:
        """Return the comparison with the canonical head; None without a field or without masks."""
        learner = self.learner
        if learner.canonical is None or self.config.appearance_rays == 0:
            return None
        shots = self.shots.registered_views()
        if not shots:
            console().print(
                "[yellow]The canonical pictures have no masks: posed heads are not compared with them.[/yellow]"
            )
            return None
        vertices = learner.rig.vertices(learner.motion.canonical())
        return AppearanceConsistency(
            learner.canonical,
            learner.rig.head_model,
            vertices,
            shots,
            self.config.appearance_rays,
            self.config.appearance_source,
            self.config.appearance_everywhere,
            learner.avatar.light,
        )

    def step(self, step: int) -> PhaseStep:
        """Return the losses of a real picture at odd steps, and of a posed head at even steps."""
        if self.config.anchor > 0 and step % 2:
            fitted = self.fit.step(step, regularised=True)
            return PhaseStep(fitted.rendered, fitted.terms, fitted.psnr, weight=self.config.anchor)
        return self._teach(step)

    def _teach(self, step: int) -> PhaseStep:
        learner = self.learner
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        camera = self.shots.shot(step).camera
        motion = sent(self.bank.draw(generator), learner.device)
        buffers = learner.draw_fine(camera, motion, learner.attributes(learner.predict()))
        terms = losses.surface(buffers)
        finer = learner.config.supersampling
        small = downsampled(buffers, finer)
        pose = learner.avatar.poses.at(motion)
        drawn = sent(torch.rand(3, generator=generator), learner.device)
        background = drawn if learner.config.random_background else learner.background
        rendered = small.composite(background)
        if self.consistency is not None:
            expected = self.consistency(camera, pose.vertices, pose.frames, small, generator)
            if self.open_mouth is not None:
                expected = expected.joined(self.open_mouth(motion, pose.vertices, camera, finer, background))
            shown = rendered.reshape(-1, 3)[expected.pixel]
            terms["appearance"] = lambda: losses.appearance(shown, expected.color, expected.valid)
        return PhaseStep(rendered.detach(), terms, self.fit.psnr)

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Do nothing: this phase rebinds no surfels."""

    def end(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Do nothing: there is nothing to finish."""
