"""Sharpness: closed forms of the Laplacian's variance, and what a mask leaves out."""

from __future__ import annotations

import pytest
import torch

from sage_ns.image.sharpness import LUMA, sharpness


def grey(values: torch.Tensor) -> torch.Tensor:
    return values[..., None].expand(-1, -1, 3)


def everywhere(image: torch.Tensor) -> torch.Tensor:
    return torch.ones(image.shape[:2], dtype=torch.bool)


def test_a_plane_and_a_paraboloid_have_none():
    """The Laplacian of a linear function is 0, that of a quadratic one is constant: neither varies."""
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(7.0), indexing="ij")
    for values in (0.1 * x - 0.05 * y, 0.01 * (x.square() + 2 * y.square())):
        image = grey(values.double())
        assert float(sharpness(image, everywhere(image))) == pytest.approx(0.0, abs=1e-12)


def test_one_bright_pixel():
    """Responses are -4 once, 1 four times and 0 elsewhere: the mean is 0 and the variance 20 over the count."""
    values = torch.zeros(9, 11, dtype=torch.float64)
    values[4, 5] = 1.0
    assert float(sharpness(grey(values), everywhere(grey(values)))) == pytest.approx(20 / (7 * 9))


def test_a_wave_has_its_transfer_function():
    """sin(w x) is an eigenfunction with factor 2 cos w - 2; its variance over whole periods is a half."""
    frequency = 2 * torch.pi / 8
    x = torch.arange(34, dtype=torch.float64)
    image = grey(torch.sin(frequency * x).expand(5, -1))  # 32 counted columns = 4 periods
    expected = (2 - 2 * torch.cos(torch.tensor(frequency, dtype=torch.float64))) ** 2 / 2
    assert float(sharpness(image, everywhere(image))) == pytest.approx(float(expected))


def test_channels_count_as_the_eye_sees_them():
    values = torch.rand(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    white = sharpness(grey(values), everywhere(grey(values)))
    for channel, weight in enumerate(LUMA):
        image = torch.zeros(8, 8, 3, dtype=torch.float64)
        image[..., channel] = values
        assert float(sharpness(image, everywhere(image)) / white) == pytest.approx(weight**2)


def test_only_whole_neighbourhoods_inside_the_mask_count():
    """What lies outside, and the step between inside and outside, changes nothing."""
    generator = torch.Generator().manual_seed(1)
    inside = torch.rand(6, 6, 3, generator=generator)
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[5:11, 7:13] = True
    for outside in (torch.zeros(20, 20, 3), torch.rand(20, 20, 3, generator=generator)):
        outside[5:11, 7:13] = inside
        assert float(sharpness(outside, mask)) == pytest.approx(float(sharpness(inside, everywhere(inside))), rel=1e-4)


@pytest.mark.parametrize("shape", [(2, 9), (1, 1), (9, 9)])
def test_nothing_to_judge_is_zero(shape: tuple[int, int]):
    image = torch.rand(*shape, 3)
    assert float(sharpness(image, torch.zeros(shape, dtype=torch.bool))) == 0.0


def test_blur_lowers_it():
    image = torch.rand(24, 24, 3, generator=torch.Generator().manual_seed(2))
    blurred = torch.nn.functional.avg_pool2d(image.permute(2, 0, 1)[None], 3, 1, 1)[0].permute(1, 2, 0)
    assert float(sharpness(blurred, everywhere(image))) < 0.2 * float(sharpness(image, everywhere(image)))
