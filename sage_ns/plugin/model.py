"""The avatar as a nerfstudio model: pose -> surfels -> image, and the losses by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model
from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape
from torch import Tensor
from torch.nn import Parameter
from torch.utils.hooks import RemovableHandle

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.avatar_file import surfels_of
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.interior import interior_triangles
from sage_ns.avatar.look import Look
from sage_ns.avatar.mouth import Mouth, load_mouth_prior, skin_color
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.prediction import Prediction, SurfelNetworks
from sage_ns.avatar.rebinding import carry_over, rebind_surfels
from sage_ns.avatar.surfels import BoundSurfels, SurfelAttributes
from sage_ns.errors import HeadModelError
from sage_ns.field.pretraining import pretrain
from sage_ns.geometry.mesh_queries import first_triangles
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.image.metrics import ImageMetrics
from sage_ns.motion.source import MotionSource
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.field_view import FieldView, LazyOutputs
from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.cameras import View, pixel_rays
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training import losses
from sage_ns.training.tracking_refinement import refined_motion

_ROOM_AROUND = 0.02
"""Metres between the farthest hair and the border of the field's cube."""


class SageModel(Model):
    """Surfels on a personal rig, drawn for any camera at the moment that the motion source says.

    Keyword arguments from the pipeline: ``metadata`` of the training dataset (head model, FLAME parameters,
    canonical row) and, where an avatar begins, ``views``: a function that returns the pictures of the canonical moment.
    Without it nothing is fitted to anything: a checkpoint is about to be loaded.
    """

    config: SageModelConfig
    canonical: Canonical | None
    networks: SurfelNetworks | None

    def populate_modules(self) -> None:
        """Build the rig, the motion and the surfels."""
        super().populate_modules()
        metadata: Mapping[str, Any] = self.kwargs["metadata"]
        head_model: HeadModel = metadata["head_model"]
        params: FlameParams = metadata["flame_params"]
        motion = MotionSource(params, metadata["timesteps"], metadata["canonical_row"])
        rig = PersonalRig(head_model, params)
        views: Callable[[], Sequence[View]] | None = self.kwargs.get("views")
        pictures = views() if views is not None else []
        surfels = self._first_surfels(rig, motion.canonical(), pictures, fresh=views is not None)
        self.avatar = Avatar(
            rig,
            surfels,
            motion,
            interior_triangles(rig, motion.canonical(), [view.camera for view in pictures]),
            self._mouth(rig.head_model, surfels, with_light=bool(pictures)) if self.config.mouth else None,
            metadata["background"],
            self.config.look(),
        )
        self.canonical, self.networks = self._believe(motion.canonical(), fresh=views is not None)
        # Not modules and not checkpointed: they can be rebuilt.
        self._metrics = ImageMetrics(self.config.lpips_weights)
        self._baked = True
        self._field_view: FieldView | None = None
        self._held: Bool[Tensor, "num_surfels"] | None = None
        self._hooks: list[RemovableHandle] = []

    @property
    def seed(self) -> int:
        """Seed of all that training draws at random."""
        return self.kwargs.get("seed", 0)

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
        """Which FLAME parameters a camera is rendered with."""
        return self.avatar.motion

    @property
    def background(self) -> Float[Tensor, "3"]:
        """Colour that pictures are composited over."""
        return self.avatar.background

    def _first_surfels(
        self, rig: PersonalRig, motion: Float[Tensor, "num_coefficients"], pictures: Sequence[View], fresh: bool
    ) -> BoundSurfels:
        """Where training starts: spread over the rig in the colours of the pictures, or another avatar's surfels."""
        if fresh and self.config.start_from is not None:
            return surfels_of(self.config.start_from, rig.head_model, self.config.sh_degree)
        return initialise_surfels(
            rig.head_model,
            rig.vertices(motion),
            self.config.num_surfels,
            self.config.sh_degree,
            pictures,
            self.config.hair_reach,
            torch.Generator().manual_seed(self.seed),
        )

    def _mouth(self, head_model: HeadModel, surfels: BoundSurfels, with_light: bool) -> Mouth | None:
        """The inside of the mouth, in the light of this person's skin where pictures have shown that."""
        try:
            seen = (0.5 + C0 * surfels.sh_dc[:, 0]).detach()
            skin = skin_color(head_model, surfels.triangle, seen, surfels.opacity_logits.detach().sigmoid())
            return Mouth(head_model, load_mouth_prior(self.config.mouth_prior), skin if with_light else None)
        except HeadModelError as error:
            CONSOLE.print(f"[yellow]No mouth interior: {escape(str(error))}[/yellow]")
            return None

    def _believe(
        self, motion: Float[Tensor, "num_coefficients"], fresh: bool
    ) -> tuple[Canonical | None, SurfelNetworks | None]:
        """Field around the canonical rig and networks over it, starting as rig and surfels where an avatar begins."""
        config = self.config
        if not config.with_sdf:
            return None, None
        vertices = self.rig.vertices(motion)
        low, high = vertices.aminmax(dim=0)
        half_size = float((high - low).max()) / 2 + config.hair_reach + _ROOM_AROUND
        canonical = Canonical(config.sdf, (low + high) / 2, half_size, config.sh_degree, *config.ray_samples)
        if fresh:
            pretrain(canonical.field, vertices, self.rig.head_model.triangles, self.seed)
        if not config.networks:
            return canonical, None
        networks = SurfelNetworks(canonical, self.surfels.num_surfels, config.sh_degree, config.sdf.hidden)
        if fresh:
            generator = torch.Generator().manual_seed(self.seed)
            with cores_for_kernels() if motion.device.type == "cpu" else nullcontext():
                networks.imitate(canonical, self.surfels, self.rig.frames(motion), generator)
        for name in self.surfels.PARAMETERS[1:]:
            getattr(self.surfels, name).requires_grad_(False)
        return canonical, networks

    # ---- drawing -----------------------------------------------------------------------------------------------

    def pinhole(self, camera: Cameras) -> PinholeCamera:
        """nerfstudio's camera (a single one) as the rasteriser takes it."""
        return pinhole_camera(camera).to(self.device)

    def frames(self, motion: Float[Tensor, "num_coefficients"]) -> TriangleFrames:
        """Triangle frames of the rig under ``motion``."""
        return self.avatar.poses.at(motion).frames

    def predict(self) -> Prediction | None:
        """Attributes of all surfels from the networks; None where the surfels have their own. Once per step."""
        if self.canonical is None or self.networks is None:
            return None
        self._baked = False
        prediction = self.networks(self.canonical, self.surfels, self.frames(self.motion.canonical()))
        self._keep_held([*vars(prediction.attributes).values(), prediction.flatness])
        return prediction

    @torch.no_grad()
    def bake(self) -> None:
        """Make the networks' predictions the surfels' own, where training has left them behind.

        Drawing and checkpoints call this: playing back costs no network evaluation, and loses nothing, since the
        networks predict the very attributes that surfels have.
        """
        if not self._baked:
            prediction = self.predict()
            assert prediction is not None
            self.surfels.keep(prediction.attributes)
            self._baked = True

    @torch.no_grad()
    def refine_tracking(self) -> None:
        """Lay the canonical rig onto the field's surface; surfels stay where they are, and ride on it from there."""
        if self.canonical is None or self.config.tracking_prior <= 0:
            return
        head_model, motion = self.rig.head_model, self.motion.canonical().clone()
        before = self.frames(motion)
        refined = refined_motion(self.canonical.field, head_model, motion, self.config.tracking_prior)
        self.motion.refine(refined)
        carry_over(self.surfels, before, self.frames(refined))
        self.forget()

    def forget(self) -> None:
        """Surfels or rig are others: what was derived from them is made anew when asked for."""
        self.avatar.forget()
        self._field_view = None

    def draw_fine(
        self,
        camera: PinholeCamera,
        motion: Float[Tensor, "num_coefficients"],
        attributes: SurfelAttributes | None = None,
        corrected: bool = True,
    ) -> Buffers:
        """Rasterise what training sees of the avatar under ``motion``, supersampled and not yet averaged.

        Args:
            attributes: stand in for the surfels' own.
            corrected: for surfels that have found their places.
        """
        # Not the avatar's own look: someone may be playing with that in the viewer.
        look = replace(self.config.look(), wrinkles=0.0)
        return self.avatar.draw_fine(camera, motion, look if corrected else replace(look, correction=False), attributes)

    def draw(
        self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"], look: Look | None = None
    ) -> Buffers:
        """The avatar, as it is by now, under ``motion`` as ``camera`` sees it; as it looks, or as ``look`` says."""
        self.bake()
        return self.avatar.draw(camera, motion, look)

    def get_outputs(self, ray_bundle: Any) -> dict[str, Tensor | list]:
        """Images by name for one camera: rgb, accumulation, depth, normal, normal_from_depth, distortion.

        Where there is a field, also sdf_rgb, sdf_normal and sdf_depth, made when they are asked for.
        Normals are shown as ``(n + 1) / 2`` in world axes, distortion relative to 1 cm; depth is in metres, and
        as far as the farthest surface where nothing was hit (the viewer composites by depth).
        """
        if not isinstance(ray_bundle, Cameras):
            raise TypeError(f"{type(self).__name__} renders whole cameras, not {type(ray_bundle).__name__}")
        pinhole, motion = self.pinhole(ray_bundle), self.motion.at(ray_bundle)
        # Evaluation during training is not to change with what somebody tries out in the viewer.
        recorded = "motion" in (ray_bundle.metadata or {})
        buffers = self.draw(pinhole, motion, self.config.look() if recorded else None)
        empty = buffers.alpha < 0.5
        far = buffers.depth.amax()

        def shown(normal: Tensor) -> Tensor:
            return (normal + buffers.alpha) / 2 + (1 - buffers.alpha)

        images = {
            "rgb": buffers.composite(self.background).clamp(0.0, 1.0),
            "accumulation": buffers.alpha,
            "depth": torch.where(empty, far, buffers.depth),
            "normal": shown(buffers.normal).clamp(0.0, 1.0),
            "normal_from_depth": shown(buffers.normal_from_depth * buffers.alpha).clamp(0.0, 1.0),
            "distortion": (buffers.distortion / 0.01).clamp(0.0, 1.0),
        }
        if self.canonical is None:
            return cast("dict[str, Tensor | list]", images)
        if self._field_view is None:
            self._field_view = FieldView(self.canonical, self.rig, self.motion.canonical())
        return LazyOutputs(images, self._field_view.outputs(pinhole, motion, self.background))  # type: ignore[return-value]

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> dict[str, Tensor]:
        """Images by name for one camera on any device, without gradients; see :meth:`get_outputs`."""
        camera = camera.to(self.device)
        return cast("dict[str, Tensor]", self.get_outputs(camera))

    def get_rgba_image(self, outputs: dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Colour with the background taken out again, and alpha."""
        alpha = outputs["accumulation"]
        color = (outputs[output_name] - (1 - alpha) * self.background) / alpha.clamp_min(1e-6)
        return torch.cat([color.clamp(0.0, 1.0), alpha], dim=-1)

    # ---- training ----------------------------------------------------------------------------------------------

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """One group for each kind of surfel attribute; where there are networks, theirs instead."""
        own = self.surfels.PARAMETERS[:1] if self.networks is not None else self.surfels.PARAMETERS
        groups = {name: [getattr(self.surfels, name)] for name in own}
        for part in (self.canonical, self.networks):
            groups |= part.get_param_groups() if part is not None else {}
        return groups

    def hold(self, held: Bool[Tensor, "num_surfels"] | None) -> None:
        """Let these surfels, or none, learn nothing from here on; networks learn nothing from them either."""
        for hook in self._hooks:
            hook.remove()
        self._held = held
        self._hooks = self._keep_held(self.surfels.parameters())

    def _keep_held(self, per_surfel: Iterable[Tensor]) -> list[RemovableHandle]:
        """Stop gradients that come back to the held rows of these tensors."""
        if self._held is None:
            return []
        learning = ~self._held

        def kept(gradient: Tensor) -> Tensor:
            return gradient * learning.reshape(-1, *[1] * (gradient.ndim - 1))

        return [each.register_hook(kept) for each in per_surfel if each.requires_grad]

    def photometric_losses(
        self, rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Absolute and squared differences and SSIM, weighted."""
        return self.weighted(
            {
                "l1": lambda: losses.l1(rendered, truth),
                "squared": lambda: losses.squared(rendered, truth),
                "dissimilarity": lambda: losses.dissimilarity(rendered, truth),
            }
        )

    def surface_losses(self, buffers: Buffers) -> dict[str, Float[Tensor, ""]]:
        """Distortion and normal consistency, weighted."""
        return self.weighted(
            {
                "depth_distortion": lambda: losses.depth_distortion(buffers),
                "normal_consistency": lambda: losses.normal_consistency(buffers),
            }
        )

    def weighted(self, terms: Mapping[str, Callable[[], Tensor]]) -> dict[str, Float[Tensor, ""]]:
        """Losses by name, times their weights; those that weigh nothing are not computed."""
        weights = self.config.losses
        return {name: getattr(weights, name) * term() for name, term in terms.items() if getattr(weights, name) > 0}

    def get_loss_dict(
        self, outputs: Any, batch: Any, metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Photometric losses of whole outputs; used by nerfstudio's evaluation during training only."""
        return self.photometric_losses(outputs["rgb"], batch["image"].to(self.device))

    @torch.no_grad()
    def rebind(self) -> Bool[Tensor, "num_surfels"]:
        """Rebind surfels to the nearest triangle at the canonical moment; returns which ones moved."""
        canonical = self.motion.canonical()
        self.forget()
        return rebind_surfels(self.surfels, self.rig.head_model, self.rig.vertices(canonical))

    # ---- evaluation --------------------------------------------------------------------------------------------

    def face_pixels(self, camera: Cameras) -> Bool[Tensor, "h w"] | None:
        """Pixels whose ray first meets a face triangle of the tracked rig; None if the rig has no face region.

        The rig, not the avatar, decides, so that the figures of different avatars are over the same pixels.
        """
        head_model = self.rig.head_model
        regions = head_model.regions
        face = regions.triangle_mask("face", head_model.triangles) | regions.triangle_mask("eyes", head_model.triangles)
        if not bool(face.any()):
            return None
        pinhole = self.pinhole(camera)
        origins, directions = pixel_rays(pinhole)
        vertices = self.rig.vertices(self.motion.at(camera.to(self.device), refined=False))
        hits = first_triangles(vertices, head_model.triangles, origins.reshape(-1, 3), directions.reshape(-1, 3))
        on_face = face.to(hits.device)[hits.clamp_min(0)] & (hits >= 0)
        return on_face.reshape(pinhole.height, pinhole.width).to(self.device)

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR, SSIM, LPIPS (whole and ``_face``) of one image, and truth | render | normals side by side."""
        truth = batch["image"].to(self.device)[..., :3]
        values = self._metrics(outputs["rgb"], truth, batch.get("face"))
        error = (outputs["rgb"] - truth).abs().mean(dim=-1, keepdim=True).expand_as(truth)
        images = {"img": torch.cat([truth, outputs["rgb"], outputs["normal"], error], dim=1)}
        return values, images

    # ---- checkpoints -------------------------------------------------------------------------------------------

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As torch's, with baked surfels: a checkpoint can be drawn without its networks."""
        self.bake()
        return super().state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a checkpoint whatever its number of surfels, timesteps and vertices, with or without a mouth."""
        prefix, mouth = "avatar.mouth.", self.avatar.mouth
        if mouth is None:
            state_dict = {name: value for name, value in state_dict.items() if not name.startswith(prefix)}
        elif not any(name.startswith(prefix) for name in state_dict):
            state_dict = {**state_dict, **mouth.state_dict(prefix=prefix)}
        self.forget()
        return super().load_state_dict(state_dict, strict, assign)
