"""Pseudo views rendered from the avatar that training starts from: they count where no picture shows the head."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.shot import Shot
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.cameras import orbit, pixel_rays, project

YAWS = (-155.0, -125.0, -95.0, -70.0, -45.0, -22.0, 22.0, 45.0, 70.0, 95.0, 125.0, 155.0, 180.0)
"""Degrees around the head, from the camera of the first picture."""
WEIGHT = 0.3
"""Weight of a rendered pseudo view: it repeats what the avatar starts from, and holds it."""
_BEHIND = 0.008
"""Metres by which a point may lie behind what the avatar shows to the camera of a picture."""
_SLANTING, _FACING = 0.35, 0.65
"""Cosines between the normal and the direction to the camera of a picture, between which its place is seen in parts."""


@torch.no_grad()
def rendered_views(avatar: Avatar, pictures: Sequence[Shot], weight: float = WEIGHT) -> list[Shot]:
    """Render the avatar at its canonical moment from all around.

    Args:
        avatar: as training starts from it.
        pictures: real pictures of that moment, or views registered to it; at least one. Their size is that of the
            pseudo views.
        weight: of the views in training.
    """
    motion = avatar.motion.canonical()
    center = avatar.poses.at(motion).vertices.mean(dim=0)
    first = pictures[0].camera.to(avatar.device)
    silence = Silence(avatar, pictures)
    views = []
    for yaw in YAWS:
        camera = orbit(first, center, math.radians(yaw))
        buffers = avatar.draw(camera, motion)
        drawn, alpha = buffers.composite(avatar.background).clamp(0.0, 1.0), buffers.alpha.clamp(0.0, 1.0)
        views.append(
            Shot(camera, drawn, alpha, weight=weight, confidence=silence.confidence(camera, buffers), is_pseudo=True)
        )
    return views


class Silence:
    """Where pseudo views are silent: at places that real pictures show.

    Args:
        avatar: at its canonical moment; it tells which place a pixel shows.
        pictures: real pictures of that moment, or views registered to it.
    """

    @torch.no_grad()
    def __init__(self, avatar: Avatar, pictures: Sequence[Shot]) -> None:
        self.avatar = avatar
        self.motion = avatar.motion.canonical()
        self._pictures = [each.to(avatar.device) for each in pictures]
        self._depths = [avatar.draw(each.camera, self.motion).depth_median for each in self._pictures]

    @torch.no_grad()
    def confidence(self, camera: PinholeCamera, buffers: Buffers | None = None) -> Float[Tensor, "h w 1"]:
        """Return 1 at pixels whose place no real picture shows, 0 where one shows it from the front.

        Args:
            camera: of the pseudo view.
            buffers: the avatar as this camera sees it, if the caller has it.
        """
        buffers = self.avatar.draw(camera, self.motion) if buffers is None else buffers
        shown = torch.zeros_like(buffers.alpha)
        for shot, depth in zip(self._pictures, self._depths, strict=True):
            shown = torch.maximum(shown, _shown(camera, buffers, depth, shot))
        return 1.0 - shown


def _shown(
    camera: PinholeCamera, buffers: Buffers, depth: Float[Tensor, "h w 1"], shot: Shot
) -> Float[Tensor, "h w 1"]:
    """Return how well a picture shows what each pixel of a rendering shows: 0 not at all, 1 from the front."""
    origins, directions = (rays.reshape(-1, 3) for rays in pixel_rays(camera))
    points = origins + buffers.depth_median.reshape(-1, 1) * directions
    other = shot.camera
    at = project(points, other)
    normals = F.normalize(buffers.normal.reshape(-1, 3), dim=-1)
    cosine = (normals * F.normalize(other.center - points, dim=-1)).sum(dim=-1)
    facing = ((cosine - _SLANTING) / (_FACING - _SLANTING)).clamp(0.0, 1.0)
    in_front = at.inside & (at.depth < depth[at.row, at.column, 0] + _BEHIND)
    mask = shot.foreground if shot.steady is None else shot.foreground * shot.steady
    seen = facing * in_front * mask.to(depth)[at.row, at.column, 0] * (buffers.alpha.reshape(-1) > 0.5)
    return seen.reshape(buffers.alpha.shape)
