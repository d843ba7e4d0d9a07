"""Geometry of pinhole cameras: rays through pixels, projected points, cameras moved around a point."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.raster.types import PinholeCamera


def _inverse(intrinsics: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    """Inverse of camera intrinsics. ``torch.linalg.inv`` would make the CPU wait for the device to check the result."""
    return torch.linalg.inv_ex(intrinsics).inverse


def pixel_rays(camera: PinholeCamera) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]]:
    """Return origins [metres] and directions (not normalised) of the rays through all pixel centres, in the world."""
    device = camera.intrinsics.device
    rows = torch.arange(camera.height, device=device) + 0.5
    columns = torch.arange(camera.width, device=device) + 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    directions = pixels @ _inverse(camera.intrinsics).T @ camera.T_camera_world[:3, :3]
    return camera.center.expand_as(directions), directions


@dataclass(frozen=True)
class Projected:
    """Points projected into a picture."""

    depth: Float[Tensor, "n"]
    """Along the optical axis, metres."""
    pixels: Float[Tensor, "n 2"]
    """x, y; pixel centres at +0.5."""
    column: Int[Tensor, "n"]
    row: Int[Tensor, "n"]
    """Of the pixel that contains the point; of the nearest pixel if the point is outside the picture."""
    inside: Bool[Tensor, "n"]
    """Whether the point is in front of the camera and falls into the picture."""


def project(points: Float[Tensor, "n 3"], camera: PinholeCamera) -> Projected:
    """Project world points [metres] into the picture of ``camera``."""
    in_camera = points @ camera.T_camera_world[:3, :3].T + camera.T_camera_world[:3, 3]
    depth = in_camera[:, 2]
    pixels = (in_camera @ camera.intrinsics.T)[:, :2] / depth.clamp_min(1e-6)[:, None]
    column, row = pixels.floor().long().unbind(-1)
    inside = (depth > 1e-6) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    return Projected(depth, pixels, column.clamp(0, camera.width - 1), row.clamp(0, camera.height - 1), inside)


def orbit(camera: PinholeCamera, target: Float[Tensor, "3"], angle: float) -> PinholeCamera:
    """Return ``camera`` moved about the world's vertical axis through ``target`` [metres] by ``angle`` [radians]."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.eye(4).to(camera.T_camera_world)
    turn[:3, :3] = turn.new_tensor([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    # Turning the world the other way about the target has the same effect as moving the camera.
    turn[:3, 3] = target - turn[:3, :3] @ target
    return replace(camera, T_camera_world=camera.T_camera_world @ turn)
