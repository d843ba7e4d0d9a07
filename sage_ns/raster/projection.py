"""Projection of surfels: frames in camera space, the low-pass disc, and the plane of inverse depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.raster.constants import COSINE_EDGE_ON, COSINE_GRAZING, NEAR_PLANE
from sage_ns.raster.types import PinholeCamera, Surfels


@dataclass(frozen=True)
class ProjectedSurfels:
    """Surfels in camera space (OpenCV axes, metres).

    Attributes:
        means: centres.
        tangents: unit tangents; row k is the direction of scale k.
        normals: unit normals, third axis of the surfel, not turned towards the camera.
        normals_world: the same in world space, turned towards the camera.
        facing: normal . centre, bounded away from zero by COSINE_EDGE_ON.
        center_pixels: projected centres.
        disc_pixels: centre of the low-pass disc: the middle of the box around the projected one-sigma ellipse.
        visible: beyond the near plane, and its one-sigma ellipse does not reach the camera's plane.
    """

    means: Float[Tensor, "num_surfels 3"]
    tangents: Float[Tensor, "num_surfels 2 3"]
    normals: Float[Tensor, "num_surfels 3"]
    normals_world: Float[Tensor, "num_surfels 3"]
    facing: Float[Tensor, " num_surfels"]
    center_pixels: Float[Tensor, "num_surfels 2"]
    disc_pixels: Float[Tensor, "num_surfels 2"]
    visible: Bool[Tensor, " num_surfels"]

    def inverse_depth_planes(self, camera: PinholeCamera) -> Float[Tensor, "num_surfels 3"]:
        """Inverse depth 1/z = a (x - cx) + b (y - cy) + c of the surfel's plane at pixel (x, y): rows (a, b, c), 1/m.

        A point p = z ray on the plane has n . p = n . mean, hence 1/z = (n . ray) / (n . mean), affine in the pixel.
        About the projected centre it reads 1/z = (1 + slope . dpixel) / z_center. The slope of a surfel seen edge-on is
        unbounded, so where the cosine between normal and central ray is under COSINE_GRAZING the slope is multiplied
        by (cosine / COSINE_GRAZING)^2: it falls to 0 instead of jumping from one sign to the other. The depth at the
        centre stays exact.
        """
        focal = torch.stack((camera.intrinsics[0, 0], camera.intrinsics[1, 1]))
        principal = torch.stack((camera.intrinsics[0, 2], camera.intrinsics[1, 2]))
        depth = self.means[:, 2]
        grazing = (self.facing / (COSINE_GRAZING * self.means.norm(dim=-1))).square().clamp(max=1.0)
        slope = (grazing / self.facing)[:, None] * self.normals[:, :2] / focal
        at_principal = 1.0 / depth + (slope * (principal - self.center_pixels)).sum(-1)
        return torch.cat((slope, at_principal[:, None]), dim=-1)


def project_surfels(surfels: Surfels, camera: PinholeCamera) -> ProjectedSurfels:
    """Bring surfels into camera space. Invisible ones are moved to 1 m before it, to keep all values finite."""
    R_camera_world, t_camera_world = camera.T_camera_world[:3, :3], camera.T_camera_world[:3, 3]
    R_world_surfel = quaternion_to_matrix(surfels.quaternions)
    axes = (R_camera_world @ R_world_surfel).transpose(-1, -2)
    means = surfels.means @ R_camera_world.T + t_camera_world
    tangents, normals = axes[:, :2], axes[:, 2]

    # Second moments of the disc in camera space that involve depth: E[x z], E[y z], E[z z] at one sigma.
    spread = torch.einsum("nk,nki,nk->ni", surfels.scales**2, tangents, tangents[..., 2])
    visible = (means[:, 2] > NEAR_PLANE) & (means[:, 2] ** 2 > spread[:, 2])
    means = torch.where(visible[:, None], means, torch.tensor([0.0, 0.0, 1.0]).to(means))
    spread = torch.where(visible[:, None], spread, torch.zeros_like(spread))

    dot = (normals * means).sum(-1)
    toward = torch.where(dot < 0, 1.0, -1.0).to(means.dtype)
    bound = COSINE_EDGE_ON * means.norm(dim=-1)
    facing = torch.where(dot.abs() < bound, -toward * bound.detach(), dot)

    focal = torch.stack((camera.intrinsics[0, 0], camera.intrinsics[1, 1]))
    principal = torch.stack((camera.intrinsics[0, 2], camera.intrinsics[1, 2]))
    depth = means[:, 2:]
    ratio = means[:, :2] / depth
    center_pixels = focal * ratio + principal
    # The box around a projected ellipse is off its projected centre: perspective enlarges the near half.
    offset = -focal * (spread[:, :2] - ratio * spread[:, 2:]) / (depth**2 - spread[:, 2:])
    return ProjectedSurfels(
        means=means,
        tangents=tangents,
        normals=normals,
        normals_world=R_world_surfel[..., 2] * toward[:, None],
        facing=facing,
        center_pixels=center_pixels,
        disc_pixels=center_pixels + offset,
        visible=visible,
    )
