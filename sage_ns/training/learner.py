"""The learner: an avatar that is being trained, with the field under its surface and the networks over the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.growth.held import hold_rows
from sage_ns.avatar.growth.ops import SurfelRows
from sage_ns.avatar.growth.rebinding import carry_over, rebind_surfels
from sage_ns.avatar.look import Look
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.prediction import Prediction, SurfelNetworks
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes
from sage_ns.capture.shot import Shot
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.motion.source import MotionSource
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.training.config import LearnerConfig
from sage_ns.training.losses import Terms
from sage_ns.training.tracking_refinement import refined_motion


class Learner(nn.Module):
    """Predicts, draws, holds, refines and rebinds an avatar's surfels, and weighs the losses that phases ask for.

    Args:
        config: settled settings.
        avatar: what is trained.
        canonical: field and appearance of the canonical moment; None trains surfels alone.
        networks: predict the surfels' attributes over the field; None = the surfels have their own.
    """

    canonical: Canonical | None
    networks: SurfelNetworks | None

    def __init__(
        self, config: LearnerConfig, avatar: Avatar, canonical: Canonical | None, networks: SurfelNetworks | None
    ) -> None:
        super().__init__()
        self.config = config
        self.avatar = avatar
        self.canonical = canonical
        self.networks = networks
        self.revision = 0
        """Changes whenever surfels or rig are exchanged: what others derived from them is out of date then."""
        # Neither modules nor checkpointed: they can be rebuilt.
        self._baked = True
        self._held: Bool[Tensor, "num_surfels"] | None = None
        self._hooks: list[RemovableHandle] = []

    @property
    def rig(self) -> PersonalRig:
        """The person's rig."""
        return self.avatar.rig

    @property
    def surfels(self) -> BoundSurfels:
        """What is learned per surfel."""
        return self.avatar.surfels

    @property
    def motion(self) -> MotionSource:
        """The recorded motion and its canonical moment."""
        return self.avatar.motion

    @property
    def background(self) -> Float[Tensor, "3"]:
        """Colour that pictures are composited over."""
        return self.avatar.background

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.avatar.device

    # ---- predict and draw --------------------------------------------------------------------------------------

    def frames(self, motion: Float[Tensor, "num_coefficients"]) -> TriangleFrames:
        """Triangle frames of the rig under ``motion``."""
        return self.avatar.poses.at(motion).frames

    def motion_of(self, shot: Shot) -> Float[Tensor, "num_coefficients"]:
        """The motion vector that a shot is drawn at: the canonical moment's as refined, any other's as tracked."""
        return self.motion.canonical() if shot.motion is None else self.motion.fit(shot.motion[None])[0]

    def predict(self) -> Prediction | None:
        """Attributes of all surfels from the networks; None where the surfels have their own. Call it once per step."""
        if self.canonical is None or self.networks is None:
            return None
        self._baked = False
        prediction = self.networks(self.canonical, self.surfels, self.frames(self.motion.canonical()))
        self._stop_gradients([*vars(prediction.attributes).values(), prediction.flatness])
        return prediction

    def attributes(self, prediction: Prediction | None) -> SurfelAttributes:
        """The predicted attributes, or else the surfels' own."""
        return self.surfels.attributes if prediction is None else prediction.attributes

    @torch.no_grad()
    def bake(self) -> None:
        """Store the networks' predictions as the surfels' own attributes, if training has changed them since.

        Drawing and checkpoints call this. Playing back then costs no network evaluation and loses nothing, since the
        networks predict the very attributes that surfels have.
        """
        if not self._baked:
            prediction = self.predict()
            assert prediction is not None
            self.surfels.keep(prediction.attributes)
            self._baked = True

    def draw_fine(
        self,
        camera: PinholeCamera,
        motion: Float[Tensor, "num_coefficients"],
        attributes: SurfelAttributes | None = None,
        corrected: bool = True,
    ) -> Buffers:
        """Rasterise what training sees of the avatar under ``motion``, supersampled and not yet averaged.

        Args:
            camera: at the resolution of the picture.
            attributes: replace the surfels' own.
            corrected: correct the surfels for how the skin deforms; for surfels that have found their places.
        """
        # Wrinkles only darken what is shown: surfels that were fitted to darkened skin would be too bright at rest.
        look = replace(self.avatar.look, wrinkles=0.0)
        return self.avatar.draw_fine(camera, motion, look if corrected else replace(look, correction=False), attributes)

    def draw(
        self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"], look: Look | None = None
    ) -> Buffers:
        """The avatar as it is by now, under ``motion``, as ``camera`` sees it; ``look`` replaces the avatar's own."""
        self.bake()
        return self.avatar.draw(camera, motion, look)

    # ---- hold, refine and rebind -------------------------------------------------------------------------------

    def hold(self, held: Bool[Tensor, "num_surfels"] | None) -> None:
        """Let these surfels, or none, learn nothing from here on; networks learn nothing from them either."""
        for hook in self._hooks:
            hook.remove()
        self._held = held
        self._hooks = self._stop_gradients(self.surfels.parameters())

    def _stop_gradients(self, per_surfel: Iterable[Tensor]) -> list[RemovableHandle]:
        """Set the gradients of the held rows of these tensors to zero whenever they come."""
        return [] if self._held is None else hold_rows(self._held, per_surfel)

    @torch.no_grad()
    def refine_tracking(self) -> None:
        """Lay the canonical rig onto the field's surface; surfels stay where they are and ride on it from there."""
        if self.canonical is None or self.config.tracking_prior <= 0:
            return
        motion = self.motion.canonical().clone()
        before = self.frames(motion)
        refined = refined_motion(self.canonical.field, self.rig.head_model, motion, self.config.tracking_prior)
        self.motion.refine(refined)
        carry_over(self.surfels, before, self.frames(refined))
        self.invalidate()

    @torch.no_grad()
    def rebind(self, optimizers: Mapping[str, Optimizer]) -> Bool[Tensor, "num_surfels"]:
        """Bind each surfel to the triangle that is nearest at the canonical moment.

        Args:
            optimizers: by name of the parameter; the moments of rebound rows are cleared, since they belong to the
                frame of another triangle.

        Returns:
            Which surfels have changed their triangle.
        """
        self.invalidate()
        vertices = self.rig.vertices(self.motion.canonical())
        return rebind_surfels(self.surfels, self.rig.head_model, vertices, optimizers.values())

    def rows(self, optimizers: Mapping[str, Optimizer]) -> SurfelRows:
        """Everything that has a row per surfel, for the edits of :mod:`sage_ns.avatar.growth.ops`.

        Ask for it anew for each edit: a mask of held surfels may have come or gone.
        """
        rows = SurfelRows.of_avatar(self.avatar, self.networks, self._held, optimizers.values())
        return replace(rows, edited=self.invalidate)

    def invalidate(self) -> None:
        """Surfels or rig have been exchanged: what was derived from them is made again when it is needed."""
        self.avatar.invalidate()
        self.revision += 1

    # ---- learn -------------------------------------------------------------------------------------------------

    def weigh(self, terms: Terms, weight: float = 1.0) -> dict[str, Float[Tensor, ""]]:
        """Losses by name, times their weights in the config and ``weight``; a loss of weight 0 is not computed.

        Args:
            terms: raw losses, as a phase returns them.
            weight: of all of them.
        """
        weights = {name: weight * getattr(self.config.losses, name) for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name] > 0}

    def param_groups(self) -> dict[str, list[Parameter]]:
        """One group for each kind of surfel attribute; where there are networks, theirs instead."""
        own = self.surfels.PARAMETERS[:1] if self.networks is not None else self.surfels.PARAMETERS
        groups = {name: [getattr(self.surfels, name)] for name in own}
        for part in (self.canonical, self.networks):
            groups |= part.get_param_groups() if part is not None else {}
        return groups

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As torch's, with baked surfels: a checkpoint can be drawn without its networks."""
        self.bake()
        return super().state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Checkpoints are read with and without a mouth; the one at hand stays where the checkpoint has none.
        start, mouth = f"{prefix}avatar.mouth.", self.avatar.mouth
        if mouth is None:
            for name in [name for name in state_dict if name.startswith(start)]:
                del state_dict[name]
        elif not any(name.startswith(start) for name in state_dict):
            state_dict.update(mouth.state_dict(prefix=start))
        self.invalidate()
        super()._load_from_state_dict(state_dict, prefix, *args)
