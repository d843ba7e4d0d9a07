"""Phase 1: surfels and the signed distance field are fitted to the pictures of the training timesteps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sage_ns.avatar.initialise import carries_hair, surfel_reach
from sage_ns.avatar.surfels import SurfelAttributes
from sage_ns.capture.images import recomposite
from sage_ns.plugin.datamanager import CaptureDatamanager
from sage_ns.plugin.model import SageModel
from sage_ns.raster.supersampling import averaged, downsampled
from sage_ns.training import losses
from sage_ns.training.field_supervision import FieldSupervision

Losses = dict[str, Tensor]


class Reconstruct:
    """Phase 1 (Eq. 12): everything is fitted to the pictures of the training timesteps.

    Everything that a step draws at random is a function of seed and step, so that a run that was stopped and
    resumed equals an unbroken one.

    Args:
        model: the avatar.
        datamanager: where pictures come from.
        num_steps: length of the phase.
        seed: seed of the background colours.
    """

    title = "Fitting the pictures"

    def __init__(self, model: SageModel, datamanager: CaptureDatamanager, num_steps: int, seed: int) -> None:
        self.model = model
        self.datamanager = datamanager
        self.num_steps = num_steps
        self.seed = seed
        self.last_psnr = torch.tensor(float("nan"))
        # Many moments average out what the tracker has wrong in each of them.
        self.single_moment = len(datamanager.train_dataset.record.train_timesteps) == 1
        self._limits: tuple[Tensor, Tensor] | None = None
        config = model.config
        self.supervision = (
            FieldSupervision(
                model.canonical,
                model.rig.head_model,
                config.num_rays,
                config.num_surface_points,
                config.surfel_share,
                config.normal_share,
                seed,
            )
            if model.canonical is not None
            else None
        )

    def losses(self, step: int) -> tuple[dict[str, Any], Losses, dict[str, Tensor]]:
        """Outputs, losses and metrics of one step."""
        self._open_levels(step)
        return self._fit(step, self.supervision)

    def anchor(self, step: int) -> tuple[dict[str, Any], Losses, dict[str, Tensor]]:
        """The same on the pictures alone: the field is left as it is."""
        return self._fit(step, None)

    def _fit(self, step: int, supervision: FieldSupervision | None) -> tuple[dict[str, Any], Losses, dict[str, Tensor]]:
        model = self.model
        camera, batch = self.datamanager.next_train(step)
        prediction = model.predict()
        attributes = model.surfels.attributes if prediction is None else prediction.attributes
        pinhole, motion = model.pinhole(camera), model.motion.at(camera)
        # Surfels that still look for their places are not corrected for how those deform.
        corrected = supervision is None and model.avatar.is_settled
        buffers = model.draw_fine(pinhole, motion, attributes, corrected)
        factor = model.config.supersampling
        color, alpha = averaged(buffers.color, factor), averaged(buffers.alpha, factor)
        background = self._background(batch, step)
        rendered = color + (1 - alpha) * background
        truth, mask = self._over(background, batch), batch.get("mask")
        terms = model.photometric_losses(rendered, truth) | self._binding_losses(attributes)
        if step >= model.config.regularise_from * self.num_steps:
            terms |= model.surface_losses(buffers)
        if mask is not None:
            terms |= model.weighted({"silhouette": lambda: losses.silhouette(alpha, mask)})
        if prediction is not None:
            terms |= model.weighted({"flatness": lambda: losses.flatness(prediction.flatness)})
        if supervision is not None:
            frames = model.frames(model.motion.canonical())
            terms |= model.weighted(supervision.point_terms(step, model.surfels, attributes, frames))
            # Rays of other moments would have to be bent back; a single timestep has no others.
            if torch.equal(motion, model.motion.canonical()):
                with torch.no_grad():  # what the surfels show is a constant to the field
                    small = downsampled(buffers, factor)
                terms |= model.weighted(supervision.ray_terms(step, pinhole, truth, mask, background, small))
        with torch.no_grad():
            # Stays a tensor: turning it into a number would make every step wait for the device.
            self.last_psnr = -10.0 * torch.log10((rendered - truth).square().mean().clamp_min(1e-10))
        return {"rgb": rendered.detach()}, terms, {"psnr": self.last_psnr}

    def _binding_losses(self, attributes: SurfelAttributes) -> Losses:
        """Hinges that hold surfels to their triangles, weighted."""
        model = self.model
        if self._limits is None:
            head_model, bound, config = model.rig.head_model, model.surfels.triangle, model.config
            reach = surfel_reach(head_model, model.frames(model.motion.canonical()), config.hair_reach)
            hair = carries_hair(head_model)[bound, None]
            self._limits = reach[bound], torch.where(hair, config.hair_scale_limit, config.scale_limit)
        reach, limit = self._limits
        return model.weighted(
            {
                "position_hinge": lambda: losses.position_hinge(model.surfels.means, reach),
                "scale_hinge": lambda: losses.scale_hinge(attributes.log_scales, limit),
            }
        )

    def _open_levels(self, step: int) -> None:
        """Coarse to fine: the field's grid opens level by level over the first part of the phase."""
        if self.model.canonical is None:
            return
        field, config = self.model.canonical.field, self.model.config
        opened = step / max(config.levels_open_by * self.num_steps, 1)
        first = min(config.levels_at_start, field.config.num_levels)
        field.set_open_levels(min(first + opened * (field.config.num_levels - first), field.config.num_levels))

    def _background(self, batch: dict[str, Tensor], step: int) -> Tensor:
        """The colour to train on at this step: a random one where the mask allows it."""
        fixed = self.model.background
        if "mask" not in batch or not self.model.config.random_background:
            return fixed
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return torch.rand(3, generator=generator).to(fixed.device)

    def _over(self, background: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The picture over another background; as it is where it has no mask."""
        if "mask" not in batch:
            return batch["image"]
        return recomposite(batch["image"], batch["mask"], self.model.background, background)

    def after_step(self, step: int) -> Tensor | None:
        """Rebind surfels when it is time, and refine the tracking at the end of the phase.

        Returns:
            Which surfels moved to another triangle, if any could.
        """
        if step + 1 == self.num_steps and self.single_moment:
            self._limits = None
            self.model.refine_tracking()
        every = self.model.config.rebind_every
        if every <= 0 or (step + 1) % every or step + 1 > self.model.config.rebind_until * self.num_steps:
            return None
        self._limits = None
        return self.model.rebind()
