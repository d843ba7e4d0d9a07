"""Normals of a depth map: plain torch everywhere, a fused kernel for float32 on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.raster.types import PinholeCamera
from sage_ns.system.parallel import even_bounds, run_chunks, scratch


def normal_from_depth(depth: Float[Tensor, "height width 1"], camera: PinholeCamera) -> Float[Tensor, "height width 3"]:
    """Compute unit normals, in world space and turned towards the camera, of the surface of a depth map.

    Central differences of the back-projected points (as in 2DGS). Zero on the image border and wherever the pixel or
    one of its four neighbours has no depth (depth 0), because such a difference does not lie on the surface.
    """
    fused = depth.device.type == "cpu" and depth.dtype == torch.float32
    if not fused or camera.T_camera_world.requires_grad or camera.intrinsics.requires_grad:
        return normal_from_depth_torch(depth, camera)
    return _FusedNormal.apply(depth, camera_floats(camera))


def camera_floats(camera: PinholeCamera) -> tuple[np.float32, ...]:
    """Return a camera as the numbers for kernels: rotation row by row, translation, fx, fy, cx, cy."""
    pose, k = camera.T_camera_world.detach().cpu(), camera.intrinsics.detach().cpu()
    numbers = [*pose[:3, :3].flatten().tolist(), *pose[:3, 3].tolist()]
    numbers += [k[0, 0].item(), k[1, 1].item(), k[0, 2].item(), k[1, 2].item()]
    return tuple(np.float32(number) for number in numbers)


def normal_from_depth_torch(
    depth: Float[Tensor, "height width 1"], camera: PinholeCamera
) -> Float[Tensor, "height width 3"]:
    """Compute `normal_from_depth` by its definition in plain torch, for any floating-point type and device."""
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


class _FusedNormal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, depth: Tensor, camera: tuple[np.float32, ...]) -> Tensor:
        from sage_ns.raster._numba_depth_normal import depth_to_normal

        plane = depth.detach()[..., 0].contiguous().numpy()
        normal = torch.zeros(*plane.shape, 3)
        run_chunks(depth_to_normal, even_bounds(len(plane), 16), plane, camera, normal.numpy())
        ctx.plane, ctx.camera = plane, camera
        return normal

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        from sage_ns.raster._numba_depth_normal import differences_to_depth, normal_to_differences

        gradient = gradients[0].contiguous().numpy()
        bounds = even_bounds(len(ctx.plane), 16)
        pull = scratch("normal differences", (4, *ctx.plane.shape))
        run_chunks(normal_to_differences, bounds, ctx.plane, ctx.camera, gradient, pull)
        result = torch.empty(ctx.plane.shape)
        run_chunks(differences_to_depth, bounds, pull, result.numpy())
        return result[..., None], None
