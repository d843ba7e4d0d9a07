"""Figures of structure: multi-scale SSIM and the deviation of gradient magnitudes, for pictures of any size."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first (Wang et al. 2003, section 3.2)."""

WINDOW = 11
"""Side of SSIM's Gaussian window in pixels."""


def num_scales(height: int, width: int, most: int = len(SCALE_WEIGHTS)) -> int:
    """Return how many scales MS-SSIM has at this size in pixels; 0 if the picture is smaller than one window.

    The coarsest picture must hold a window: the shorter side divided by ``max(2^(n-1), (n-1)^2)`` is at least
    `WINDOW`. The second of the two is torchmetrics' condition. Five scales need 176 pixels, four 99, three 44.
    """
    shorter = min(height, width)
    fitting = [n for n in range(1, most + 1) if shorter // max(2 ** (n - 1), (n - 1) ** 2) >= WINDOW]
    return max(fitting, default=0)


def multi_scale_ssim(
    rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], most_scales: int = len(SCALE_WEIGHTS)
) -> float | None:
    """Return MS-SSIM of two pictures with values in 0..1; None if they are smaller than one window.

    Pictures whose shorter side has fewer than 176 pixels have fewer scales, see `num_scales`. The exponents of the
    scales that are left are divided by their sum: MS-SSIM with one scale is SSIM. Figures of different numbers of
    scales are not comparable.

    Args:
        most_scales: use at most this many scales.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    scales = num_scales(*truth.shape[:2], most=most_scales)
    if scales == 0:
        return None
    total = sum(SCALE_WEIGHTS[:scales])
    similarity = multiscale_structural_similarity_index_measure(
        rendered.permute(2, 0, 1)[None],
        truth.permute(2, 0, 1)[None],
        data_range=1.0,
        betas=tuple(weight / total for weight in SCALE_WEIGHTS[:scales]),
    )
    assert isinstance(similarity, Tensor)
    return float(similarity)


def gradient_deviation(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> float:
    """Return the gradient magnitude similarity deviation (GMSD, Xue et al. 2013) of two pictures with values in 0..1.

    0 for equal pictures; larger is worse. It is the standard deviation over the picture of the similarity of
    gradients, on luminance at half the resolution.
    """
    from piq import gmsd

    # Rounding may leave 0..1 by a bit, which piq refuses.
    first, second = (picture.clamp(0.0, 1.0).permute(2, 0, 1)[None] for picture in (rendered, truth))
    return float(torch.as_tensor(gmsd(first, second, data_range=1.0)))
