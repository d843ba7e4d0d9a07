"""Harmonics: orthonormality, degrees, the compiled version and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from sage_ns.geometry.spherical_harmonics import sh_basis, sh_colors, sh_colors_torch


def points(num: int, num_coefficients: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(num_coefficients)
    coefficients = torch.randn(num, num_coefficients, 3, generator=generator, dtype=torch.float64)
    means = torch.randn(num, 3, generator=generator, dtype=torch.float64)
    return coefficients, means, torch.tensor([0.3, -0.2, 4.0], dtype=torch.float64)


def test_harmonics_are_orthonormal_on_the_sphere():
    z, weights = torch.linspace(-1, 1, 201, dtype=torch.float64), torch.ones(201, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0  # Simpson's rule
    angle = torch.arange(32, dtype=torch.float64) * math.tau / 32
    radius = (1 - z * z).sqrt()[:, None]
    directions = torch.stack((radius * angle.cos(), radius * angle.sin(), z[:, None].expand(-1, 32)), -1).reshape(-1, 3)
    area = (weights * (2 / 200) / 3)[:, None].expand(-1, 32).reshape(-1, 1) * math.tau / 32
    basis = sh_basis(directions, 16)
    torch.testing.assert_close(basis.T @ (area * basis), torch.eye(16, dtype=torch.float64), atol=1e-5, rtol=0)


def test_degree_zero_is_a_constant_colour():
    coefficients, means, center = points(5, 1)
    colors = sh_colors(coefficients, means, center)
    torch.testing.assert_close(colors, (0.28209479177387814 * coefficients[:, 0] + 0.5).clamp(min=0))


def test_degree_one_has_3dgs_signs():
    coefficients = torch.zeros(3, 4, 3)
    coefficients[:, 1, 0], coefficients[:, 2, 1], coefficients[:, 3, 2] = 0.5, 0.5, 0.5
    colors = sh_colors(coefficients, -torch.eye(3), torch.zeros(3)) - 0.5
    torch.testing.assert_close(
        colors, 0.5 * 0.4886025119029199 * torch.tensor([[0, 0, 1.0], [1.0, 0, 0], [0, -1.0, 0]])
    )


@pytest.mark.parametrize("num_coefficients", [1, 4, 9, 16])
def test_compiled_colours_and_gradients_equal_float64_torch(num_coefficients: int):
    coefficients, means, center = points(500, num_coefficients)
    expected_leaves = (coefficients.clone().requires_grad_(), means.clone().requires_grad_())
    leaves = (coefficients.float().requires_grad_(), means.float().requires_grad_())
    expected, found = sh_colors_torch(*expected_leaves, center), sh_colors(*leaves, center.float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (weight * expected).sum().backward()
    (weight * found).sum().backward()
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        assert leaf.grad is not None
        # Without higher degrees the colour does not depend on the point at all.
        gradient = torch.zeros_like(expected_leaf) if expected_leaf.grad is None else expected_leaf.grad
        torch.testing.assert_close(leaf.grad.double(), gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_higher_degrees_may_be_kept_apart(dtype: torch.dtype):
    coefficients, means, center = (tensor.to(dtype) for tensor in points(50, 16))
    joined, first, higher = (
        tensor.clone().requires_grad_() for tensor in (coefficients, coefficients[:, :1], coefficients[:, 1:])
    )
    together, apart = sh_colors(joined, means, center), sh_colors(first, means, center, higher)
    torch.testing.assert_close(apart, together)
    together.square().sum().backward()
    apart.square().sum().backward()
    assert joined.grad is not None and first.grad is not None and higher.grad is not None
    torch.testing.assert_close(torch.cat((first.grad, higher.grad), 1), joined.grad)


@pytest.mark.parametrize("num_coefficients", [1, 16])
def test_gradient_of_the_definition(num_coefficients: int):
    coefficients, means, center = points(3, num_coefficients)
    # Bright colours: the clamp at 0 has no derivative.
    coefficients[:, 0] += 20.0
    leaves = (coefficients.requires_grad_(), means.requires_grad_())
    assert torch.autograd.gradcheck(lambda c, m: sh_colors_torch(c, m, center), leaves)


def test_a_point_at_the_camera_and_no_points_at_all_are_harmless():
    coefficients, means, center = points(2, 16)
    means[0] = center
    leaf = means.float().requires_grad_()
    sh_colors(coefficients.float(), leaf, center.float()).sum().backward()
    assert leaf.grad is not None and torch.isfinite(leaf.grad).all()
    assert sh_colors(torch.zeros(0, 4, 3), torch.zeros(0, 3), torch.zeros(3)).shape == (0, 3)


@pytest.mark.usefixtures("shapes_unchecked")
def test_other_numbers_of_coefficients_are_refused():
    with pytest.raises(ValueError, match="5 coefficients"):
        sh_colors(torch.zeros(2, 5, 3), torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="3 points"):
        sh_colors(torch.zeros(2, 4, 3), torch.zeros(3, 3), torch.zeros(3))
