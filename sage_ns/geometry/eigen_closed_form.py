"""Eigenvalues and eigenvectors of symmetric 3x3 matrices in closed form, in plain torch on any device.

The characteristic cubic is solved for the eigenvalue that stands apart from the other two; its eigenvector is well
conditioned whatever the matrix. The other two come from one rotation within its orthogonal plane, which is exact for
equal eigenvalues (after Eberly, "A robust eigensolver for 3x3 symmetric matrices"). The CPU's kernel does the same,
one matrix at a time. ``torch.linalg.eigh`` makes the CPU wait for the device to check the result; this does not.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_NEGLIGIBLE = 1e-30
"""Square of the relative spread of eigenvalues under which a matrix is a multiple of the identity."""


def eigen_closed_form(
    matrix: Float[Tensor, "num_matrices 3 3"],
) -> tuple[Float[Tensor, "num_matrices 3"], Float[Tensor, "num_matrices 3 3"]]:
    """Eigenvalues in no order, and their unit eigenvectors as columns, computed in double precision.

    Args:
        matrix: symmetric.
    """
    precise = matrix.double()
    identity = torch.eye(3, dtype=torch.float64, device=matrix.device)
    mean = precise.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    spread_out = precise - mean[:, None, None] * identity
    spread = spread_out.square().sum(dim=(-2, -1)) / 6.0
    is_multiple = ~(spread > _NEGLIGIBLE * mean.square())
    spread_out = torch.where(is_multiple[:, None, None], torch.diag(identity.new_ones(3).cumsum(0) - 2), spread_out)
    spread = torch.where(is_multiple, spread_out.square().sum(dim=(-2, -1)) / 6.0, spread)
    radius = spread.sqrt()
    height = _determinant(spread_out) / (2.0 * spread * radius)
    # 2 cos(arccos(|h|) / 3) is the root that stands farthest from the others.
    apart = radius * 2.0 * (height.abs().clamp_max(1.0).acos() / 3.0).cos()
    apart = torch.where(height < 0, -apart, apart)
    axis = _kernel_of(spread_out - apart[:, None, None] * identity)
    values, others = _within_plane(spread_out, axis)
    values = torch.cat([apart[:, None], values], dim=-1) + mean[:, None]
    vectors = torch.stack([axis, *others], dim=-1)
    values = torch.where(is_multiple[:, None], mean[:, None].expand(-1, 3), values)
    vectors = torch.where(is_multiple[:, None, None], identity, vectors)
    return values.to(matrix.dtype), vectors.to(matrix.dtype)


def _determinant(matrix: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n"]:
    first, second, third = matrix.unbind(dim=-2)
    return (first * torch.linalg.cross(second, third)).sum(dim=-1)


def _kernel_of(matrix: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
    """Unit vector orthogonal to the rows of a matrix of rank 2: their longest cross product."""
    first, second, third = matrix.unbind(dim=-2)
    pairs = ((first, second), (first, third), (second, third))
    products = torch.stack([torch.linalg.cross(a, b) for a, b in pairs], dim=-2)
    longest = products.square().sum(dim=-1).argmax(dim=-1)
    chosen = products.gather(-2, longest[:, None, None].expand(-1, 1, 3))[:, 0]
    return torch.nn.functional.normalize(chosen, dim=-1, eps=1e-300)


def _within_plane(
    matrix: Float[Tensor, "n 3 3"], axis: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, "n 2"], tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]]:
    """The two eigenpairs orthogonal to an eigenvector: one Jacobi rotation of the matrix within that plane."""
    x, y, z = axis.unbind(dim=-1)
    zero = torch.zeros_like(x)
    across = torch.where(
        (x.abs() > y.abs())[:, None], torch.stack([-z, zero, x], dim=-1), torch.stack([zero, z, -y], dim=-1)
    )
    u = torch.nn.functional.normalize(across, dim=-1, eps=1e-300)
    w = torch.linalg.cross(axis, u)
    along_u, along_w = (matrix @ u[..., None])[..., 0], (matrix @ w[..., None])[..., 0]
    uu, uw, ww = (u * along_u).sum(dim=-1), (w * along_u).sum(dim=-1), (w * along_w).sum(dim=-1)
    angle = 0.5 * torch.atan2(2.0 * uw, uu - ww)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    first, second = cos * u + sin * w, cos * w - sin * u
    half, reach = 0.5 * (uu + ww), torch.hypot(0.5 * (uu - ww), uw)
    return torch.stack([half + reach, half - reach], dim=-1), (first, second)
