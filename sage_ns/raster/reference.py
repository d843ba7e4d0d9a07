"""The rasteriser in plain torch: every surfel at every pixel. Slow, simple, differentiable, any precision.

This is the definition; tests compare the fast backends with it. Semantics follow gsplat 1.4's `rasterization_2dgs`
(2D Gaussian splatting, Huang et al. 2024) except for depth, which here is that of the ray's hit, see `Buffers`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.raster.constants import ALPHA_MAX, ALPHA_MIN, INVERSE_DEPTH_MIN, TRANSMITTANCE_MIN
from sage_ns.raster.depth_normal import normal_from_depth_torch
from sage_ns.raster.hit_distortion import hit_distortion, spread_of_moments
from sage_ns.raster.projection import ProjectedSurfels, project_surfels
from sage_ns.raster.types import Buffers, Distortion, PinholeCamera, Surfels

PAIRS_PER_CHUNK = 1 << 22
"""Pairs of pixel and surfel that are held in memory at a time."""


def rasterize_reference(surfels: Surfels, camera: PinholeCamera, distortion: Distortion = "centre") -> Buffers:
    """Draw surfels by brute force. Gradients also reach the camera. Memory grows with pixels times surfels."""
    camera = camera.to(surfels.means.device, surfels.means.dtype)
    projected = project_surfels(surfels, camera)
    planes = projected.inverse_depth_planes(camera)
    front_to_back = torch.argsort(projected.means[:, 2].detach(), stable=True)
    front_to_back = front_to_back[projected.visible[front_to_back]]

    chunk = max(1, PAIRS_PER_CHUNK // max(1, len(front_to_back)))
    pixels = pixel_centers(camera).split(chunk)
    parts = [_draw(part, surfels, projected, planes, front_to_back, camera) for part in pixels]
    color, alpha, inverse, median, normal, spread, hit_spread = (
        torch.cat(part).reshape(camera.height, camera.width, -1) for part in zip(*parts, strict=True)
    )
    depth = depth_from_inverse(alpha, inverse)
    normal_of_depth = normal_from_depth_torch(depth, camera)
    distorted = spread if distortion == "centre" else hit_distortion(hit_spread, depth)
    return Buffers(color, alpha, depth, median.detach(), normal, normal_of_depth, distorted)


def depth_from_inverse(
    alpha: Float[Tensor, "height width 1"], inverse: Float[Tensor, "height width 1"]
) -> Float[Tensor, "height width 1"]:
    """Blended depth alpha / sum_i w_i (1 / z_i) in metres, 0 where alpha is 0, at most 1 / INVERSE_DEPTH_MIN."""
    drawn = alpha > 0
    safe = torch.where(drawn, torch.maximum(inverse, INVERSE_DEPTH_MIN * alpha), torch.ones_like(inverse))
    return torch.where(drawn, alpha / safe, torch.zeros_like(alpha))


def _draw(
    pixels: Float[Tensor, "num_pixels 2"],
    surfels: Surfels,
    projected: ProjectedSurfels,
    planes: Float[Tensor, "num_surfels 3"],
    order: Int[Tensor, " num_drawn"],
    camera: PinholeCamera,
) -> tuple[Tensor, ...]:
    """Blend some pixels: colour, alpha, inverse depth, median depth, normal, distortion over centre depths, and spread
    of the hits' inverse depths, each [num_pixels, k]."""
    alphas, before = light_used(_alphas(pixels, surfels, projected, order, camera))
    weights = alphas * before

    depth = projected.means[order, 2]
    principal = torch.stack((camera.intrinsics[0, 2], camera.intrinsics[1, 2]))
    inverse_depth = (pixels - principal) @ planes[order, :2].T + planes[order, 2]
    weighted_depth = weights * depth
    # Surfels are sorted by centre depth, so |z_i - z_j| = z_i - z_j for j in front of i; each pair counts twice.
    weight_before = weights.cumsum(1) - weights
    depth_before = weighted_depth.cumsum(1) - weighted_depth
    distortion = 2.0 * (weighted_depth * weight_before - weights * depth_before).sum(1, keepdim=True)

    alpha = weights.sum(1, keepdim=True)
    inverse = (weights * inverse_depth).sum(1, keepdim=True)
    around = inverse_depth - (inverse / torch.where(alpha > 0, alpha, 1.0)).detach()
    moments = ((weights * around**power).sum(1, keepdim=True) for power in (1, 2))

    counted = (alphas > 0) & (before > 0.5)
    last = (counted * torch.arange(1, len(order) + 1, device=order.device)).amax(1) if len(order) else None
    padded_depth = torch.cat((depth.new_zeros(1), depth))
    median = depth.new_zeros(len(pixels)) if last is None else padded_depth[last]
    return (
        weights @ surfels.colors[order],
        alpha,
        inverse,
        median[:, None],
        weights @ projected.normals_world[order],
        distortion,
        spread_of_moments(alpha, *moments),
    )


def light_used(
    alphas: Float[Tensor, "num_pixels num_drawn"],
) -> tuple[Float[Tensor, "num_pixels num_drawn"], Float[Tensor, "num_pixels num_drawn"]]:
    """Return the opacities up to the end of blending, and the share of light before each surfel; front to back."""
    remaining = torch.cumprod(1.0 - alphas, dim=1)
    alphas = torch.where(remaining > TRANSMITTANCE_MIN, alphas, torch.zeros_like(alphas))
    before = torch.cumprod(torch.cat((torch.ones_like(alphas[:, :1]), 1.0 - alphas), dim=1), dim=1)[:, :-1]
    return alphas, before


def pixel_centers(camera: PinholeCamera) -> Float[Tensor, "num_pixels 2"]:
    """Return the centres (x, y) of all pixels row by row, in pixels, with the device and type of the camera."""
    rows, columns = torch.meshgrid(
        torch.arange(camera.height, device=camera.intrinsics.device),
        torch.arange(camera.width, device=camera.intrinsics.device),
        indexing="ij",
    )
    return torch.stack((columns, rows), -1).reshape(-1, 2).to(camera.intrinsics.dtype) + 0.5


def _alphas(
    pixels: Float[Tensor, "num_pixels 2"],
    surfels: Surfels,
    projected: ProjectedSurfels,
    order: Int[Tensor, " num_drawn"],
    camera: PinholeCamera,
) -> Float[Tensor, "num_pixels num_drawn"]:
    """Opacity of each surfel (front to back) at each pixel, 0 where it is not drawn."""
    intrinsics = camera.intrinsics
    rays = torch.stack(
        (
            (pixels[:, 0] - intrinsics[0, 2]) / intrinsics[0, 0],
            (pixels[:, 1] - intrinsics[1, 2]) / intrinsics[1, 1],
            torch.ones_like(pixels[:, 0]),
        ),
        -1,
    )
    means, tangents, normals = projected.means[order], projected.tangents[order], projected.normals[order]
    # The ray z * ray meets the plane where z = (n . mean) / (n . ray); u and v are the hit's coordinates in sigmas.
    relative = rays @ normals.T / projected.facing[order]
    parallel = (relative * means[:, 2]).abs() < 1e-6
    hit_depth = 1.0 / torch.where(parallel, torch.ones_like(relative), relative)
    squared = torch.zeros_like(hit_depth)
    for axis in range(2):
        along = hit_depth * (rays @ tangents[:, axis].T) - (tangents[:, axis] * means).sum(-1)
        squared = squared + (along / surfels.scales[order, axis]) ** 2
    offset = pixels[:, None] - projected.disc_pixels[order]
    low_pass = camera.low_pass * (offset * offset).sum(-1)
    distance = torch.where(parallel | (low_pass <= squared), low_pass, squared)
    alphas = (surfels.opacities[order] * torch.exp(-0.5 * distance)).clamp(max=ALPHA_MAX)
    return torch.where(alphas < ALPHA_MIN, torch.zeros_like(alphas), alphas)
