"""Phase 2: the avatar teaches itself expressions, with no pictures of them (method Sec. 5)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sage_ns.motion.bank import DrivingBank
from sage_ns.plugin.datamanager import CaptureDatamanager
from sage_ns.plugin.model import SageModel
from sage_ns.raster.supersampling import downsampled
from sage_ns.system.console import console
from sage_ns.training import losses
from sage_ns.training.appearance_consistency import AppearanceConsistency, AppearanceSource, Expected
from sage_ns.training.open_mouth import clear_mouth, open_mouth
from sage_ns.training.reconstruct import Losses, Reconstruct


class SelfSupervise:
    """Phase 2 (Eq. 21): poses of a driving bank, drawn from training cameras, are held to the canonical head.

    Steps alternate with phase 1's on the real pictures, which anchor what they show. The field is frozen, and so is
    hair: nothing here tells how it should look, and the surface losses alone would press it flat.
    Everything that a step draws at random is a function of seed and step.

    Args:
        model: the avatar.
        datamanager: where cameras and pictures come from.
        reconstruct: phase 1, for the anchor.
        bank: expressions to teach.
        num_rays: pixels per step that are held to the canonical appearance.
        source: where that appearance comes from.
        anchor: weight of the steps on real pictures; 0 = none.
        seed: of the draws.
    """

    title = "Teaching expressions"

    def __init__(
        self,
        model: SageModel,
        datamanager: CaptureDatamanager,
        reconstruct: Reconstruct,
        bank: DrivingBank,
        num_rays: int,
        source: AppearanceSource,
        anchor: float,
        seed: int,
    ) -> None:
        self.model = model
        self.datamanager = datamanager
        self.reconstruct = reconstruct
        self.bank = bank
        self.num_rays = num_rays
        self.source: AppearanceSource = source
        self.anchor = anchor
        self.seed = seed
        self._begun = False
        if model.canonical is not None:
            # Networks over the field ask it for its features; what surfels learn must not move its surface.
            model.canonical.field.requires_grad_(False)

    @property
    def last_psnr(self) -> Tensor:
        """Of the last step on a real picture."""
        return self.reconstruct.last_psnr

    @cached_property
    def consistency(self) -> AppearanceConsistency | None:
        """The canonical head that posed ones are held to; made when phase 2 begins. None without a field."""
        model = self.model
        if model.canonical is None or self.num_rays == 0:
            return None
        views = self.datamanager.canonical_views()
        if not views:
            console().print(
                "[yellow]No masks at the canonical moment: posed heads cannot be held to its pictures.[/yellow]"
            )
            return None
        vertices = model.rig.vertices(model.motion.canonical())
        return AppearanceConsistency(model.canonical, model.rig.head_model, vertices, views, self.num_rays, self.source)

    def losses(self, step: int) -> tuple[dict[str, Any], Losses, dict[str, Tensor]]:
        """Outputs, losses and metrics of one step."""
        avatar = self.model.avatar
        if not avatar.is_settled and self.consistency is not None:
            clear_mouth(avatar, self.consistency.colors)
        avatar.settle()
        if not self._begun:
            self.model.hold(avatar.hair())
            self._begun = True
        if self.anchor > 0 and step % 2:
            outputs, terms, metrics = self.reconstruct.anchor(step)
            return outputs, {name: self.anchor * term for name, term in terms.items()}, metrics
        return self._taught(step)

    def _taught(self, step: int) -> tuple[dict[str, Any], Losses, dict[str, Tensor]]:
        model = self.model
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        camera, _ = self.datamanager.next_train(step)
        pinhole = model.pinhole(camera)
        motion = self.bank.draw(generator).to(model.device)
        prediction = model.predict()
        attributes = model.surfels.attributes if prediction is None else prediction.attributes
        buffers = model.draw_fine(pinhole, motion, attributes)
        terms = model.surface_losses(buffers)
        small = downsampled(buffers, model.config.supersampling)
        pose = model.avatar.poses.at(motion)
        background = torch.rand(3, generator=generator).to(model.device)
        rendered = small.composite(background)
        if self.consistency is not None:
            expected = self.consistency(pinhole, pose.vertices, pose.frames, small, generator)
            if model.avatar.mouth is not None:
                triangles, finer = model.rig.head_model.triangles, model.config.supersampling
                within = open_mouth(model.avatar.mouth, motion, pose.vertices, triangles, pinhole, finer, background)
                expected = Expected(
                    torch.cat([expected.pixel, within.pixel]), torch.cat([expected.color, within.color])
                )
            shown = rendered.reshape(-1, 3)[expected.pixel]
            terms |= model.weighted({"appearance": lambda: losses.appearance(shown, expected.color)})
        return {"rgb": rendered.detach()}, terms, {"psnr": self.last_psnr}

    def after_step(self, step: int) -> Tensor | None:
        """Nothing is rebound in this phase."""
        return None
