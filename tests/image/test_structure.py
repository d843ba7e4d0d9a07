"""MS-SSIM and GMSD: equal pictures, noise, closed forms, and pictures too small for all scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.image.structure import SCALE_WEIGHTS, gradient_deviation, multi_scale_ssim, num_scales


def picture(height: int = 60, width: int = 50, seed: int = 0) -> Tensor:
    """Smooth and coloured, with structure at all scales."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return smooth[0].permute(1, 2, 0).clamp(0, 1)


def noisy(true: Tensor, size: float) -> Tensor:
    return (true + size * torch.randn(true.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1)


def test_equal_pictures_are_perfect() -> None:
    true = picture()
    assert multi_scale_ssim(true, true) == pytest.approx(1.0, abs=1e-6)
    assert gradient_deviation(true, true) == pytest.approx(0.0, abs=1e-6)


def test_more_noise_is_worse() -> None:
    true = picture()
    drawn = [noisy(true, size) for size in (0.01, 0.03, 0.1)]
    similarities = [multi_scale_ssim(each, true) or 0.0 for each in drawn]
    deviations = [gradient_deviation(each, true) for each in drawn]
    assert 1.0 > similarities[0] > similarities[1] > similarities[2] > 0.0
    assert 0.0 < deviations[0] < deviations[1] < deviations[2]


def test_one_scale_is_ssim() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    true = picture(16, 20)
    drawn = noisy(true, 0.05)
    plain = structural_similarity_index_measure(
        drawn.permute(2, 0, 1)[None], true.permute(2, 0, 1)[None], data_range=1.0
    )
    assert num_scales(16, 20) == 1
    assert multi_scale_ssim(drawn, true) == pytest.approx(float(torch.as_tensor(plain)), abs=1e-5)


@pytest.mark.parametrize(
    ("shorter", "scales"), [(10, 0), (11, 1), (21, 1), (22, 2), (43, 2), (44, 3), (98, 3), (99, 4), (175, 4), (176, 5)]
)
def test_scales_that_a_size_allows_can_be_computed(shorter: int, scales: int) -> None:
    assert num_scales(shorter, 200) == num_scales(200, shorter) == scales
    true = picture(shorter, 200)
    value = multi_scale_ssim(noisy(true, 0.05), true)
    assert (value is None) if scales == 0 else (value is not None and 0 < value < 1)


def test_fewer_scales_on_request() -> None:
    assert num_scales(400, 400, most=3) == 3
    true = picture()
    assert multi_scale_ssim(noisy(true, 0.05), true, most_scales=1) != multi_scale_ssim(noisy(true, 0.05), true)


def test_the_weights_of_all_scales_are_those_of_the_source() -> None:
    assert sum(SCALE_WEIGHTS) == pytest.approx(1.0, abs=1e-4)


def test_odd_sizes_and_rounding_beyond_the_range_are_accepted() -> None:
    true = picture(25, 31)
    assert gradient_deviation(true + 1e-6, true) == pytest.approx(0.0, abs=1e-4)
    assert gradient_deviation(torch.full((25, 31, 3), 1.0 + 1e-6), torch.full((25, 31, 3), -1e-6)) > 0.0
