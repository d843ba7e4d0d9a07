"""The avatar as a nerfstudio model: pose -> surfels -> image, and the losses by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
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
from sage_ns.avatar.initialise import carries_hair, initialise_surfels, surfel_reach
from sage_ns.avatar.interior import interior_shade, interior_triangles
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.rebinding import rebind_surfels
from sage_ns.capture.cameras import View, pinhole_camera, pixel_rays
from sage_ns.capture.motion import MotionSource
from sage_ns.geometry.ray_casting import first_triangles
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.metrics import ImageMetrics
from sage_ns.raster import Buffers, PinholeCamera, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.rig import FlameParams, HeadModel


@dataclass
class LossWeights:
    """Weight of each loss of the first phase (Eq. 12); the names are those in the log."""

    l1: float = 0.8
    """1 - a, with a = 0.2 as in 3DGS"""
    dissimilarity: float = 0.2
    """a; weighs 1 - SSIM"""
    depth_distortion: float = 1.0
    """per metre of w_i w_j |z_i - z_j|: 1 cm of spread weighs like 0.01 of colour. Hair is a volume: at ten times this
    it is pressed flat, which costs a decibel of novel view"""
    normal_consistency: float = 0.05
    """2DGS' weight"""
    silhouette: float = 1.0
    """keeps surfels from growing over the silhouette where the background's colour would not tell"""
    position_hinge: float = 0.01
    """GaussianAvatars' weight"""
    scale_hinge: float = 1.0
    """GaussianAvatars' weight"""


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
    losses: LossWeights = field(default_factory=LossWeights)
    """weight of each loss"""
    lpips_weights: Path | None = None
    """torchvision's AlexNet weights for the LPIPS metric; torch.hub's cache is searched when not given"""


class SageModel(Model):
    """Surfels on a personal rig, drawn for any camera at the moment that the motion source says.

    Keyword arguments from the pipeline: ``metadata`` of the training dataset (head model, FLAME parameters,
    canonical row) and ``views``, a function that returns the pictures of the canonical moment.
    """

    config: SageModelConfig
    background: Tensor
    interior: Tensor

    def populate_modules(self) -> None:
        """Build the rig, the motion and the surfels."""
        super().populate_modules()
        metadata: Mapping[str, Any] = self.kwargs["metadata"]
        head_model: HeadModel = metadata["head_model"]
        params: FlameParams = metadata["flame_params"]
        self.motion = MotionSource(params, metadata["timesteps"], metadata["canonical_row"])
        self.rig = PersonalRig(head_model, params)
        views: Callable[[], Sequence[View]] = self.kwargs.get("views", list)
        canonical = self.motion.canonical()
        pictures = views()
        cameras = [view.camera for view in pictures]
        self.register_buffer("interior", interior_triangles(self.rig, canonical, cameras))
        self.surfels = initialise_surfels(
            self.rig.head_model,
            self.rig.vertices(canonical),
            self.config.num_surfels,
            self.config.sh_degree,
            pictures,
            self.config.hair_reach,
            torch.Generator().manual_seed(self.kwargs.get("seed", 0)),
        )
        self.register_buffer("background", metadata["background"].clone())
        # Not modules and not checkpointed: they can be rebuilt.
        self._frames: OrderedDict[bytes, TriangleFrames] = OrderedDict()
        self._metrics = ImageMetrics(self.config.lpips_weights)
        self._limits: tuple[Tensor, Tensor] | None = None

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

    def draw_fine(self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"]) -> Buffers:
        """Rasterise the avatar under ``motion`` for ``camera``, supersampled and not yet averaged."""
        frames = self.frames(motion)
        with torch.no_grad():
            shade = interior_shade(self.interior, frames, camera.center) if self.config.dark_interior else None
        surfels = self.surfels.place(frames, camera.center, shade)
        return rasterize(surfels, enlarged(camera, self.config.supersampling))

    def draw(self, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"]) -> Buffers:
        """Rasterise the avatar under ``motion`` for ``camera``."""
        return downsampled(self.draw_fine(camera, motion), self.config.supersampling)

    def get_outputs(self, ray_bundle: Any) -> dict[str, Tensor | list]:
        """Images by name for one camera: rgb, accumulation, depth, normal, normal_from_depth, distortion.

        Normals are shown as ``(n + 1) / 2`` in world axes, distortion relative to 1 cm; depth is in metres, and
        as far as the farthest surface where nothing was hit (the viewer composites by depth).
        """
        if not isinstance(ray_bundle, Cameras):
            raise TypeError(f"{type(self).__name__} renders whole cameras, not {type(ray_bundle).__name__}")
        buffers = self.draw(self.pinhole(ray_bundle), self.motion.at(ray_bundle))
        empty = buffers.alpha < 0.5
        far = buffers.depth.amax()

        def shown(normal: Tensor) -> Tensor:
            return (normal + buffers.alpha) / 2 + (1 - buffers.alpha)

        return {
            "rgb": buffers.composite(self.background).clamp(0.0, 1.0),
            "accumulation": buffers.alpha,
            "depth": torch.where(empty, far, buffers.depth),
            "normal": shown(buffers.normal).clamp(0.0, 1.0),
            "normal_from_depth": shown(buffers.normal_from_depth * buffers.alpha).clamp(0.0, 1.0),
            "distortion": (buffers.distortion / 0.01).clamp(0.0, 1.0),
        }

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
        """One group for each kind of surfel attribute."""
        return {name: [getattr(self.surfels, name)] for name in self.surfels.PARAMETERS}

    def photometric_losses(
        self, rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]
    ) -> dict[str, Float[Tensor, ""]]:
        """L1 and SSIM, weighted."""
        return self._weighted(
            {
                "l1": lambda: losses.l1(rendered, truth),
                "dissimilarity": lambda: losses.dissimilarity(rendered, truth),
            }
        )

    def surface_losses(self, buffers: Buffers) -> dict[str, Float[Tensor, ""]]:
        """Distortion and normal consistency, weighted."""
        return self._weighted(
            {
                "depth_distortion": lambda: losses.depth_distortion(buffers),
                "normal_consistency": lambda: losses.normal_consistency(buffers),
            }
        )

    def silhouette_losses(
        self, alpha: Float[Tensor, "h w 1"], mask: Float[Tensor, "h w 1"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Coverage against the mask, weighted."""
        return self._weighted({"silhouette": lambda: losses.silhouette(alpha, mask)})

    def binding_losses(self) -> dict[str, Float[Tensor, ""]]:
        """Hinges that hold surfels to their triangles, weighted."""
        if self._limits is None:
            head_model, bound = self.rig.head_model, self.surfels.triangle
            reach = surfel_reach(head_model, self.frames(self.motion.canonical()), self.config.hair_reach)
            hair = carries_hair(head_model)[bound, None]
            limit = torch.where(hair, self.config.hair_scale_limit, self.config.scale_limit)
            self._limits = reach[bound], limit
        reach, limit = self._limits
        return self._weighted(
            {
                "position_hinge": lambda: losses.position_hinge(self.surfels.means, reach),
                "scale_hinge": lambda: losses.scale_hinge(self.surfels.log_scales, limit),
            }
        )

    def _weighted(self, terms: dict[str, Callable[[], Tensor]]) -> dict[str, Tensor]:
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

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a checkpoint whatever its number of surfels, timesteps and vertices."""
        self._frames.clear()
        self._limits = None
        if "interior" in state_dict:
            self.interior = torch.empty_like(state_dict["interior"], device=self.device)
        return super().load_state_dict(state_dict, strict, assign)
