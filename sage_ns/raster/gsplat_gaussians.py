"""3D Gaussians on CUDA: gsplat's 3DGS kernels.

How gsplat 1.4.0 behaves (read from its documentation and source), and how this module adapts:

- Its depth is the weighted mean of the centres' depths. Ours is the weighted harmonic mean, as for discs: inverse depth
  is blended as a fourth colour.
- Its low-pass filter (`eps2d`) adds the same variance to every ellipse as `GAUSSIAN_LOW_PASS`, which is passed.
- `meta["means2d"]` is the node of projected centres in its graph, in pixels; `meta["radii"]` is 0 for Gaussians out of
  view.
- It has no median depth: the buffer holds the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sage_ns.raster.constants import GAUSSIAN_LOW_PASS, NEAR_PLANE
from sage_ns.raster.depth_normal import normal_from_depth
from sage_ns.raster.reference import depth_from_inverse
from sage_ns.raster.types import Buffers, Footprints, PinholeCamera, Surfels


def rasterize_gaussians_gsplat(
    gaussians: Surfels, camera: PinholeCamera, rasterization: Callable[..., tuple[Any, ...]] | None = None
) -> Buffers:
    """Draw float32 3D Gaussians with gsplat, see `rasterize`.

    Args:
        gaussians: on a CUDA device.
        camera: moved to the Gaussians' device if it is on another one.
        rasterization: a stand-in for `gsplat.rasterization`, for tests without a GPU.
    """
    if rasterization is None:
        from gsplat import rasterization
    camera = camera.to(gaussians.means.device, gaussians.means.dtype)
    depths = gaussians.means @ camera.T_camera_world[2, :3] + camera.T_camera_world[2, 3]
    inverse = 1.0 / torch.where(depths > NEAR_PLANE, depths, torch.ones_like(depths))
    blended, alpha, meta = rasterization(
        means=gaussians.means.contiguous(),
        quats=gaussians.quaternions.contiguous(),
        scales=gaussians.scales.contiguous(),
        opacities=gaussians.opacities.contiguous(),
        colors=torch.cat((gaussians.colors, inverse[:, None]), dim=-1),
        viewmats=camera.T_camera_world[None].contiguous(),
        Ks=camera.intrinsics[None].contiguous(),
        width=camera.width,
        height=camera.height,
        near_plane=NEAR_PLANE,
        eps2d=GAUSSIAN_LOW_PASS,
        packed=False,
        render_mode="RGB",
    )
    alpha = alpha[0]
    depth = depth_from_inverse(alpha, blended[0, ..., 3:])
    normal = normal_from_depth(depth, camera)
    in_view = (meta["radii"][0].reshape(len(gaussians), -1) > 0).all(dim=-1)
    footprints = Footprints(meta["means2d"], in_view)
    return Buffers(
        blended[0, ..., :3], alpha, depth, depth.detach(), alpha * normal, normal, torch.zeros_like(alpha), footprints
    )
