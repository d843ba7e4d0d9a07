"""The avatar as a nerfstudio model: pose -> surfels -> image, and the losses by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model, ModelConfig
from torch import Tensor
from torch.nn import Parameter

from sage_ns import losses
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.initialise import carries_hair, initialise_surfels, surfel_reach
from sage_ns.avatar.interior import interior_shade, interior_triangles
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.prediction import Prediction, SurfelNetworks
from sage_ns.avatar.rebinding import rebind_surfels
from sage_ns.avatar.surfels import SurfelAttributes
from sage_ns.capture.cameras import View, pinhole_camera, pixel_rays
from sage_ns.capture.motion import MotionSource
from sage_ns.field.pretraining import pretrain
from sage_ns.field.sdf import FieldConfig
from sage_ns.field_view import FieldView, LazyOutputs
from sage_ns.geometry.ray_casting import first_triangles
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.losses import LossWeights
from sage_ns.metrics import ImageMetrics
from sage_ns.parallel import cores_for_kernels
from sage_ns.raster import Buffers, PinholeCamera, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.rig import FlameParams, HeadModel

_ROOM_AROUND = 0.02
"""Metres between the farthest hair and the border of the field's cube."""


@dataclass
class SageModelConfig(ModelConfig):
    """What is drawn and what it is asked to look like."""

    _target: type = field(default_factory=lambda: SageModel)
    enable_collider: bool = False
    """cameras are rendered whole; there are no rays to clip"""
    num_surfels: int = 0
    """how many surfels; 0 = as the preset says (paper 150,000, small 30,000)"""
    sh_degree: int = 1
    """degree of the view-dependent colour, 0 to 3"""
    random_background: bool = True
    """train on a random background colour per step; needs masks, otherwise the capture's is used"""
    supersampling: int = 2
    """draw at this many times the resolution and average: edges cover pixels in part, as a camera sees them"""
    hair_reach: float = 0.08
    """how far hair may stand off scalp and neck [metres]; 0 = hold all surfels to the rig as GaussianAvatars does"""
    scale_limit: float = 0.6
    """scales above this are pulled back, in triangle scales (GaussianAvatars)"""
    hair_scale_limit: float = 2.0
    """the same where hair may be: a surfel can be as long as a strand of hair is straight"""
    dark_interior: bool = True
    """darken what comes into view through an opening mouth; a stand-in for a mouth that no picture has shown"""
    rebind_every: int = 200
    """steps between rebindings of surfels to the triangle that is nearest by then; 0 = never"""
    rebind_until: float = 0.6
    """fraction of the training after which bindings stay"""
    regularise_from: float = 0.1
    """fraction of the training after which distortion and normal consistency act"""
    with_sdf: bool = True
    """optimise a signed distance field together with the surfels"""
    networks: bool | None = None
    """predict the surfels' attributes by networks over the field; False = each surfel has its own; None = as the preset
    says (paper: predict, small: own)"""
    sdf: FieldConfig = field(default_factory=FieldConfig)
    """the field's grid and network"""
    levels_at_start: float = 6.0
    """levels of the field's grid that are open at first: coarse to fine"""
    levels_open_by: float = 0.4
    """fraction of the training after which all of them are"""
    num_rays: int = 0
    """rays through the field per step; 0 = as the preset says"""
    num_surface_points: int = 0
    """surfels per step that are held to the field's surface; 0 = as the preset says"""
    surfel_share: float = 0.1
    """of the pull between surfels and surface, what acts on the surfels: images place them better than a surface that
    is still to be found, and the surface is to follow"""
    ray_samples: tuple[int, int] = (48, 16)
    """samples per ray: that find the surface, that are rendered"""
    losses: LossWeights = field(default_factory=LossWeights)
    """weight of each loss"""
    lpips_weights: Path | None = None
    """torchvision's AlexNet weights for the LPIPS metric; torch.hub's cache is searched when not given"""


class SageModel(Model):
    """Surfels on a personal rig, drawn for any camera at the moment that the motion source says.

    Keyword arguments from the pipeline: ``metadata`` of the training dataset (head model, FLAME parameters,
    canonical row) and, where an avatar begins, ``views``: a function that returns the pictures of the canonical moment.
    Without it nothing is fitted to anything: a checkpoint is about to be loaded.
    """

    config: SageModelConfig
    background: Tensor
    interior: Tensor
    canonical: Canonical | None
    networks: SurfelNetworks | None

    def populate_modules(self) -> None:
        """Build the rig, the motion and the surfels."""
        super().populate_modules()
        metadata: Mapping[str, Any] = self.kwargs["metadata"]
        head_model: HeadModel = metadata["head_model"]
        params: FlameParams = metadata["flame_params"]
        self.motion = MotionSource(params, metadata["timesteps"], metadata["canonical_row"])
        self.rig = PersonalRig(head_model, params)
        views: Callable[[], Sequence[View]] | None = self.kwargs.get("views")
        canonical = self.motion.canonical()
        pictures = views() if views is not None else []
        cameras = [view.camera for view in pictures]
        self.register_buffer("interior", interior_triangles(self.rig, canonical, cameras))
        self.surfels = initialise_surfels(
            self.rig.head_model,
            self.rig.vertices(canonical),
            self.config.num_surfels,
            self.config.sh_degree,
            pictures,
            self.config.hair_reach,
            torch.Generator().manual_seed(self.seed),
        )
        self.canonical, self.networks = self._believe(canonical, fresh=views is not None)
        self.register_buffer("background", metadata["background"].clone())
        # Not modules and not checkpointed: they can be rebuilt.
        self._frames: OrderedDict[bytes, TriangleFrames] = OrderedDict()
        self._metrics = ImageMetrics(self.config.lpips_weights)
        self._limits: tuple[Tensor, Tensor] | None = None
        self._baked = True
        self._field_view: FieldView | None = None

    @property
    def seed(self) -> int:
        """Seed of all that training draws at random."""
        return self.kwargs.get("seed", 0)

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
        """Triangle frames of the rig under ``motion``; the last ones are kept, since training asks again and again."""
        key = motion.detach().cpu().numpy().tobytes()
        if key in self._frames:
            self._frames.move_to_end(key)
            return self._frames[key]
        with torch.no_grad():
            self._frames[key] = self.rig.frames(motion)
        if len(self._frames) > 64:
            self._frames.popitem(last=False)
        return self._frames[key]

    def predict(self) -> Prediction | None:
        """Attributes of all surfels from the networks; None where the surfels have their own. Once per step."""
        if self.canonical is None or self.networks is None:
            return None
        self._baked = False
        return self.networks(self.canonical, self.surfels, self.frames(self.motion.canonical()))

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

    def draw_fine(
        self,
        camera: PinholeCamera,
        motion: Float[Tensor, "num_coefficients"],
        attributes: SurfelAttributes | None = None,
    ) -> Buffers:
        """Rasterise the avatar under ``motion`` for ``camera``, supersampled and not yet averaged.

        ``attributes`` stand in for the surfels' own.
        """
        frames = self.frames(motion)
        with torch.no_grad():
            shade = interior_shade(self.interior, frames, camera.center) if self.config.dark_interior else None
        surfels = self.surfels.place(frames, camera.center, shade, attributes)
        return rasterize(surfels, enlarged(camera, self.config.supersampling))

    def draw(self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"]) -> Buffers:
        """Rasterise the avatar, as it is by now, under ``motion`` for ``camera``."""
        self.bake()
        return downsampled(self.draw_fine(camera, motion), self.config.supersampling)

    def get_outputs(self, ray_bundle: Any) -> dict[str, Tensor | list]:
        """Images by name for one camera: rgb, accumulation, depth, normal, normal_from_depth, distortion.

        Where there is a field, also sdf_rgb, sdf_normal and sdf_depth, made when they are asked for.
        Normals are shown as ``(n + 1) / 2`` in world axes, distortion relative to 1 cm; depth is in metres, and
        as far as the farthest surface where nothing was hit (the viewer composites by depth).
        """
        if not isinstance(ray_bundle, Cameras):
            raise TypeError(f"{type(self).__name__} renders whole cameras, not {type(ray_bundle).__name__}")
        pinhole, motion = self.pinhole(ray_bundle), self.motion.at(ray_bundle)
        buffers = self.draw(pinhole, motion)
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

    def photometric_losses(
        self, rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]
    ) -> dict[str, Float[Tensor, ""]]:
        """L1 and SSIM, weighted."""
        return self.weighted(
            {
                "l1": lambda: losses.l1(rendered, truth),
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

    def silhouette_losses(
        self, alpha: Float[Tensor, "h w 1"], mask: Float[Tensor, "h w 1"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Coverage against the mask, weighted."""
        return self.weighted({"silhouette": lambda: losses.silhouette(alpha, mask)})

    def binding_losses(self, attributes: SurfelAttributes) -> dict[str, Float[Tensor, ""]]:
        """Hinges that hold surfels to their triangles, weighted."""
        if self._limits is None:
            head_model, bound = self.rig.head_model, self.surfels.triangle
            reach = surfel_reach(head_model, self.frames(self.motion.canonical()), self.config.hair_reach)
            hair = carries_hair(head_model)[bound, None]
            limit = torch.where(hair, self.config.hair_scale_limit, self.config.scale_limit)
            self._limits = reach[bound], limit
        reach, limit = self._limits
        return self.weighted(
            {
                "position_hinge": lambda: losses.position_hinge(self.surfels.means, reach),
                "scale_hinge": lambda: losses.scale_hinge(attributes.log_scales, limit),
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
        self._limits = None
        canonical = self.motion.canonical()
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
        vertices = self.rig.vertices(self.motion.at(camera.to(self.device)))
        hits = first_triangles(vertices, head_model.triangles, origins.reshape(-1, 3), directions.reshape(-1, 3))
        on_face = face.cpu()[hits.clamp_min(0)] & (hits >= 0)
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
        """Load a checkpoint whatever its number of surfels, timesteps and vertices."""
        self._frames.clear()
        self._limits = None
        self._field_view = None
        if "interior" in state_dict:
            self.interior = torch.empty_like(state_dict["interior"], device=self.device)
        return super().load_state_dict(state_dict, strict, assign)
