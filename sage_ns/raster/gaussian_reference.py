"""3D Gaussians in plain torch: every Gaussian at every pixel. The definition that the fast backends are compared with.

Semantics follow 3DGS (Kerbl et al. 2023) as gsplat 1.4's `rasterization` computes it, with this package's limits of
opacity and light. Any precision; differentiable.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.raster.constants import ALPHA_MAX, ALPHA_MIN
from sage_ns.raster.depth_normal import normal_from_depth_torch
from sage_ns.raster.gaussians import ProjectedGaussians, project_gaussians, without_surface
from sage_ns.raster.reference import PAIRS_PER_CHUNK, depth_from_inverse, light_used, pixel_centers
from sage_ns.raster.types import Buffers, PinholeCamera, Surfels


def rasterize_gaussians_reference(gaussians: Surfels, camera: PinholeCamera) -> Buffers:
    """Draw 3D Gaussians by brute force. Gradients also reach the camera. Memory grows with pixels times Gaussians."""
    camera = camera.to(gaussians.means.device, gaussians.means.dtype)
    projected = project_gaussians(gaussians, camera)
    order = torch.argsort(projected.depths.detach(), stable=True)
    order = order[projected.visible[order]]
    parts = [
        _draw(part, gaussians, projected, order)
        for part in pixel_centers(camera).split(max(1, PAIRS_PER_CHUNK // max(1, len(order))))
    ]
    shape = camera.height, camera.width, -1
    color, alpha, inverse, median = (torch.cat(part).reshape(shape) for part in zip(*parts, strict=True))
    depth = depth_from_inverse(alpha, inverse)
    normal = normal_from_depth_torch(depth, camera)
    return without_surface(Buffers(color, alpha, depth, median.detach(), normal, normal, alpha), projected)


def _draw(
    pixels: Float[Tensor, "num_pixels 2"],
    gaussians: Surfels,
    projected: ProjectedGaussians,
    order: Int[Tensor, " num_drawn"],
) -> tuple[Tensor, ...]:
    """Blend some pixels: colour, alpha, inverse depth and median depth, each [num_pixels, k]."""
    xx, xy, yy = projected.covariances[order].unbind(-1)
    x, y = (pixels[:, None] - projected.pixels[order]).unbind(-1)
    squared = (yy * x * x - 2.0 * xy * x * y + xx * y * y) / (xx * yy - xy * xy)
    alphas = (gaussians.opacities[order] * torch.exp(-0.5 * squared)).clamp(max=ALPHA_MAX)
    alphas, before = light_used(torch.where(alphas < ALPHA_MIN, torch.zeros_like(alphas), alphas))
    weights, depths = alphas * before, projected.depths[order]
    number = torch.arange(1, len(order) + 1, device=order.device)
    last = (((alphas > 0) & (before > 0.5)) * number).amax(1) if len(order) else number.new_zeros(len(pixels))
    return (
        weights @ gaussians.colors[order],
        weights.sum(1, keepdim=True),
        (weights / depths).sum(1, keepdim=True),
        torch.cat((depths.new_zeros(1), depths))[last][:, None],
    )
