"""Rotations as axis-angle vectors, unit quaternions (w, x, y, z) and matrices.

Every conversion keeps values and gradients finite at the identity, where the textbook formulas divide zero by zero.
Near the identity, Taylor series in the squared angle replace the factors.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_SERIES_BELOW = 1e-2
"""Squared angle (rad^2) below which series are used; five terms are then exact to float64 rounding."""


def _sinc(squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Sin(a) / a as a smooth function of a^2."""
    near_zero = squared < _SERIES_BELOW
    angle = torch.where(near_zero, 1.0, squared).sqrt()
    s = squared
    series = 1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72)))
    return torch.where(near_zero, series, angle.sin() / angle)


def _cos(squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Cos(a) as a smooth function of a^2."""
    near_zero = squared < _SERIES_BELOW
    angle = torch.where(near_zero, 1.0, squared).sqrt()
    s = squared
    series = 1 - s / 2 * (1 - s / 12 * (1 - s / 30 * (1 - s / 56 * (1 - s / 90))))
    return torch.where(near_zero, series, angle.cos())


def _angle_over_sine_half(cos_half: Float[Tensor, "*batch"], sin_half_squared: Float[Tensor, "*batch"]) -> Tensor:
    """Angle / sin(angle / 2) for cos(angle / 2) >= 0."""
    near_zero = sin_half_squared < 1e-3
    sine = torch.where(near_zero, 1.0, sin_half_squared).sqrt()
    cosine = torch.where(near_zero, cos_half, 1.0)
    t = torch.where(near_zero, sin_half_squared, 0.0) / cosine**2
    series = 2 / cosine * (1 - t * (1 / 3 - t * (1 / 5 - t * (1 / 7 - t / 9))))
    return torch.where(near_zero, series, 2 * torch.atan2(sine, cos_half) / sine)


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrix of an axis-angle vector (radians), by Rodrigues: R = I + sinc(a) K + (1 - cos a) / a^2 K^2."""
    squared = (axis_angle**2).sum(-1)[..., None, None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    # (1 - cos a) / a^2 = sinc(a/2)^2 / 2 loses no digits to cancellation
    return identity + _sinc(squared) * cross + 0.5 * _sinc(squared / 4) ** 2 * (cross @ cross)


def matrix_to_axis_angle(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vector (radians, length in [0, pi]) of a rotation matrix."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def axis_angle_to_quaternion(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion (wxyz) of an axis-angle vector (radians)."""
    half_squared = (axis_angle**2).sum(-1, keepdim=True) / 4
    return torch.cat([_cos(half_squared), 0.5 * _sinc(half_squared) * axis_angle], dim=-1)


def quaternion_to_axis_angle(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vector (radians, length in [0, pi]) of a quaternion (wxyz, normalised inside)."""
    q = F.normalize(quaternion, dim=-1)
    q = torch.where(q[..., :1] < 0, -q, q)  # q and -q are one rotation: take the smaller angle
    w, vector = q[..., :1], q[..., 1:]
    return vector * _angle_over_sine_half(w, (vector**2).sum(-1, keepdim=True))


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrix of a quaternion (wxyz, normalised inside)."""
    w, x, y, z = F.normalize(quaternion, dim=-1).unbind(-1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion (wxyz, w >= 0) of a rotation matrix.

    The symmetric matrix 4 q q^T is linear in the entries of the rotation. Its row with the largest diagonal entry
    (at least 1) is the quaternion up to scale; normalising it never divides by a small number.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    rows = [
        *(1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01),
        *(m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20),
        *(m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21),
        *(m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22),
    ]
    outer = torch.stack(rows, dim=-1).unflatten(-1, (4, 4))
    largest = torch.diagonal(outer, dim1=-2, dim2=-1).argmax(-1)
    row = torch.take_along_dim(outer, largest[..., None, None], dim=-2).squeeze(-2)
    q = F.normalize(row, dim=-1)
    return torch.where(q[..., :1] < 0, -q, q)


def quaternion_multiply(a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Hamilton product a b (wxyz): the rotation that applies b first, then a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    product = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return torch.stack(product, dim=-1)


def quaternion_conjugate(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Conjugate (wxyz): the inverse rotation of a unit quaternion."""
    return torch.cat([quaternion[..., :1], -quaternion[..., 1:]], dim=-1)


def quaternion_slerp(
    start: Float[Tensor, "*#batch 4"], end: Float[Tensor, "*#batch 4"], fraction: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch 4"]:
    """Spherical interpolation along the shorter arc: start exp(fraction log(start^-1 end)), wxyz, normalised inside.

    Args:
        start: Rotation at fraction 0; returned exactly there (normalised).
        end: Rotation at fraction 1.
        fraction: Position between the two, usually in [0, 1].
    """
    start, end = F.normalize(start, dim=-1), F.normalize(end, dim=-1)
    turn = quaternion_to_axis_angle(quaternion_multiply(quaternion_conjugate(start), end))
    return quaternion_multiply(start, axis_angle_to_quaternion(fraction[..., None] * turn))


def rotation_6d_to_matrix(rotation_6d: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrix of the 6D form of Zhou et al. 2019 (CVPR): its first two rows, made orthonormal by Gram-Schmidt.

    Rows, not columns, as PyTorch3D stores them.
    """
    first, second = rotation_6d.split(3, dim=-1)
    row_0 = F.normalize(first, dim=-1)
    row_1 = F.normalize(second - (row_0 * second).sum(-1, keepdim=True) * row_0, dim=-1)
    return torch.stack([row_0, row_1, torch.linalg.cross(row_0, row_1)], dim=-2)


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation R that maximises ``trace(R^T M)``: ``U diag(1, 1, det(U V)) V`` of the SVD ``M = U S V``.

    A reflection, which comes next where the matrix mirrors, is excluded.
    """
    left, values, right = torch.linalg.svd(matrix)
    sign = torch.ones_like(values)
    sign[..., 2] = torch.linalg.det(left @ right).sign()
    return (left * sign[..., None, :]) @ right


def degrees_between(first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Return the angles between rotations, exact for small ones, too: ``|A - B|_F = 2 sqrt(2) sin(angle / 2)``."""
    chord = torch.linalg.matrix_norm(first - second) / (2 * math.sqrt(2))
    return torch.rad2deg(2 * chord.clamp_max(1.0).asin())


def turn_between(start: Float[Tensor, "3"], end: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Return the shortest rotation that takes a unit vector to another one, which is not its opposite.

    ``I + [v] + [v]^2 / (1 + start . end)`` with ``v = start x end`` (Rodrigues).
    """
    v = torch.linalg.cross(start, end)
    across = torch.linalg.cross(torch.eye(3).to(v), v.expand(3, 3), dim=1).T.neg()
    return torch.eye(3).to(v) + across + across @ across / (1 + start @ end)
