"""The yardstick of a capture: true pictures, regions and moments, and the figures of any picture against them.

It is built from the capture alone. Every row is therefore measured on the same pixels of the same moments, whether our
avatar or another program made its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.rig_pixels import shown_triangles
from sage_ns.capture.head_direction import seen_at
from sage_ns.capture.record import CaptureRecord
from sage_ns.evaluation.moments import Moment, MomentRuler
from sage_ns.evaluation.regions import FACE, MOUTH, PictureRegions
from sage_ns.image.metrics import ImageMetrics, psnr
from sage_ns.image.structure import gradient_deviation, multi_scale_ssim
from sage_ns.motion.source import MotionSource
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams
from sage_ns.rig.front import face_direction

FEWEST_PIXELS = 10
"""A region with fewer pixels has no figure in a picture: it would be noise."""

FACE_SIDE, FACE_SCALES = 44, 3
"""MS-SSIM of the face always has three scales, so that it is one measure for faces of all sizes: the box around the
face is enlarged to the 44 pixels that three scales need."""


@dataclass(frozen=True, eq=False)
class TruePicture:
    """A held-out picture and what the tracked rig says of it."""

    timestep: int
    camera: int
    pinhole: PinholeCamera
    motion: Float[Tensor, "num_coefficients"]
    """tracked"""
    picture: Float[Tensor, "h w 3"]
    mask: Float[Tensor, "h w 1"] | None
    regions: Mapping[str, Bool[Tensor, "h w"]]
    moment: Moment
    yaw: float
    """degrees that the camera is beside the front of the face, to either side"""


class Yardstick:
    """Measures pictures of one capture.

    Args:
        record: the capture: tracked rig and motion.
        device: device of the pictures.
        lpips_weights: see `ImageMetrics`.
    """

    def __init__(
        self, record: CaptureRecord, device: torch.device | str = "cpu", lpips_weights: Path | None = None
    ) -> None:
        self.rig = PersonalRig(record.head_model, record.flame_params).to(device)
        self.motion = MotionSource(record.flame_params, record.timesteps, record.canonical_row).to(device)
        self._device = torch.device(device)
        self._regions = PictureRegions(self.rig.head_model)
        self._ruler = MomentRuler(self.rig)
        self._metrics = ImageMetrics(lpips_weights)

    @torch.no_grad()
    def true_picture(self, camera: Cameras, batch: Mapping[str, Any]) -> TruePicture:
        """Return a held-out picture with its regions.

        Args:
            camera: a single camera with the metadata that the dataparser gives it.
            batch: ``image`` [h, w, 3] and, where the capture has one, ``mask`` [h, w, 1], both in 0..1.
        """
        metadata = camera.metadata or {}
        pinhole = pinhole_camera(camera).to(self._device)
        motion = self.motion.at(camera.to(self._device), refined=False)
        params = FlameParams.from_motion_vector(motion[None])
        mask = batch["mask"].to(self._device) if "mask" in batch else None
        return TruePicture(
            timestep=int(metadata["timestep"]),
            camera=int(metadata["camera_index"]),
            pinhole=pinhole,
            motion=motion,
            picture=batch["image"].to(self._device)[..., :3],
            mask=mask,
            regions=self._regions.pixels(shown_triangles(self.rig, motion, pinhole), mask),
            moment=self._ruler.measure(motion),
            yaw=abs(float(seen_at(pinhole.center[None], params, self.rig.head_model).yaw)),
        )

    @torch.no_grad()
    def figures(self, rendered: Float[Tensor, "h w 3"], true: TruePicture) -> dict[str, float]:
        """Return the figures of a picture by name: psnr, ssim, lpips, ms_ssim, gmsd, their ``_face``, psnr by region.

        Figures that are not defined (a region out of view, no weights for LPIPS, a tiny picture) are left out.
        """
        face = true.regions.get(FACE)
        values = self._metrics(rendered, true.picture, face)
        boxes = {"": (slice(None), slice(None))} | ({} if face is None else {"_face": box_around(face, FACE_SIDE)})
        for suffix, box in boxes.items():
            pictures = rendered[box], true.picture[box]
            similarity = multi_scale_ssim(*pictures, **({"most_scales": FACE_SCALES} if suffix else {}))
            if similarity is not None:
                values["ms_ssim" + suffix] = similarity
            values["gmsd" + suffix] = gradient_deviation(*pictures)
        for name, pixels in true.regions.items():
            if name != FACE and int(pixels.sum()) >= FEWEST_PIXELS:
                value = psnr(rendered[pixels], true.picture[pixels])
                values[f"psnr_{name}"] = value
                if name == MOUTH and true.moment.mouth_open is not None:
                    values[f"psnr_{name}_{'open' if true.moment.mouth_open else 'closed'}"] = value
        return values

    def face_axis(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Return the centre of the tracked canonical head [metres] and the unit direction in which its face looks."""
        motion = self.motion.canonical()
        return self.rig.vertices(motion).mean(dim=0), face_direction(motion)


def box_around(pixels: Bool[Tensor, "h w"], shortest: int) -> tuple[slice, slice]:
    """Return rows and columns of the smallest box around the pixels, with sides of at least ``shortest`` pixels.

    A box that is too short grows to both sides; at the border of the picture it moves inwards.
    """

    def span(marked: Tensor) -> slice:
        found = marked.nonzero()[:, 0]
        first, last = int(found[0]), int(found[-1]) + 1
        missing = max(0, shortest - (last - first))
        first = max(0, min(first - missing // 2, len(marked) - (last - first) - missing))
        return slice(first, min(len(marked), max(last, first + shortest)))

    return span(pixels.any(dim=1)), span(pixels.any(dim=0))
