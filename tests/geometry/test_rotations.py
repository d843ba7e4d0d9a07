from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sage_ns.geometry import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_slerp,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
)
from sage_ns.geometry.rotations import degrees_between, nearest_rotation

IDENTITY = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)


def axis_angles(angles: list[float]) -> Tensor:
    """Axis-angle vectors of the given lengths (radians) about random axes, float64."""
    axes = torch.randn(len(angles), 3, generator=torch.Generator().manual_seed(0)).double()
    return axes / axes.norm(dim=-1, keepdim=True) * torch.tensor(angles, dtype=torch.float64)[:, None]


# around the border between series and closed form, too
ANGLES = [0.0, 1e-12, 1e-6, 1e-3, 0.0999, 0.1001, 0.199, 0.201, 0.5, 1.5, 3.0, math.pi - 1e-6]


def skew(v: Tensor) -> Tensor:
    columns = [torch.linalg.cross(v, e.expand_as(v)) for e in torch.eye(3, dtype=v.dtype)]
    return torch.stack(columns, dim=-1)


def test_matrix_is_the_exponential_of_the_axis_angle() -> None:
    v = axis_angles([*ANGLES, 4.0, 7.0])
    torch.testing.assert_close(axis_angle_to_matrix(v), torch.linalg.matrix_exp(skew(v)), rtol=0, atol=1e-14)


def test_every_way_round_returns_the_start() -> None:
    v = axis_angles(ANGLES)
    torch.testing.assert_close(quaternion_to_axis_angle(axis_angle_to_quaternion(v)), v, rtol=0, atol=1e-14)
    torch.testing.assert_close(matrix_to_axis_angle(axis_angle_to_matrix(v)), v, rtol=0, atol=1e-9)
    matrix = axis_angle_to_matrix(v)
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(matrix)), matrix, rtol=0, atol=1e-14)
    torch.testing.assert_close(quaternion_to_matrix(axis_angle_to_quaternion(v)), matrix, rtol=0, atol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_are_read_from_matrices(axis: int) -> None:
    half_turn = -torch.eye(3)
    half_turn[axis, axis] = 1
    expected = torch.zeros(4)
    expected[1 + axis] = 1
    torch.testing.assert_close(matrix_to_quaternion(half_turn).abs(), expected)


def test_quaternion_and_its_negative_are_one_rotation() -> None:
    q = 3.7 * axis_angle_to_quaternion(axis_angles(ANGLES))
    torch.testing.assert_close(quaternion_to_matrix(q), quaternion_to_matrix(-q))
    torch.testing.assert_close(quaternion_to_axis_angle(q), quaternion_to_axis_angle(-q))


def test_product_applies_the_right_factor_first() -> None:
    a, b = axis_angle_to_quaternion(axis_angles([0.7, 2.0])), axis_angle_to_quaternion(axis_angles([1.1, 0.3]).flip(0))
    product = quaternion_to_matrix(quaternion_multiply(a, b))
    torch.testing.assert_close(product, quaternion_to_matrix(a) @ quaternion_to_matrix(b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "convert",
    [
        axis_angle_to_matrix,
        axis_angle_to_quaternion,
        lambda v: quaternion_to_axis_angle(axis_angle_to_quaternion(v)),
        lambda v: matrix_to_axis_angle(axis_angle_to_matrix(v)),
        lambda v: quaternion_slerp(IDENTITY.to(v), axis_angle_to_quaternion(v), torch.full_like(v[..., 0], 0.3)),
        lambda v: quaternion_slerp(axis_angle_to_quaternion(v), IDENTITY.to(v), torch.full_like(v[..., 0], 0.3)),
    ],
)
def test_values_and_gradients_are_finite_at_the_identity(convert, dtype: torch.dtype) -> None:
    v = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    converted = convert(v)
    (gradient,) = torch.autograd.grad(converted.sum(), v)
    assert converted.isfinite().all()
    assert gradient.isfinite().all()


def test_gradients_agree_with_finite_differences() -> None:
    v = axis_angles([0.0, 1e-4, 0.0999, 0.1001, 1.0, 3.0]).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, v)
    assert torch.autograd.gradcheck(axis_angle_to_quaternion, v)
    assert torch.autograd.gradcheck(lambda x: quaternion_to_axis_angle(axis_angle_to_quaternion(x)), v)
    assert torch.autograd.gradcheck(lambda x: matrix_to_quaternion(axis_angle_to_matrix(x)), v)


def test_slerp_turns_at_constant_speed_along_the_shorter_arc() -> None:
    axis = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    fraction = torch.linspace(0, 1, 7, dtype=torch.float64)
    end = axis_angle_to_quaternion(2.0 * axis).expand(7, 4)
    for sign in (1, -1):  # -end is the same rotation: the arc must not go the long way round
        turned = quaternion_slerp(IDENTITY.expand(7, 4), sign * end, fraction)
        torch.testing.assert_close(quaternion_to_axis_angle(turned), 2.0 * axis * fraction[:, None])


def test_slerp_between_equal_rotations_stays() -> None:
    q = axis_angle_to_quaternion(axis_angles([0.9]))
    torch.testing.assert_close(quaternion_slerp(q, q, torch.tensor([0.4], dtype=torch.float64)), q)


def test_6d_form_holds_the_first_two_rows() -> None:
    matrix = axis_angle_to_matrix(axis_angles(ANGLES))
    rows = matrix[:, :2].flatten(1)
    torch.testing.assert_close(rotation_6d_to_matrix(rows), matrix)
    scaled_and_sheared = torch.cat([2.5 * rows[:, :3], rows[:, 3:] + 0.3 * rows[:, :3]], dim=-1)
    torch.testing.assert_close(rotation_6d_to_matrix(scaled_and_sheared), matrix)


def test_batches_of_any_rank() -> None:
    v = torch.randn(2, 3, 4, 3)
    assert axis_angle_to_matrix(v).shape == (2, 3, 4, 3, 3)
    assert matrix_to_quaternion(axis_angle_to_matrix(v)).shape == (2, 3, 4, 4)
    assert matrix_to_axis_angle(axis_angle_to_matrix(v[0, 0, 0])).shape == (3,)


def test_degrees_between_rotations() -> None:
    turned = axis_angle_to_matrix(torch.tensor([[0.0, 0.3, 0.0], [0.0, 0.0, 0.0]]))
    found = degrees_between(turned, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(found, torch.tensor([0.3, 0.0]).rad2deg(), atol=0.05, rtol=0)


def test_the_nearest_rotation_of_a_scaled_and_of_a_mirrored_one() -> None:
    turns = axis_angle_to_matrix(axis_angles([0.0, 0.4, 3.0]))
    torch.testing.assert_close(nearest_rotation(2.5 * turns), turns)
    mirrored = nearest_rotation(turns @ torch.diag(torch.tensor([1.0, 1.0, -1.0]).double()))
    torch.testing.assert_close(torch.linalg.det(mirrored), torch.ones(3).double())
