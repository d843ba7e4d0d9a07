"""Normals of a depth map: plain torch everywhere, a fused kernel for float32 on the CPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.raster.types import PinholeCamera


def normal_from_depth(depth: Float[Tensor, "height width 1"], camera: PinholeCamera) -> Float[Tensor, "height width 3"]:
    """Unit normals in world space of the surface that a depth map describes, turned towards the camera.

    Central differences of the back-projected points (as in 2DGS). Zero on the image border and wherever the pixel or
    one of its four neighbours has no depth (depth 0), because a difference to nothing is no surface.
    """
    return normal_from_depth_torch(depth, camera)


def normal_from_depth_torch(
    depth: Float[Tensor, "height width 1"], camera: PinholeCamera
) -> Float[Tensor, "height width 3"]:
    """The definition of `normal_from_depth` in plain torch, any floating-point type and device."""
    height, width = depth.shape[:2]
    normal = depth.new_zeros(height, width, 3)
    if height < 3 or width < 3:
        return normal
    intrinsics = camera.intrinsics.to(depth)
    x = (torch.arange(width, device=depth.device) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (torch.arange(height, device=depth.device) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    rays = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width), torch.ones_like(depth[..., 0])), -1)
    points = depth * rays
    along_x = points[1:-1, 2:] - points[1:-1, :-2]
    along_y = points[2:, 1:-1] - points[:-2, 1:-1]
    # y down cross x right points against the viewing direction.
    cross = torch.linalg.cross(along_y, along_x, dim=-1)
    present = depth[..., 0] > 0
    valid = present[1:-1, 1:-1] & present[1:-1, 2:] & present[1:-1, :-2] & present[2:, 1:-1] & present[:-2, 1:-1]
    squared = (cross * cross).sum(-1)
    valid = valid & (squared > 0)
    length = torch.where(valid, squared, torch.ones_like(squared)).sqrt()
    inner = torch.where(valid[..., None], cross / length[..., None], torch.zeros_like(cross))
    return torch.nn.functional.pad(inner @ camera.T_camera_world[:3, :3].to(depth), (0, 0, 1, 1, 1, 1))
