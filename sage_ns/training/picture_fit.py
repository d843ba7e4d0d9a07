"""Fitting one training picture: what phase 1 does, and what anchors phase 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sage_ns.avatar.initialise import carries_hair, surfel_reach
from sage_ns.avatar.surfels import SurfelAttributes
from sage_ns.capture.images import recomposite
from sage_ns.capture.shot import Shot
from sage_ns.raster import Buffers
from sage_ns.raster.supersampling import averaged, downsampled
from sage_ns.system.devices import sent
from sage_ns.training import losses
from sage_ns.training.field_supervision import FieldSupervision
from sage_ns.training.learner import Learner
from sage_ns.training.losses import Terms
from sage_ns.training.phase import PhaseStep, ShotSource
from sage_ns.training.shown_mouth import MouthPixels


class PictureFit:
    """Draws the avatar as a training picture shows it, and compares the two (Eq. 12).

    Args:
        learner: the avatar in training.
        shots: where pictures come from.
        seed: of the background colours.
    """

    def __init__(self, learner: Learner, shots: ShotSource, seed: int) -> None:
        self.learner = learner
        self.shots = shots
        self.seed = seed
        self.psnr = torch.tensor(float("nan"))
        """Of the last picture, in dB."""
        self._limits: tuple[Tensor, Tensor] | None = None
        self._mouth: MouthPixels | None = None

    def rebound(self) -> None:
        """To be called when surfels have changed their triangles or the canonical pose has changed."""
        self._limits, self._mouth = None, None

    def step(
        self,
        step: int,
        regularised: bool,
        supervision: FieldSupervision | None = None,
        watch: Callable[[Buffers], None] | None = None,
    ) -> PhaseStep:
        """Losses of the picture of ``step``.

        Args:
            regularised: distortion and normal consistency act.
            supervision: ties the field to picture and surfels; None leaves the field as it is.
            watch: called with what has been drawn, before the backward pass.
        """
        learner = self.learner
        shot = self._counting(self.shots.shot(step))
        prediction = learner.predict()
        attributes, motion = learner.attributes(prediction), learner.motion_of(shot)
        # Surfels that still look for their places are not corrected for how the skin deforms.
        corrected = supervision is None and learner.avatar.is_settled
        buffers = learner.draw_fine(shot.camera, motion, attributes, corrected, shot)
        if watch is not None:
            watch(buffers)
        factor = learner.config.supersampling
        color, alpha = averaged(buffers.color, factor), averaged(buffers.alpha, factor)
        background = self._background(shot, step)
        rendered = color + (1 - alpha) * background
        exposed = self._exposed(color, shot) + (1 - alpha) * background
        truth, mask = self._over(background, shot), shot.mask
        terms = losses.photometric(exposed, _counted(truth, exposed, shot), shot.weight)
        terms |= self._binding_terms(attributes)
        if regularised:
            terms |= losses.surface(buffers)
        if mask is not None:
            terms["silhouette"] = lambda: shot.weight * losses.silhouette(alpha, _counted(mask, alpha, shot))
        if learner.avatar.light is not None:
            terms["room_light"] = learner.avatar.light.penalty
        if learner.frame_poses is not None and shot.row is not None and learner.frame_poses.twist.requires_grad:
            poses, row = learner.frame_poses, shot.row
            terms["frame_pose"] = lambda: poses.penalty(row)
        if learner.exposure is not None and shot.index is not None:
            exposure, index = learner.exposure, shot.index
            terms["exposure"] = lambda: exposure.penalty(index)
        if prediction is not None:
            terms["flatness"] = lambda: losses.flatness(prediction.flatness)
        if supervision is not None:
            frames = learner.frames(learner.motion.canonical())
            terms |= supervision.point_terms(step, learner.surfels, attributes, frames)
            warp = None if shot.is_canonical else learner.field_warp(shot, motion)
            if shot.is_canonical or warp is not None:
                with torch.no_grad():  # what the surfels show is a constant to the field
                    small = downsampled(buffers, factor)
                steady = shot.confidence if shot.is_canonical else self.shots.steady(step)
                light = learner.avatar.light
                terms |= supervision.ray_terms(
                    step, shot.camera, truth, mask, background, small, warp=warp, steady=steady, light=light
                )
        if not shot.is_pseudo:
            self._note_psnr(exposed, truth)
        return PhaseStep(rendered.detach(), terms, self.psnr)

    def _counting(self, shot: Shot) -> Shot:
        """The picture without pixels that look into the mouth, if the settings ask for that."""
        learner, avatar = self.learner, self.learner.avatar
        config = learner.config
        if not (config.mouth_from_pictures and config.mouth_in_training) or avatar.mouth is None:
            return shot
        if self._mouth is None:
            self._mouth = MouthPixels(avatar.mouth, avatar.rig, learner.motion.canonical())
        return self._mouth.left_out(shot)

    @torch.no_grad()
    def _note_psnr(self, exposed: Tensor, truth: Tensor) -> None:
        self.psnr = -10.0 * torch.log10((exposed - truth).square().mean().clamp_min(1e-10))

    def _binding_terms(self, attributes: SurfelAttributes) -> Terms:
        """Hinges that hold surfels to their triangles."""
        learner = self.learner
        if self._limits is None:
            head_model, bound, config = learner.rig.head_model, learner.surfels.triangle, learner.config
            reach = surfel_reach(head_model, learner.frames(learner.motion.canonical()), config.hair_reach)
            hair = carries_hair(head_model)[bound, None]
            self._limits = reach[bound], torch.where(hair, config.hair_scale_limit, config.scale_limit)
        reach, limit = self._limits
        return {
            "position_hinge": lambda: losses.position_hinge(learner.surfels.means, reach),
            "scale_hinge": lambda: losses.scale_hinge(attributes.log_scales, limit),
        }

    def _background(self, shot: Shot, step: int) -> Tensor:
        """The colour to train on at this step: a random one where the mask allows it."""
        fixed = self.learner.background
        if shot.mask is None or not self.learner.config.random_background:
            return fixed
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return sent(torch.rand(3, generator=generator), fixed.device)

    def _exposed(self, color: Tensor, shot: Shot) -> Tensor:
        """The drawn head as bright as the camera took it in this picture; the background colour is not the camera's."""
        exposure = self.learner.exposure
        return color if exposure is None or shot.index is None else color * exposure(shot.index)

    def _over(self, background: Tensor, shot: Shot) -> Tensor:
        """The picture over another background; unchanged where it has no mask."""
        if shot.mask is None:
            return shot.picture
        return recomposite(shot.picture, shot.mask, self.learner.background, background)


def _counted(target: Tensor, drawn: Tensor, shot: Shot) -> Tensor:
    """The target of a loss, and what is drawn where a picture does not count: no gradient comes from there."""
    return target if shot.confidence is None else torch.lerp(drawn.detach(), target, shot.confidence)
