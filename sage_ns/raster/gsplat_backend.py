"""The rasteriser on CUDA: gsplat's 2D Gaussian kernels, with extra channels for the buffers that it lacks.

How gsplat 1.4.0 behaves (read from its source), and how this module adapts:

- Distortion and median depth are those of the *last* colour channel. In render mode "RGB+D" that is the centre depth,
  appended after ours. But gsplat then pads the channels to 1, 2, 3, 4, 8, 16, ... with uninitialised memory, which
  would be the last channel. Therefore we pass exactly `NUM_CHANNELS` channels, and the kernel gets 8 without padding.
- Its depth is that of the surfels' centres. Ours is that of the ray's hits: the plane of inverse depth of each surfel
  (three numbers, see `ProjectedSurfels.inverse_depth_planes`) is blended like a colour and evaluated at the pixel.
- Its normals come in world space, turned towards the camera, unit length times alpha: as ours.
- Its low-pass disc is fixed (`constants.LOW_PASS`): `PinholeCamera.low_pass` is ignored.
- It draws surfels whose one-sigma ellipse reaches the camera's plane; this module makes them transparent.
- It gives each surfel a square of 3 sigma (ours: exactly where it is visible), so that faint rims are cut at the
  borders of 16-pixel tiles, and so are the low-pass discs of surfels smaller than a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.raster.constants import NEAR_PLANE
from sage_ns.raster.depth_normal import normal_from_depth
from sage_ns.raster.projection import project_surfels
from sage_ns.raster.reference import depth_from_inverse
from sage_ns.raster.types import Buffers, PinholeCamera, Surfels

NUM_CHANNELS = 7


def rasterize_gsplat(
    surfels: Surfels, camera: PinholeCamera, rasterization: Callable[..., tuple[Any, ...]] | None = None
) -> Buffers:
    """Draw float32 surfels with gsplat, see `rasterize`.

    Args:
        surfels: on a CUDA device.
        camera: moved to the surfels' device if it is on another one.
        rasterization: a stand-in for `gsplat.rasterization_2dgs`, for tests without a GPU.
    """
    if rasterization is None:
        from gsplat import rasterization_2dgs as rasterization
    camera = camera.to(surfels.means.device, surfels.means.dtype)
    projected = project_surfels(surfels, camera)
    channels = pack_channels(surfels.colors, projected.inverse_depth_planes(camera))
    blended, alpha, normal, _, distortion, median, _ = rasterization(
        means=surfels.means.contiguous(),
        quats=surfels.quaternions.contiguous(),
        # The third scale multiplies the normal, which must keep its length.
        scales=torch.cat((surfels.scales, torch.ones_like(surfels.scales[:, :1])), dim=-1),
        opacities=torch.where(projected.visible, surfels.opacities, torch.zeros_like(surfels.opacities)),
        colors=channels,
        viewmats=camera.T_camera_world[None].contiguous(),
        Ks=camera.intrinsics[None].contiguous(),
        width=camera.width,
        height=camera.height,
        near_plane=NEAR_PLANE,
        packed=False,
        render_mode="RGB+D",
        distloss=True,
    )
    color, inverse = unpack_channels(blended[0], camera)
    depth = depth_from_inverse(alpha[0], inverse)
    return Buffers(
        color, alpha[0], depth, median[0].detach(), normal[0], normal_from_depth(depth, camera), distortion[0]
    )


def pack_channels(
    colors: Float[Tensor, "num_surfels 3"], planes: Float[Tensor, "num_surfels 3"]
) -> Float[Tensor, "num_surfels 7"]:
    """Stack colour, plane of inverse depth, and one zero to make `NUM_CHANNELS`."""
    return torch.cat((colors, planes, torch.zeros_like(colors[:, :1])), dim=-1)


def unpack_channels(
    blended: Float[Tensor, "height width 8"], camera: PinholeCamera
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width 1"]]:
    """Return blended colour, and blended inverse depth in 1/m: the blended plane evaluated at every pixel centre."""
    x = torch.arange(camera.width, device=blended.device) + 0.5 - camera.intrinsics[0, 2]
    y = torch.arange(camera.height, device=blended.device) + 0.5 - camera.intrinsics[1, 2]
    slope_x, slope_y, at_principal = blended[..., 3], blended[..., 4], blended[..., 5]
    return blended[..., :3], (slope_x * x + slope_y * y[:, None] + at_principal)[..., None]
