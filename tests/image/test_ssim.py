"""SSIM: closed forms, the compiled twin, gradients."""

from __future__ import annotations

import pytest
import torch

from sage_ns.image import ssim
from sage_ns.image.ssim import gaussian_window, ssim_torch


def images(height: int, width: int, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height + width)
    a = torch.rand(height, width, channels, generator=generator, dtype=torch.float64)
    return a, (a + 0.3 * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)


def test_equal_images_have_similarity_one():
    a, _ = images(20, 30)
    assert float(ssim(a, a)) == pytest.approx(1.0)
    assert float(ssim(a.float(), a.float())) == pytest.approx(1.0, abs=1e-6)


def test_constant_images_follow_the_luminance_term():
    # Far from the border the window sees constants: no variance, so only (2 a b + c1) / (a a + b b + c1) is left.
    a, b = torch.full((1, 1, 1), 0.4), torch.full((1, 1, 1), 0.8)
    large_a, large_b = a.expand(400, 400, 1), b.expand(400, 400, 1)
    expected = (2 * 0.4 * 0.8 + 1e-4) / (0.4**2 + 0.8**2 + 1e-4)
    assert float(ssim(large_a, large_b)) == pytest.approx(expected, abs=0.02)


def test_the_window_sums_to_one_and_matches_the_kernels():
    from sage_ns.image import _numba_ssim as kernels

    window = gaussian_window(torch.float64)
    assert float(window.sum()) == pytest.approx(1.0)
    compiled = [kernels.W5, kernels.W4, kernels.W3, kernels.W2, kernels.W1, kernels.W0]
    assert [float(w) for w in compiled] == pytest.approx(window[:6].tolist(), rel=1e-6)


@pytest.mark.parametrize("size", [(24, 31), (3, 50), (40, 2), (1, 1), (64, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_compiled_value_and_gradients_equal_float64_torch(size: tuple[int, int], channels: int):
    a, b = images(*size, channels)
    expected_leaves = [image.clone().requires_grad_() for image in (a, b)]
    expected = ssim_torch(*expected_leaves)
    leaves = [image.float().requires_grad_() for image in (a, b)]
    found = ssim(*leaves)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    (2.0 * found).backward()
    (2.0 * expected).backward()
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        assert leaf.grad is not None and expected_leaf.grad is not None
        error = (leaf.grad - expected_leaf.grad).norm() / expected_leaf.grad.norm()
        assert float(error) < 1e-3


def test_gradient_of_the_definition():
    a, b = images(6, 7, 2)
    assert torch.autograd.gradcheck(ssim_torch, (a.requires_grad_(), b.requires_grad_()))


def test_no_gradient_is_made_for_an_image_that_needs_none():
    a, b = (image.float() for image in images(16, 16))
    a.requires_grad_()
    ssim(a, b).backward()
    assert a.grad is not None and b.grad is None


def test_images_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        ssim(torch.zeros(4, 4, 3), torch.zeros(4, 4, 1))
