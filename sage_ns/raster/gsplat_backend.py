"""The rasteriser on CUDA: gsplat's 2D Gaussian kernels, with extra channels for the buffers that it lacks.

How gsplat 1.4.0 behaves (read from its source), and how this module adapts:

- Distortion and median depth are those of the *last* colour channel. In render mode "RGB+D" that is the centre depth,
  appended after ours. But gsplat then pads the channels to 1, 2, 3, 4, 8, 16, ... with uninitialised memory, which
  would be the last channel. Therefore we pass exactly `NUM_CHANNELS` channels, and the kernel gets 8 without padding.
- Its distortion knows one depth per surfel, not that of a hit. The distortion over hits needs the blended square of
  inverse depth, see `hit_distortion`. That is a quadratic function of the pixel, whose six coefficients are blended
  like colours: 15 channels, and the kernel gets 16.
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
from sage_ns.raster.hit_distortion import hit_distortion, spread_of_moments
from sage_ns.raster.projection import project_surfels
from sage_ns.raster.reference import depth_from_inverse
from sage_ns.raster.types import Buffers, Distortion, PinholeCamera, Surfels

NUM_CHANNELS, NUM_SQUARED_CHANNELS = 7, 15


def rasterize_gsplat(
    surfels: Surfels,
    camera: PinholeCamera,
    distortion: Distortion = "centre",
    rasterization: Callable[..., tuple[Any, ...]] | None = None,
) -> Buffers:
    """Draw float32 surfels with gsplat, see `rasterize`.

    Args:
        surfels: on a CUDA device.
        camera: moved to the surfels' device if it is on another one.
        distortion: depths that the buffer of this name compares, see `Buffers`.
        rasterization: a stand-in for `gsplat.rasterization_2dgs`, for tests without a GPU.
    """
    if rasterization is None:
        from gsplat import rasterization_2dgs as rasterization
    camera = camera.to(surfels.means.device, surfels.means.dtype)
    projected = project_surfels(surfels, camera)
    planes = projected.inverse_depth_planes(camera)
    over_hits = distortion == "hit"
    # Inverse depths are taken relative to their mean: squares of small numbers have more correct digits.
    reference = projected.means[:, 2].detach().reciprocal().mean() if over_hits else None
    channels = pack_channels(surfels.colors, planes, reference)
    blended, alpha, normal, _, spread, median, _ = rasterization(
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
    distorted = spread[0]
    if reference is None:
        depth = depth_from_inverse(alpha[0], inverse)
    else:
        depth = depth_from_inverse(alpha[0], inverse + reference * alpha[0])
        squares = unpack_squares(blended[0], camera)
        distorted = hit_distortion(spread_of_moments(alpha[0], inverse, squares), depth)
    return Buffers(color, alpha[0], depth, median[0].detach(), normal[0], normal_from_depth(depth, camera), distorted)


def pack_channels(
    colors: Float[Tensor, "num_surfels 3"],
    planes: Float[Tensor, "num_surfels 3"],
    reference: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "num_surfels num_channels"]:
    """Stack colour, plane (a, b, c) of inverse depth, and one zero to make `NUM_CHANNELS`.

    With a ``reference``, an inverse depth [1/m] that is subtracted from all, the coefficients of the plane's square
    follow: aa, 2ab, bb, 2ac, 2bc, cc, and zeros to make `NUM_SQUARED_CHANNELS`.
    """
    if reference is None:
        return torch.cat((colors, planes, torch.zeros_like(colors[:, :1])), dim=-1)
    a, b = planes[:, 0], planes[:, 1]
    c = planes[:, 2] - reference
    squares = (a * a, 2 * a * b, b * b, 2 * a * c, 2 * b * c, c * c)
    return torch.cat((colors, torch.stack((a, b, c, *squares), dim=-1), torch.zeros_like(colors)), dim=-1)


def unpack_channels(
    blended: Float[Tensor, "height width num_blended"], camera: PinholeCamera
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width 1"]]:
    """Return blended colour, and blended inverse depth in 1/m: the blended plane evaluated at every pixel centre."""
    x, y = _from_principal_point(camera, blended.device)
    slope_x, slope_y, at_principal = blended[..., 3], blended[..., 4], blended[..., 5]
    return blended[..., :3], (slope_x * x + slope_y * y + at_principal)[..., None]


def unpack_squares(blended: Float[Tensor, "height width 16"], camera: PinholeCamera) -> Float[Tensor, "height width 1"]:
    """Return the blended square of inverse depth minus reference [1 / square metres] at every pixel centre."""
    x, y = _from_principal_point(camera, blended.device)
    xx, xy, yy, x_alone, y_alone, rest = blended[..., 6:12].unbind(-1)
    return (xx * x * x + xy * x * y + yy * y * y + x_alone * x + y_alone * y + rest)[..., None]


def _from_principal_point(
    camera: PinholeCamera, device: torch.device
) -> tuple[Float[Tensor, "1 width"], Float[Tensor, "height 1"]]:
    """Return the offsets of all pixel centres from the principal point, in pixels."""
    x = torch.arange(camera.width, device=device) + 0.5 - camera.intrinsics[0, 2]
    y = torch.arange(camera.height, device=device) + 0.5 - camera.intrinsics[1, 2]
    return x[None], y[:, None]
