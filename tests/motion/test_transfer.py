"""Motion transfer against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sage_ns.errors import FlameParamsError
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.motion.transfer import (
    absolute_transfer,
    most_neutral_row,
    playback_positions,
    relative_transfer,
)
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import tiny_motion

MODEL = tiny_head_model(num_expression=6)
POSES = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")


def params(seed: int, num_timesteps: int = 4) -> FlameParams:
    return tiny_params(MODEL, num_timesteps, seed)


def matrices(poses: Tensor) -> Tensor:
    return axis_angle_to_matrix(poses.unflatten(-1, (-1, 3)))


def turn(angle: float, axis: int) -> Tensor:
    vector = torch.zeros(1, 3)
    vector[0, axis] = angle
    return vector


@pytest.mark.parametrize("follow_head", [False, True])
def test_the_avatar_keeps_its_identity(follow_head: bool) -> None:
    driver, avatar = params(0), params(1, 1)
    somebody_else = replace(driver, shape=driver.shape + 1, static_offset=None)

    def moved(by: FlameParams) -> tuple[FlameParams, FlameParams]:
        return absolute_transfer(by, avatar, follow_head), relative_transfer(by, by[2], avatar, follow_head)

    for one, other in zip(moved(driver), moved(somebody_else), strict=True):
        assert one.shape is avatar.shape and one.static_offset is avatar.static_offset
        assert torch.equal(one.motion_vector(), other.motion_vector())


def test_absolute_transfer_leaves_the_head_where_it_is() -> None:
    driver, avatar = params(0), params(1, 1)
    moved = absolute_transfer(driver, avatar)
    for name in ("neck_pose", "jaw_pose", "eyes_pose", "expr"):
        assert torch.equal(getattr(moved, name), getattr(driver, name))
    assert torch.equal(moved.rotation, avatar.rotation.expand(4, 3))
    assert torch.equal(moved.translation, avatar.translation.expand(4, 3))


def test_absolute_transfer_can_follow_the_head() -> None:
    driver, avatar = params(0), params(1, 1)
    moved = absolute_transfer(driver, avatar, follow_head=True)
    assert torch.equal(moved.rotation, driver.rotation)
    torch.testing.assert_close(moved.translation[:1], avatar.translation)
    torch.testing.assert_close(moved.translation.diff(dim=0), driver.translation.diff(dim=0))


@pytest.mark.parametrize("row", [0, 2])
def test_relative_transfer_to_the_driver_itself_changes_nothing(row: int) -> None:
    driver = params(0)
    moved = relative_transfer(driver, driver[row], driver[row], follow_head=True)
    torch.testing.assert_close(moved.motion_vector(), driver.motion_vector(), atol=2e-6, rtol=0)
    still = relative_transfer(driver, driver[row], driver[row])
    torch.testing.assert_close(still.rotation, driver.rotation[row].expand(4, 3))
    torch.testing.assert_close(still.translation, driver.translation[row].expand(4, 3))


def test_the_neutral_moment_becomes_the_avatars() -> None:
    driver, avatar = params(0), params(1, 1)
    moved = relative_transfer(driver, driver[3], avatar, follow_head=True)
    torch.testing.assert_close(moved.motion_vector()[3:], avatar.motion_vector(), atol=2e-6, rtol=0)


def test_relative_rotations_are_composed_in_the_joints_axes() -> None:
    driver, avatar = params(0), params(1, 1)
    moved = relative_transfer(driver, driver[1], avatar, follow_head=True)
    for name in POSES:
        own, rest, moving = (matrices(getattr(each, name)) for each in (avatar, driver[1], driver))
        expected = own @ rest.transpose(-1, -2) @ moving
        torch.testing.assert_close(matrices(getattr(moved, name)), expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(moved.expr, avatar.expr + driver.expr - driver.expr[1])
    # as a vector difference of the axis angles it would be another rotation
    subtracted = avatar.rotation + driver.rotation - driver.rotation[1]
    assert float((moved.rotation - subtracted).abs().max()) > 1e-3


def test_nods_and_steps_do_not_depend_on_the_direction_of_the_head() -> None:
    """The driver looks along +x, the avatar along +z."""
    rest = replace(params(0, 1), rotation=turn(math.pi / 2, 1), translation=torch.tensor([[0.4, 0.1, 0.2]]))
    nod = matrices(rest.rotation)[0, 0] @ matrices(turn(0.3, 0))[0, 0]
    nodding = replace(
        rest,
        rotation=matrix_to_axis_angle(nod)[None],
        translation=rest.translation + torch.tensor([[0.05, 0.0, 0.0]]),
    )
    avatar = replace(params(1, 1), rotation=torch.zeros(1, 3), translation=torch.zeros(1, 3))
    moved = relative_transfer(nodding, rest, avatar, follow_head=True)
    torch.testing.assert_close(moved.rotation, turn(0.3, 0), atol=2e-6, rtol=0)
    torch.testing.assert_close(moved.translation, torch.tensor([[0.0, 0.0, 0.05]]), atol=2e-7, rtol=0)


def test_neutral_moments_are_single_and_of_the_same_rig() -> None:
    driver, avatar = params(0), params(1, 1)
    with pytest.raises(FlameParamsError, match="neutral moment: found 2 timesteps"):
        relative_transfer(driver, driver[:2], avatar)
    other = tiny_params(tiny_head_model(num_expression=9), 1)
    with pytest.raises(FlameParamsError, match="the avatar: found 1 timesteps of 9 expression coefficients"):
        absolute_transfer(driver, other)


def test_the_most_neutral_moment_does_not_depend_on_head_pose() -> None:
    motion = tiny_motion(MODEL, 5)
    shuffled = motion[torch.tensor([3, 1, 0, 2, 4])]
    assert most_neutral_row(shuffled, MODEL) == 2
    turned = replace(shuffled, rotation=torch.randn(5, 3), neck_pose=torch.randn(5, 3), eyes_pose=torch.randn(5, 6))
    assert most_neutral_row(turned, MODEL) == 2


def test_as_many_frames_as_rows_at_the_same_rate() -> None:
    assert torch.equal(playback_positions(35, 25, 25), torch.arange(35.0, dtype=torch.float64))
    assert playback_positions(1, 25, 60).tolist() == [0.0]


def test_other_rates_keep_the_duration() -> None:
    assert playback_positions(5, 10, 20).tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert playback_positions(9, 20, 10).tolist() == [0, 2, 4, 6, 8]
    assert playback_positions(8, 20, 10).tolist() == [0, 2, 4, 6]
    uneven = playback_positions(100, 29.97, 25)
    assert (len(uneven) - 1) / 25 == pytest.approx(99 / 29.97, abs=1 / 25)
    assert float(uneven.max()) <= 99


def test_nothing_is_blended_across_sequences() -> None:
    positions = playback_positions(4, 10, 40, sequences=torch.tensor([0, 0, 1, 1]))
    assert positions.tolist() == [0, 0.25, 0.5, 0.75, 1, 1, 2, 2, 2, 2.25, 2.5, 2.75, 3]
