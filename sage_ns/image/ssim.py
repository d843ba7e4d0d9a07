"""Structural similarity of two images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def ssim(a: Float[Tensor, "height width channels"], b: Float[Tensor, "height width channels"]) -> Float[Tensor, ""]:
    """Mean structural similarity of two images in [0, 1] (Wang et al. 2004) with 3DGS' conventions.

    Gaussian window of 11 x 11 pixels with sigma 1.5, each channel alone, zero padding, mean over all pixels.
    1 for equal images. Differentiable in both arguments.
    """
    return ssim_torch(a, b)


def gaussian_window(dtype: torch.dtype = torch.float32) -> Float[Tensor, " window"]:
    """The window's one-dimensional weights; they sum to 1."""
    offset = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-0.5 * (offset / SIGMA) ** 2)
    return (weights / weights.sum()).to(dtype)


def ssim_torch(
    a: Float[Tensor, "height width channels"], b: Float[Tensor, "height width channels"]
) -> Float[Tensor, ""]:
    """The definition of `ssim` in plain torch, any floating-point type and device."""
    weights = gaussian_window(a.dtype).to(a.device)

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
