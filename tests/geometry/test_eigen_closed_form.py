"""The closed form of eigenvectors against torch's solver, equal eigenvalues included; the dominant direction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.geometry.deformation_gradient import dominant_direction
from sage_ns.geometry.eigen_closed_form import eigen_closed_form


def rotations(num: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(num, 3, 3, dtype=torch.float64, generator=generator)).Q


@pytest.mark.parametrize(
    "values",
    [
        (3.0, 1.0, -2.0),
        (1.0, 1.0, -2.0),
        (2.0, 2.0, 2.0),
        (0.0, 0.0, 0.0),
        (5.0, 5.0 + 1e-9, 1.0),
        (1e-8, 2e-8, -1e-8),
        (1e6, 1.0, 1e-3),
        (-1.0, 1.0, 0.0),
    ],
)
def test_it_decomposes_any_symmetric_matrix(values: tuple[float, float, float]) -> None:
    axes = rotations(200)
    matrix = axes @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ axes.mT
    found, vectors = eigen_closed_form(matrix)
    size = max(max(abs(each) for each in values), 1e-12)
    identity = torch.eye(3, dtype=torch.float64).expand(200, 3, 3)
    torch.testing.assert_close(vectors.mT @ vectors, identity, rtol=0, atol=1e-10)
    torch.testing.assert_close(vectors @ torch.diag_embed(found) @ vectors.mT, matrix, rtol=0, atol=1e-10 * size)
    expected = torch.linalg.eigvalsh(matrix)
    torch.testing.assert_close(found.sort(dim=-1).values, expected, rtol=0, atol=1e-10 * size)


def test_diagonal_matrices_have_the_axes() -> None:
    matrix = torch.diag_embed(torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]))
    found, vectors = eigen_closed_form(matrix)
    assert found.dtype == torch.float32
    torch.testing.assert_close(vectors @ torch.diag_embed(found) @ vectors.mT, matrix, rtol=0, atol=1e-6)


def test_the_dominant_direction_is_the_solver_s() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.tensor([1.0, 0.2, -0.1, 0.3]) + 0.2 * torch.randn(50, 4, generator=generator)
    moments = rows.double().T @ rows.double()
    expected = torch.linalg.eigh(moments).eigenvectors[:, -1]
    assert float((dominant_direction(moments) * expected).sum().abs()) == pytest.approx(1.0, abs=1e-12)
