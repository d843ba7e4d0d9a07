"""Phase 2: the avatar teaches itself expressions, with no pictures of them (method Sec. 5)."""

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
    """Phase 2 (Eq. 21): poses of a driving bank, drawn from training cameras, are held to the canonical head.

    Every second step fits a real picture instead, which anchors what the pictures show. The field is frozen, and hair
    is held: nothing in this phase says how hair should look, and the surface losses alone would press it flat.

    Args:
        learner: the avatar in training.
        shots: where cameras and pictures come from.
        fit: fits one of the pictures, as in phase 1.
        bank: expressions to teach.
        config: what is taught, and how strongly.
        num_steps: length of the phase.
        seed: of all that is drawn at random.
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
        """Freeze the field, clear what hides behind closed lips, settle the surfels and hold the hair."""
        learner, avatar = self.learner, self.learner.avatar
        if learner.canonical is not None:
            # Networks over the field ask it for its features; what surfels learn must not move its surface.
            learner.canonical.field.requires_grad_(False)
        self.consistency = self._canonical_appearance()
        if avatar.mouth is not None:
            canonical = avatar.motion.canonical()
            vertices = avatar.poses.at(canonical).vertices
            self.open_mouth = OpenMouth(avatar.mouth, canonical, vertices, avatar.rig.head_model.triangles)
        if not avatar.is_settled and self.consistency is not None:
            clear_mouth(avatar, self.consistency.colors)
        avatar.settle()
        learner.hold(avatar.hair())

    def _canonical_appearance(self) -> AppearanceConsistency | None:
        """The canonical head that posed ones are held to; None without a field or without masks."""
        learner = self.learner
        if learner.canonical is None or self.config.appearance_rays == 0:
            return None
        shots = self.shots.canonical_shots()
        if not shots:
            console().print(
                "[yellow]No masks at the canonical moment: posed heads cannot be held to its pictures.[/yellow]"
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
        )

    def step(self, step: int) -> PhaseStep:
        """Losses of a real picture at odd steps, of a posed head at even ones."""
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
        background = sent(torch.rand(3, generator=generator), learner.device)
        rendered = small.composite(background)
        if self.consistency is not None:
            expected = self.consistency(camera, pose.vertices, pose.frames, small, generator)
            if self.open_mouth is not None:
                expected = expected.joined(self.open_mouth(motion, pose.vertices, camera, finer, background))
            shown = rendered.reshape(-1, 3)[expected.pixel]
            terms["appearance"] = lambda: losses.appearance(shown, expected.color, expected.valid)
        return PhaseStep(rendered.detach(), terms, self.fit.psnr)

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Nothing is rebound in this phase."""

    def end(self) -> None:
        """Nothing to finish."""
