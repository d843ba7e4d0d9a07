"""Eigen-decomposition of symmetric matrices: its definition, bounded gradients, the compiled version."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sage_ns.geometry import quaternion_to_matrix
from sage_ns.geometry.symmetric_eigen import (
    BROADENING,
    FLOOR,
    lower_triangle,
    symmetric_eigen,
    symmetric_eigen_quaternions,
    symmetric_eigen_quaternions_torch,
    symmetric_eigen_torch,
    symmetric_matrix,
)

DTYPES = [torch.float32, torch.float64]  # the kernel and the definition
# Among them: zero, isotropic, rank 1, rank 2, a pair at the top, a pair at the bottom, opposite signs, nearly equal.
SPECTRA = [
    *((0, 0, 0), (1, 1, 1), (-2, -2, -2), (0, 0, 3), (1, 1, 0), (2, 2, 1), (2, 1, 1), (-1, -1, 3)),
    *((1, -1, 0), (1, -1, 0.5), (1, 1 + 1e-6, 1 - 1e-6), (1, 1e-4, 1e-4), (3, -2, 0.5)),
]


def rotations(num: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return quaternion_to_matrix(torch.randn(num, 4, generator=generator, dtype=torch.float64))


def with_spectrum(values: Tensor, rotation: Tensor) -> Tensor:
    """Lower triangles of the matrices with these eigenvalues, turned."""
    return lower_triangle(rotation @ torch.diag_embed(values) @ rotation.mT)


def separated(num: int, seed: int = 1) -> Tensor:
    """Lower triangles of matrices whose eigenvalues differ, in magnitude, too."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor([0.3, 1.0, 1.8], dtype=torch.float64) + 0.2 * torch.rand(num, 3, generator=generator).double()
    signs = torch.randint(0, 2, (num, 3), generator=generator) * 2 - 1
    return with_spectrum(values * signs, rotations(num, seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", [1e-12, 1.0, 1e10])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_decomposition_of_any_spectrum(spectrum: tuple[float, ...], magnitude: float, dtype: torch.dtype):
    values = magnitude * torch.tensor(spectrum, dtype=torch.float64)
    lower = with_spectrum(values, torch.cat((torch.eye(3, dtype=torch.float64)[None], rotations(5)))).to(dtype)
    found, vectors = symmetric_eigen(lower)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    rebuilt = vectors @ torch.diag_embed(found) @ vectors.mT
    size = max(float(values.abs().max()), 1e-30)
    assert float((rebuilt - symmetric_matrix(lower)).abs().max()) < 4 * tolerance * size
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(3, dtype=dtype).expand(6, 3, 3), rtol=0, atol=tolerance)
    assert (torch.linalg.det(vectors) > 0.999).all()
    assert (found.abs().diff(dim=-1) <= 0).all()
    for column in (vectors[..., 0], vectors[..., 2]):
        assert (column.gather(-1, column.abs().argmax(-1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [symmetric_eigen, symmetric_eigen_quaternions])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_gradients_are_bounded_for_any_spectrum(function, spectrum: tuple[float, ...], dtype: torch.dtype):
    values = torch.tensor(spectrum, dtype=torch.float64)
    turns = torch.cat((torch.eye(3, dtype=torch.float64)[None], rotations(20)))
    lower = with_spectrum(values, turns).to(dtype).requires_grad_()
    outputs = function(lower)
    weights = [torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(dtype) for output in outputs]
    (gradient,) = torch.autograd.grad(outputs, lower, weights)
    assert gradient.isfinite().all()
    steepest = 1 / (2 * BROADENING * (float(values.abs().max()) + FLOOR))
    size = sum(weight.flatten(1).norm(dim=-1) for weight in weights)
    assert (gradient.norm(dim=-1) <= 4 * max(1.0, steepest) * size).all()


@given(entries=st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_matrix_is_rebuilt_by_the_kernel_with_finite_gradients(entries: list[float]):
    lower = torch.tensor([entries], dtype=torch.float32, requires_grad=True)
    values, quaternions = symmetric_eigen_quaternions(lower)
    vectors = quaternion_to_matrix(quaternions)
    rebuilt = lower_triangle(vectors @ torch.diag_embed(values) @ vectors.mT)
    torch.testing.assert_close(rebuilt, lower, rtol=0, atol=3e-6 * max(1e-30, max(map(abs, entries))))
    (gradient,) = torch.autograd.grad((values.sum(), quaternions.sum()), lower)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("function", [symmetric_eigen_torch, symmetric_eigen_quaternions_torch])
def test_gradient_of_the_definition(function):
    # Broadening changes gradients by the square of its relative width.
    lower = separated(6).requires_grad_()
    assert torch.autograd.gradcheck(function, lower, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fused", "definition"),
    [(symmetric_eigen, symmetric_eigen_torch), (symmetric_eigen_quaternions, symmetric_eigen_quaternions_torch)],
)
def test_compiled_values_and_gradients_equal_float64_torch(fused, definition):
    lower = torch.cat((separated(200), torch.randn(200, 6, generator=torch.Generator().manual_seed(3)).double()))
    leaf, expected_leaf = lower.float().requires_grad_(), lower.float().double().requires_grad_()
    found, expected = fused(leaf), definition(expected_leaf)
    weights = [torch.randn(output.shape, generator=torch.Generator().manual_seed(4)).double() for output in expected]
    for value, expected_value in zip(found, expected, strict=True):
        torch.testing.assert_close(value.double(), expected_value, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(found, leaf, [weight.float() for weight in weights])
    (expected_gradient,) = torch.autograd.grad(expected, expected_leaf, weights)
    error = (gradient - expected_gradient).norm(dim=-1) / expected_gradient.norm(dim=-1)
    assert float(error.max()) < 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_turn_with_the_matrix(dtype: torch.dtype):
    lower, turn = separated(50), rotations(50, seed=9)
    turned = lower_triangle(turn @ symmetric_matrix(lower) @ turn.mT)
    values, vectors = symmetric_eigen(lower.to(dtype))
    turned_values, turned_vectors = symmetric_eigen(turned.to(dtype))
    torch.testing.assert_close(turned_values, values, rtol=1e-5, atol=1e-6)
    alignment = ((turn.to(dtype) @ vectors) * turned_vectors).sum(-2)  # of each column, up to its sign
    torch.testing.assert_close(alignment.abs(), torch.ones_like(alignment), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_quaternions_are_those_of_the_vectors(dtype: torch.dtype):
    lower = separated(50).to(dtype)
    quaternions = symmetric_eigen_quaternions(lower)[1]
    torch.testing.assert_close(quaternion_to_matrix(quaternions), symmetric_eigen(lower)[1], rtol=0, atol=1e-6)
    assert (quaternions[:, 0] >= 0).all()


def test_no_matrices_at_all():
    for function in (symmetric_eigen, symmetric_eigen_quaternions):
        lower = torch.zeros(0, 6, requires_grad=True)
        values, rotation = function(lower)
        assert len(values) == len(rotation) == 0
        (gradient,) = torch.autograd.grad(values.sum() + rotation.sum(), lower)
        assert gradient.shape == (0, 6)


@pytest.mark.gpu
def test_definition_on_the_gpu_equals_the_cpu():
    lower = separated(100)
    for function in (symmetric_eigen, symmetric_eigen_quaternions):
        leaf, gpu_leaf = lower.clone().requires_grad_(), lower.float().cuda().requires_grad_()
        expected, found = function(leaf), function(gpu_leaf)
        for value, expected_value in zip(found, expected, strict=True):
            torch.testing.assert_close(value.cpu().double(), expected_value, rtol=1e-4, atol=1e-4)
        (expected_gradient,) = torch.autograd.grad(expected, leaf, [torch.ones_like(output) for output in expected])
        (gradient,) = torch.autograd.grad(found, gpu_leaf, [torch.ones_like(output) for output in found])
        torch.testing.assert_close(gradient.cpu().double(), expected_gradient, rtol=1e-3, atol=1e-3)
