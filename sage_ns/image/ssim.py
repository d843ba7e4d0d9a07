"""Structural similarity of two images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.system.devices import sent
from sage_ns.system.parallel import even_bounds, run_chunks, scratch

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def ssim(a: Float[Tensor, "height width channels"], b: Float[Tensor, "height width channels"]) -> Float[Tensor, ""]:
    """Compute the mean structural similarity of two images in [0, 1] (Wang et al. 2004) with 3DGS' conventions.

    Gaussian window of 11 x 11 pixels with sigma 1.5, each channel separately, zero padding, mean over all pixels.
    Equal images have similarity 1. Differentiable in both arguments.

    Raises:
        ValueError: the images have different shapes.
    """
    if a.shape != b.shape:
        raise ValueError(f"images of different shapes: {tuple(a.shape)} and {tuple(b.shape)}")
    if a.device.type == "cpu" and a.dtype == b.dtype == torch.float32:
        return _FusedSsim.apply(a, b)
    return ssim_torch(a, b)


def gaussian_window(dtype: torch.dtype = torch.float32) -> Float[Tensor, " window"]:
    """Return the one-dimensional weights of the window; they sum to 1."""
    offset = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-0.5 * (offset / SIGMA) ** 2)
    return (weights / weights.sum()).to(dtype)


def ssim_torch(
    a: Float[Tensor, "height width channels"], b: Float[Tensor, "height width channels"]
) -> Float[Tensor, ""]:
    """Compute `ssim` by its definition in plain torch, for any floating-point type and device."""
    weights = sent(gaussian_window(a.dtype), a.device)

    def blur(image: Tensor) -> Tensor:
        planes = image.permute(2, 0, 1)[:, None]
        planes = torch.nn.functional.conv2d(planes, weights.view(1, 1, -1, 1), padding=(WINDOW // 2, 0))
        return torch.nn.functional.conv2d(planes, weights.view(1, 1, 1, -1), padding=(0, WINDOW // 2))

    mean_a, mean_b = blur(a), blur(b)
    variance_a = blur(a * a) - mean_a * mean_a
    variance_b = blur(b * b) - mean_b * mean_b
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return (luminance * structure).mean()


class _FusedSsim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        from sage_ns.image._numba_ssim import PAD, blur_products, similarity

        height, width, channels = a.shape
        images = [image.detach().contiguous().numpy().reshape(height, -1) for image in (a, b)]
        bounds = even_bounds(height, 16)
        planes = _padded_planes(5, height, width * channels, PAD)
        run_chunks(blur_products, bounds, *images, channels, planes)
        row_sums = np.empty(height)
        partials = np.empty((4, height, width * channels), np.float32)
        run_chunks(similarity, bounds, planes, row_sums, partials)
        ctx.images, ctx.partials, ctx.shape = images, partials, a.shape
        return a.new_tensor(row_sums.sum() / a.numel())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        scale = np.float32(gradients[0].item() / ctx.images[0].size)
        to_a = _gradient(ctx, 0, scale) if ctx.needs_input_grad[0] else None
        to_b = _gradient(ctx, 1, scale) if ctx.needs_input_grad[1] else None
        return to_a, to_b


def _gradient(ctx: Any, argument: int, scale: np.float32) -> Tensor:
    from sage_ns.image._numba_ssim import PAD, blur_partials, gradient

    height, width, channels = ctx.shape
    bounds = even_bounds(height, 16)
    planes = _padded_planes(3, height, width * channels, PAD)
    run_chunks(blur_partials, bounds, ctx.partials, (argument, 2, 3), channels, planes)
    result = torch.empty(ctx.shape)
    image, other = ctx.images[argument], ctx.images[1 - argument]
    run_chunks(gradient, bounds, planes, image, other, scale, result.numpy().reshape(height, -1))
    return result


def _padded_planes(num: int, height: int, length: int, pad: int) -> np.ndarray:
    """Uninitialised planes with `pad` zero rows above and below."""
    planes = scratch("ssim planes", (num, height + 2 * pad, length))
    planes[:, :pad] = 0.0
    planes[:, height + pad :] = 0.0
    return planes
