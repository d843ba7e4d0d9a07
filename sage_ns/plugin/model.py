"""The learner as a nerfstudio model: images by name for any camera, losses, metrics and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model
from torch import Tensor
from torch.nn import Parameter

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.look import Look
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.rig_pixels import face_triangles, pixels_on, shown_triangles
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.image.metrics import ImageMetrics
from sage_ns.motion.source import MotionSource
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.field_view import FieldView, LazyOutputs
from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.priors.completion import completion
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.training import losses
from sage_ns.training.losses import Terms
from sage_ns.training.start import start_learner

RAW_TERMS, TERMS_WEIGHT = "raw_terms", "terms_weight"
"""Names of a phase's raw losses and of the factor on all of them among the outputs of a training step."""


class SageModel(Model):
    """Draws an avatar for nerfstudio's cameras, under the motion of each camera's time.

    Keyword arguments from the pipeline: ``metadata`` of the training dataset (with a ``CaptureRecord``), ``seed``, and
    for a new avatar ``registered_views``: a function that returns pictures of the canonical head. Without that
    function the model is built empty, for loading a checkpoint.
    """

    config: SageModelConfig

    def populate_modules(self) -> None:
        """Build the learner."""
        super().populate_modules()
        record = CaptureRecord.of(self.kwargs["metadata"])
        registered_views: Callable[[], Sequence[Shot]] | None = self.kwargs.get("registered_views")
        seed = self.kwargs.get("seed", 0)
        # An avatar from a checkpoint is complete: its source of completion need not be opened, nor be there any more.
        complete = None if registered_views is None else completion(self.config, seed)
        self.learner = start_learner(self.config, record, registered_views, seed, complete)
        # Not modules and not in checkpoints: they can be rebuilt.
        self._metrics = ImageMetrics(self.config.lpips_weights)
        self._field_view: tuple[int, FieldView] | None = None

    @property
    def avatar(self) -> Avatar:
        """The avatar that the model draws."""
        return self.learner.avatar

    @property
    def canonical(self) -> Canonical | None:
        """Field and appearance of the canonical moment; None without a field."""
        return self.learner.canonical

    @property
    def rig(self) -> PersonalRig:
        """The person's rig."""
        return self.learner.rig

    @property
    def motion(self) -> MotionSource:
        """The recorded motion, which gives each camera its FLAME parameters."""
        return self.learner.motion

    @property
    def background(self) -> Float[Tensor, "3"]:
        """Colour that pictures are composited over."""
        return self.learner.background

    # ---- drawing -----------------------------------------------------------------------------------------------

    def pinhole(self, camera: Cameras) -> PinholeCamera:
        """Convert a single nerfstudio camera to the rasteriser's camera, on the model's device."""
        return pinhole_camera(camera).to(self.device)

    def get_outputs(self, ray_bundle: Any) -> dict[str, Tensor | list]:
        """Return images by name for one camera: rgb, accumulation, depth, normal, normal_from_depth, distortion.

        With a field, also sdf_rgb, sdf_normal and sdf_depth, which are made when they are read. Normals are
        ``(n + 1) / 2`` in world axes; distortion is relative to 1 cm; depth is in metres, and where no surface was
        hit it is the depth of the farthest surface (the viewer composites by depth).
        """
        if not isinstance(ray_bundle, Cameras):
            raise TypeError(f"{type(self).__name__} renders whole cameras, not {type(ray_bundle).__name__}")
        return cast("dict[str, Tensor | list]", self.draw_outputs(ray_bundle, self.motion.at(ray_bundle)))

    @torch.no_grad()
    def draw_outputs(
        self, camera: Cameras, motion: Float[Tensor, "num_coefficients"], look: Look | None = None
    ) -> dict[str, Tensor]:
        """Return images by name under ``motion``, see :meth:`get_outputs`, without gradients.

        Args:
            camera: a single camera, on any device.
            motion: motion vector to pose the avatar by.
            look: replaces the avatar's own look.
        """
        pinhole = self.pinhole(camera)
        buffers = self.learner.draw(pinhole, motion, look)
        images = _shown(buffers, self.background)
        if self.canonical is None:
            return images
        if self._field_view is None or self._field_view[0] != self.learner.revision:
            view = FieldView(self.canonical, self.rig, self.motion.canonical())
            self._field_view = (self.learner.revision, view)
        return LazyOutputs(images, self._field_view[1].outputs(pinhole, motion, self.background))

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> dict[str, Tensor]:
        """Return images by name for one camera on any device, without gradients; see :meth:`get_outputs`."""
        return self.draw_outputs(camera, self.motion.at(camera))

    def get_rgba_image(self, outputs: dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Return RGBA: the colour without the background, and alpha."""
        alpha = outputs["accumulation"]
        color = (outputs[output_name] - (1 - alpha) * self.background) / alpha.clamp_min(1e-6)
        return torch.cat([color.clamp(0.0, 1.0), alpha], dim=-1)

    # ---- training ----------------------------------------------------------------------------------------------

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """Return the learner's parameters by the names of their optimisers."""
        return self.learner.param_groups()

    def get_loss_dict(
        self, outputs: Any, batch: Any, metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return weighted losses by name, from the raw terms of a phase, else from rgb and the picture."""
        terms: Terms | None = outputs.get(RAW_TERMS)
        if terms is None:
            terms = losses.photometric(outputs["rgb"], batch["image"].to(self.device)[..., :3])
        return self.learner.weigh(terms, outputs.get(TERMS_WEIGHT, 1.0))

    # ---- evaluation --------------------------------------------------------------------------------------------

    def face_pixels(self, camera: Cameras) -> Bool[Tensor, "h w"] | None:
        """Return which pixels' rays first hit a face triangle of the tracked rig; None if the rig has no face region.

        The tracked rig gives the same pixels for every avatar of a capture, which makes their figures comparable.
        """
        face = face_triangles(self.rig.head_model)
        if not bool(face.any()):
            return None
        motion = self.motion.at(camera.to(self.device), refined=False)
        return pixels_on(shown_triangles(self.rig, motion, self.pinhole(camera)), face)

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Return PSNR, SSIM and LPIPS of one image and of its face (``_face``), and a picture for the log.

        The picture shows truth, render, normals and error side by side.
        """
        truth = batch["image"].to(self.device)[..., :3]
        values = self._metrics(outputs["rgb"], truth, batch.get("face"))
        error = (outputs["rgb"] - truth).abs().mean(dim=-1, keepdim=True).expand_as(truth)
        images = {"img": torch.cat([truth, outputs["rgb"], outputs["normal"], error], dim=1)}
        return values, images


def _shown(buffers: Buffers, background: Float[Tensor, "3"]) -> dict[str, Tensor]:
    """Convert the rasteriser's buffers to pictures in 0..1 and depth in metres."""
    empty = buffers.alpha < 0.5

    def as_color(normal: Tensor) -> Tensor:
        return ((normal + buffers.alpha) / 2 + (1 - buffers.alpha)).clamp(0.0, 1.0)

    return {
        "rgb": buffers.composite(background).clamp(0.0, 1.0),
        "accumulation": buffers.alpha,
        "depth": torch.where(empty, buffers.depth.amax(), buffers.depth),
        "normal": as_color(buffers.normal),
        "normal_from_depth": as_color(buffers.normal_from_depth * buffers.alpha),
        "distortion": (buffers.distortion / 0.01).clamp(0.0, 1.0),
    }
