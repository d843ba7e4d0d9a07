"""The learner: an avatar in training, with the field under its surface and the networks over the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.evidence import evidence, nearest_seen, part_labels
from sage_ns.avatar.growth.densification import ScreenGradients
from sage_ns.avatar.growth.held import hold_rows
from sage_ns.avatar.growth.ops import SurfelRows
from sage_ns.avatar.growth.rebinding import carry_over, rebind_surfels
from sage_ns.avatar.look import Look
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.prediction import Prediction, SurfelNetworks
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes
from sage_ns.capture.shot import Shot
from sage_ns.field.warp.backward import BackwardWarp
from sage_ns.field.warp.registry import PosedMoment
from sage_ns.geometry.rigid import rigid_inverse
from sage_ns.geometry.spherical_harmonics import NUM_COEFFICIENTS
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.motion.source import MotionSource
from sage_ns.raster import Buffers, PinholeCamera, rasterize
from sage_ns.raster.supersampling import enlarged
from sage_ns.rig import FlameParams
from sage_ns.rig.skull import skull_motions
from sage_ns.system.console import console
from sage_ns.training.config import LearnerConfig
from sage_ns.training.exposure import Exposure
from sage_ns.training.field_warps import FieldWarps
from sage_ns.training.frame_poses import FramePoses, edge_sharpness
from sage_ns.training.losses import Terms
from sage_ns.training.motion_tuning import MotionTuning
from sage_ns.training.prior_shape import PriorShape
from sage_ns.training.tracking_refinement import ERROR_EXPECTED, refined_motion


class Learner(nn.Module):
    """Predicts, draws, freezes, refines and rebinds an avatar's surfels, and weighs the losses of the phases.

    Args:
        config: settings to which a preset has been applied.
        avatar: the avatar to train.
        canonical: field and appearance of the canonical moment; None trains surfels alone.
        networks: predict the surfels' attributes over the field; None = each surfel has its own.
        num_pictures: number of training pictures, each of which may have an exposure of its own.
        prior: points of a prior mesh, whose place and size the field keeps; None without one.
    """

    canonical: Canonical | None
    networks: SurfelNetworks | None
    screen_gradients: ScreenGradients | None
    tuning: MotionTuning | None
    exposure: Exposure | None
    frame_poses: FramePoses | None
    prior: PriorShape | None

    def __init__(
        self,
        config: LearnerConfig,
        avatar: Avatar,
        canonical: Canonical | None,
        networks: SurfelNetworks | None,
        num_pictures: int = 1,
        prior: PriorShape | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.avatar = avatar
        self.canonical = canonical
        self.networks = networks
        self.prior = prior
        self.screen_gradients = ScreenGradients(avatar.surfels.num_surfels) if config.densification.enabled else None
        self.tuning = MotionTuning(avatar.motion.motion) if config.tune_motion else None
        self.frame_poses = FramePoses(len(avatar.motion.motion)) if config.refine_frames else None
        self.exposure = Exposure(num_pictures) if config.exposure else None
        self.revision = 0
        """Number that changes when surfels or rig are replaced: what others have derived from them is then outdated."""
        # Not modules and not in checkpoints: they can be rebuilt.
        self._baked = True
        self._warps = FieldWarps.of(config)
        self.sh_degree = config.sh_degree
        """Degree of the view-dependent colour that is trained; the coefficients of higher degrees stay as they are."""
        self._held: Bool[Tensor, "num_surfels"] | None = None
        self._hooks: list[RemovableHandle] = []

    @property
    def rig(self) -> PersonalRig:
        """The person's rig."""
        return self.avatar.rig

    @property
    def surfels(self) -> BoundSurfels:
        """The parameters per surfel."""
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
        """Device of the tensors."""
        return self.avatar.device

    # ---- predict and draw --------------------------------------------------------------------------------------

    def frames(self, motion: Float[Tensor, "num_coefficients"]) -> TriangleFrames:
        """Return the triangle frames of the rig under ``motion``."""
        return self.avatar.poses.at(motion).frames

    def motion_of(self, shot: Shot) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector to draw a shot with: refined for the canonical moment, tracked for any other.

        With `tune_motion`, it is the one in training, and gradients reach it.
        """
        if self.tuning is not None and shot.row is not None:
            return self.tuning.at(shot.row)
        return self.motion.canonical() if shot.motion is None else self.motion.fit(shot.motion[None])[0]

    def predict(self) -> Prediction | None:
        """Return the networks' attributes of all surfels; None without networks. Call it once per step."""
        if self.canonical is None or self.networks is None:
            return None
        self._baked = False
        prediction = self.networks(self.canonical, self.surfels, self.frames(self.motion.canonical()))
        self._stop_gradients([*vars(prediction.attributes).values(), prediction.flatness])
        return prediction

    def attributes(self, prediction: Prediction | None) -> SurfelAttributes:
        """Return the predicted attributes, or the surfels' own up to `sh_degree` if there is no prediction."""
        if prediction is not None:
            return prediction.attributes
        own = self.surfels.attributes
        if self.sh_degree == self.config.sh_degree:
            return own
        return replace(own, sh_rest=own.sh_rest[:, : NUM_COEFFICIENTS[self.sh_degree] - 1])

    @torch.no_grad()
    def bake(self) -> None:
        """Store the networks' predictions as the surfels' own attributes, if training has changed the networks since;
        store the canonical moment's motion if it is in training.

        Drawing and saving call this. Playback then evaluates no network and is exact, since the networks predict the
        same attributes that surfels have.
        """
        if self.tuning is not None:
            self.motion.refine(self.tuning.at(self.motion.row))
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
        shot: Shot | None = None,
    ) -> Buffers:
        """Rasterise the avatar under ``motion`` for training, supersampled and not yet averaged.

        Args:
            camera: camera at the resolution of the picture.
            motion: motion vector to pose the avatar by.
            attributes: replace the surfels' own.
            corrected: correct the surfels for the deformation of the skin; for surfels with settled places.
            shot: picture to fit, whose moment may have a correction of the tracked head.
        """
        # Without wrinkles: surfels that are fitted to darkened skin would be too bright at rest.
        look = replace(self.avatar.look, wrinkles=0.0)
        if not self.config.mouth_in_training:
            look = replace(look, mouth=False)
        look = look if corrected else replace(look, correction=False)
        poses = self.frame_poses
        if poses is None or shot is None or shot.row is None:
            return self.avatar.draw_fine(camera, motion, look, attributes)
        placed = self.avatar.place(camera.center, motion, look, attributes)
        center = self.avatar.poses.at(motion).vertices.mean(dim=0)
        placed = poses.moved(placed, shot.row, center, edge_sharpness(placed, camera, shot.picture))
        return rasterize(placed, enlarged(camera, look.supersampling), distortion=look.distortion)

    def draw(
        self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"], look: Look | None = None
    ) -> Buffers:
        """Draw the avatar in its current state under ``motion``; ``look`` replaces the avatar's own look."""
        self.bake()
        return self.avatar.draw(camera, motion, look)

    # ---- hold, refine and rebind -------------------------------------------------------------------------------

    def hold(self, held: Bool[Tensor, "num_surfels"] | None) -> None:
        """Freeze these surfels, or none (None), from here on; networks get no gradients from them either."""
        for hook in self._hooks:
            hook.remove()
        self._held = held
        self._hooks = self._stop_gradients(self.surfels.parameters())

    def _stop_gradients(self, per_surfel: Iterable[Tensor]) -> list[RemovableHandle]:
        """Install hooks that set the gradients of the held rows of these tensors to zero."""
        return [] if self._held is None else hold_rows(self._held, per_surfel)

    @torch.no_grad()
    def refine_tracking(self) -> None:
        """Fit the canonical rig to the field's surface if that shows a tracking error; surfels keep their places."""
        choice = self.config.refine_tracking
        if self.canonical is None or choice == "never":
            return
        motion = self.motion.canonical().clone()
        before = self.frames(motion)
        expected = ERROR_EXPECTED if choice == "auto" else 1.0
        refinement = refined_motion(self.canonical.field, self.rig.head_model, motion, expected)
        console().print(f"[dim]{refinement.summary()}[/dim]", soft_wrap=True)
        if refinement.acts:
            self.motion.refine(refinement.motion)
            carry_over(self.surfels, before, self.frames(refinement.motion))
            self.invalidate()

    @torch.no_grad()
    def measure_evidence(self, cameras: Sequence[PinholeCamera]) -> None:
        """Measure which surfels the pictures of these cameras show, at the canonical moment."""
        self.bake()
        if cameras:
            self.avatar.evidence = evidence(self.avatar, cameras)

    @torch.no_grad()
    def fill_unseen(self, cameras: Sequence[PinholeCamera], seed: int) -> None:
        """Measure which surfels the pictures show; give the others the colour and opacity of seen ones of their part.

        The inside of the mouth, which pictures do not show either, has its own surfels.

        Args:
            cameras: that show the head of the canonical moment.
            seed: of the draws among the nearest seen surfels.
        """
        if not cameras:
            return
        self.measure_evidence(cameras)
        avatar, surfels = self.avatar, self.surfels
        model = self.rig.head_model
        around = model.regions.triangle_mask("eyes", model.triangles).to(self.device)
        if avatar.mouth is not None:
            around = around | avatar.mouth.around
        centers = surfels.centers(self.frames(self.motion.canonical()))
        labels, seen = part_labels(model)[surfels.triangle], ~avatar.guessed()
        source = nearest_seen(centers, labels, seen, torch.Generator().manual_seed(seed))
        source = torch.where(around[surfels.triangle], torch.arange(len(source), device=source.device), source)
        own = surfels.attributes
        filled = source != torch.arange(len(source), device=source.device)
        opacities = torch.where(filled, own.opacity_logits[source].clamp_min(0.0), own.opacity_logits)
        rest = torch.where(filled[:, None, None], 0.0, own.sh_rest)
        self._correct(replace(own, sh_dc=own.sh_dc[source], sh_rest=rest, opacity_logits=opacities))

    def _correct(self, attributes: SurfelAttributes) -> None:
        """Make these the surfels' attributes; with networks, by the details that are added to the predicted ones."""
        if self.networks is not None and not self.networks.alone:
            before = self.surfels.attributes
            self.networks.detail_dc.add_(attributes.sh_dc - before.sh_dc)
            self.networks.detail_rest.add_(attributes.sh_rest - before.sh_rest)
            self.networks.detail_opacity.add_(attributes.opacity_logits - before.opacity_logits)
        self.surfels.keep(attributes)

    @torch.no_grad()
    def rebind(self, optimizers: Mapping[str, Optimizer]) -> Bool[Tensor, "num_surfels"]:
        """Bind each surfel to the nearest triangle at the canonical moment.

        Args:
            optimizers: optimisers by name of the parameter. Their state of rebound rows is cleared, since it belongs
                to the frame of another triangle.

        Returns:
            Mask of the surfels whose triangle has changed.
        """
        self.invalidate()
        vertices = self.rig.vertices(self.motion.canonical())
        return rebind_surfels(self.surfels, self.rig.head_model, vertices, optimizers.values())

    def rows(self, optimizers: Mapping[str, Optimizer]) -> SurfelRows:
        """Return everything that has a row per surfel, for the edits of :mod:`sage_ns.avatar.growth.ops`.

        Call it again for each edit: the mask of held surfels may have changed.
        """
        rows = SurfelRows.of_avatar(self.avatar, self.networks, self._held, optimizers.values())
        if self.screen_gradients is None:
            return replace(rows, edited=self.invalidate)
        sums = dict(self.screen_gradients.named_buffers())
        buffers, optional = {**rows.buffers, **sums}, rows.optional | sums.keys()
        return replace(rows, edited=self.invalidate, buffers=buffers, optional=optional)

    def invalidate(self) -> None:
        """Drop everything derived from surfels and rig; it is computed again on demand."""
        self.avatar.invalidate()
        if self._warps is not None:
            self._warps.clear()
        self.revision += 1

    def field_warp(self, shot: Shot, motion: Float[Tensor, "num_coefficients"]) -> BackwardWarp | None:
        """Return the map from a picture's moment back to the canonical one; None if the settings have none.

        Raises:
            FieldError: MonoNPHM's tracking has no frame of this moment.
        """
        if self._warps is None:
            return None
        return self._warps.at(motion, self._moment(shot, motion))

    @torch.no_grad()
    def _moment(self, shot: Shot, motion: Float[Tensor, "num_coefficients"]) -> PosedMoment:
        source = self.motion
        both = FlameParams.from_motion_vector(torch.stack([motion, source.canonical()]))
        there, here = skull_motions(self.rig.head_model, both)
        return PosedMoment(
            self.frames(motion),
            self.frames(source.canonical()),
            there @ rigid_inverse(here),
            None if shot.row is None else self._timesteps[shot.row],
            self._timesteps[source.row],
            here,
        )

    @cached_property
    def _timesteps(self) -> list[int]:
        """Ids of the recorded moments, read from the device once."""
        return self.motion.timesteps.tolist()

    # ---- learn -------------------------------------------------------------------------------------------------

    def weigh(self, terms: Terms, weight: float = 1.0) -> dict[str, Float[Tensor, ""]]:
        """Return losses by name, times ``weight`` and their weights in the config; skip losses with weight 0.

        Args:
            terms: raw losses of a phase.
            weight: factor on all losses.
        """
        weights = {name: weight * getattr(self.config.losses, name) for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name] > 0}

    def param_groups(self) -> dict[str, list[Parameter]]:
        """Return one group for each kind of surfel attribute, or, with networks, the groups of the networks."""
        own = self.surfels.PARAMETERS[:1] if self.networks is not None else self.surfels.PARAMETERS
        groups = {name: [getattr(self.surfels, name)] for name in own}
        if self.avatar.light is not None:
            groups["room_light"] = [self.avatar.light.coefficients]
        if self.exposure is not None:
            groups["exposure"] = [self.exposure.log_gain]
        if self.frame_poses is not None:
            groups["frame_poses"] = [self.frame_poses.twist]
        for part in (self.canonical, self.networks, self.tuning):
            groups |= part.get_param_groups() if part is not None else {}
        return groups

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return torch's state dict with baked surfels: a checkpoint can be drawn without its networks."""
        self.bake()
        return super().state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # A checkpoint may lack the mouth of this avatar, which then stays, or have one that this avatar lacks.
        start, mouth = f"{prefix}avatar.mouth.", self.avatar.mouth
        if mouth is None:
            for name in [name for name in state_dict if name.startswith(start)]:
                del state_dict[name]
        elif not any(name.startswith(start) for name in state_dict):
            state_dict.update(mouth.state_dict(prefix=start))
        self.invalidate()
        super()._load_from_state_dict(state_dict, prefix, *args)
