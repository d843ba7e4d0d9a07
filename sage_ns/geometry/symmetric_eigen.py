"""Eigenvalues and eigenvectors of symmetric 3x3 matrices, with gradients that stay bounded at equal eigenvalues.

Eigenvector i turns towards eigenvector j by v_i . dM v_j / (l_j - l_i), which grows without limit as the two
eigenvalues approach each other. This module replaces 1 / d by its Lorentzian-broadened form d / (d^2 + w^2) with
w = `BROADENING` (|l_0| + `FLOOR`): equal up to (w / d)^2 for distinct eigenvalues, 0 for equal ones, and at most
1 / (2 w).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sage_ns.geometry.eigen_closed_form import eigen_closed_form
from sage_ns.geometry.rotations import matrix_to_quaternion
from sage_ns.system.parallel import even_bounds, run_chunks

BROADENING = 1e-3
"""Difference of eigenvalues, relative to the largest, below which the gradients of eigenvectors fade."""
FLOOR = 1e-2
"""Added to the largest eigenvalue to bound the gradients of matrices near zero."""

_ROWS, _COLUMNS = (0, 1, 1, 2, 2, 2), (0, 0, 1, 0, 1, 2)


def symmetric_matrix(lower: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the symmetric matrix with this lower triangle, row by row: m00, m10, m11, m20, m21, m22."""
    m00, m10, m11, m20, m21, m22 = lower.unbind(-1)
    return torch.stack([m00, m10, m20, m10, m11, m21, m20, m21, m22], dim=-1).unflatten(-1, (3, 3))


def lower_triangle(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """Return the lower triangle, row by row; inverse of `symmetric_matrix`."""
    return matrix[..., _ROWS, _COLUMNS]


def symmetric_eigen(
    lower: Float[Tensor, "num_matrices 6"],
) -> tuple[Float[Tensor, "num_matrices 3"], Float[Tensor, "num_matrices 3 3"]]:
    """Return eigenvalues by decreasing magnitude, and their unit eigenvectors as the columns of a rotation.

    Signs: in the first and in the last column, the component of largest magnitude is positive; the middle column is
    last x first. Gradients are broadened at equal eigenvalues (see the module) and cannot be differentiated again.

    Args:
        lower: lower triangles, row by row (see `symmetric_matrix`).
    """
    if lower.device.type == "cpu" and lower.dtype == torch.float32:
        return _FusedEigen.apply(lower, False)
    return _Eigen.apply(lower)


def symmetric_eigen_quaternions(
    lower: Float[Tensor, "num_matrices 6"],
) -> tuple[Float[Tensor, "num_matrices 3"], Float[Tensor, "num_matrices 4"]]:
    """Return the results of `symmetric_eigen` with the rotation as a unit quaternion (wxyz, w >= 0)."""
    if lower.device.type == "cpu" and lower.dtype == torch.float32:
        return _FusedEigen.apply(lower, True)
    return symmetric_eigen_quaternions_torch(lower)


def symmetric_eigen_torch(
    lower: Float[Tensor, "num_matrices 6"],
) -> tuple[Float[Tensor, "num_matrices 3"], Float[Tensor, "num_matrices 3 3"]]:
    """Compute `symmetric_eigen` in plain torch, its reference definition; single or double precision, any device."""
    return _Eigen.apply(lower)


def symmetric_eigen_quaternions_torch(
    lower: Float[Tensor, "num_matrices 6"],
) -> tuple[Float[Tensor, "num_matrices 3"], Float[Tensor, "num_matrices 4"]]:
    """Compute `symmetric_eigen_quaternions` in plain torch, its reference definition."""
    values, vectors = _Eigen.apply(lower)
    return values, matrix_to_quaternion(vectors)


class _Eigen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lower: Tensor) -> tuple[Tensor, Tensor]:
        matrix = symmetric_matrix(lower)
        values, vectors = torch.linalg.eigh(matrix) if lower.device.type == "cpu" else eigen_closed_form(matrix)
        order = values.abs().argsort(dim=-1, descending=True)
        values = values.gather(-1, order)
        vectors = vectors.gather(-1, order[..., None, :].expand_as(vectors))
        largest = vectors.gather(-2, vectors.abs().argmax(-2, keepdim=True))
        vectors = torch.where(largest < 0, -vectors, vectors)
        first, last = vectors[..., 0], vectors[..., 2]
        vectors = torch.stack([first, torch.linalg.cross(last, first), last], dim=-1)
        ctx.save_for_backward(values, vectors)
        return values, vectors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # With V^T dM V = E, the values change by diag(E) and the vectors by V W, W_ij = E_ij / (l_j - l_i).
        values, vectors = ctx.saved_tensors
        grad_values, grad_vectors = gradients
        width = BROADENING * (values[..., :1].abs() + FLOOR)
        gap = values[..., None, :] - values[..., :, None]
        to_rotated = gap / (gap**2 + width[..., None] ** 2) * (vectors.mT @ grad_vectors) + torch.diag_embed(
            grad_values
        )
        to_matrix = vectors @ to_rotated @ vectors.mT
        # Each off-diagonal number is two entries of the matrix.
        return lower_triangle(to_matrix + to_matrix.mT - torch.diag_embed(to_matrix.diagonal(dim1=-2, dim2=-1)))


class _FusedEigen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lower: Tensor, as_quaternions: bool) -> tuple[Tensor, Tensor]:
        from sage_ns.geometry._numba_symmetric_eigen import decompose

        num = len(lower)
        values, vectors = np.empty((num, 3), np.float32), np.empty((num, 3, 3), np.float32)
        quaternions = np.empty((num if as_quaternions else 0, 4), np.float32)
        matrices = lower.detach().contiguous().numpy()
        run_chunks(decompose, even_bounds(num, 2048), matrices, values, vectors, quaternions)
        ctx.values, ctx.vectors, ctx.quaternions = values, vectors, quaternions if as_quaternions else None
        return torch.from_numpy(values), torch.from_numpy(quaternions if as_quaternions else vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        from sage_ns.geometry._numba_symmetric_eigen import pull_quaternions, pull_vectors

        values, vectors, quaternions = ctx.values, ctx.vectors, ctx.quaternions
        grad_values, grad_rotation = (gradient.contiguous().numpy() for gradient in gradients)
        to_lower = torch.empty(len(values), 6)
        bounds, constants = even_bounds(len(values), 2048), (np.float32(BROADENING), np.float32(FLOOR))
        arguments = (grad_values, grad_rotation, *constants, to_lower.numpy())
        if quaternions is None:
            run_chunks(pull_vectors, bounds, values, vectors, *arguments)
        else:
            run_chunks(pull_quaternions, bounds, values, vectors, quaternions, *arguments)
        return to_lower, None
