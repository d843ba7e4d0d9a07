from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from sage_ns.motion.source import MotionSource
from sage_ns.rig import NUM_POSE, FlameParams
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_motion

NUM_TIMESTEPS = 5


@pytest.fixture
def params() -> FlameParams:
    return tiny_motion(tiny_head_model(), NUM_TIMESTEPS)


@pytest.fixture
def source(params: FlameParams) -> MotionSource:
    return MotionSource(params, torch.tensor([0, 1, 2, 7, 8]), canonical_row=2)


@dataclass
class Camera:
    """The fields of nerfstudio's camera that the motion source reads."""

    metadata: dict[Any, Any] | None = None
    times: torch.Tensor | None = None


def camera(motion: torch.Tensor | None = None, time: float | None = None) -> Camera:
    return Camera(None if motion is None else {"motion": motion}, None if time is None else torch.tensor([[time]]))


def test_the_camera_determines_the_motion_vector(source: MotionSource, params: FlameParams) -> None:
    rows = params.motion_vector()
    assert torch.equal(source.at(camera()), rows[2])  # nothing said: the canonical moment
    assert torch.allclose(source.at(camera(time=0.75)), rows[3], atol=1e-6)
    assert torch.equal(source.at(camera(motion=rows[4:5], time=0.0)), rows[4])  # a capture's own moment goes first
    viewer = Camera(metadata={"cam_idx": 3}, times=torch.tensor([[1.0]]))
    assert torch.allclose(source.at(viewer), rows[4], atol=1e-6)


def test_time_runs_over_rows_and_rotations_turn_evenly(source: MotionSource, params: FlameParams) -> None:
    between = FlameParams.from_motion_vector(source.at_time(0.125)[None])
    assert torch.allclose(between.expr[0], params.expr[:2].mean(0), atol=1e-6)
    angles = params.jaw_pose.norm(dim=-1)
    assert math.isclose(float(between.jaw_pose.norm()), float(angles[:2].mean()), abs_tol=1e-5)


@pytest.mark.parametrize(("time", "row"), [(-3.0, 0), (0.0, 0), (1.0, 4), (17.0, 4)])
def test_times_outside_the_range_are_clamped(source: MotionSource, params: FlameParams, time: float, row: int) -> None:
    assert torch.allclose(source.at_time(time), params.motion_vector()[row], atol=1e-6)


def test_integer_times_are_accepted(source: MotionSource, params: FlameParams) -> None:
    whole = Camera(metadata=None, times=torch.tensor([[1]]))
    assert torch.allclose(source.at(whole), params.motion_vector()[-1], atol=1e-6)


def test_a_single_moment_has_one_time(params: FlameParams) -> None:
    source = MotionSource(params[1], torch.tensor([4]), canonical_row=0)
    for time in (0.0, 0.4, 1.0):
        assert torch.equal(source.at_time(time), params[1].motion_vector()[0])


@pytest.mark.parametrize("count", [0, 6, 10, 14])
def test_drivers_may_have_other_numbers_of_expressions(source: MotionSource, count: int) -> None:
    given = torch.arange(float(NUM_POSE + count))[None]
    fitted = source.fit(given)
    assert fitted.shape == (1, source.num_coefficients)
    shared = min(count, 10)
    same = NUM_POSE + shared
    assert torch.equal(fitted[0, :same], given[0, :same])
    assert not fitted[0, same:].any()
    assert torch.equal(source.at(camera(motion=given)), fitted[0])


def test_a_checkpoint_replaces_the_motion(source: MotionSource, params: FlameParams) -> None:
    other = MotionSource(params[:2], torch.tensor([3, 5]), canonical_row=0)
    other.load_state_dict(source.state_dict())
    assert torch.equal(other.motion, source.motion)
    assert other.timesteps.tolist() == [0, 1, 2, 7, 8]
    assert torch.equal(other.canonical(), source.canonical())


def test_cameras_of_the_canonical_moment_get_the_refined_motion(source: MotionSource, params: FlameParams) -> None:
    rows = params.motion_vector()
    refined = rows[2] + 1e-3
    source.refine(refined)
    assert torch.equal(source.canonical(), refined)
    assert torch.equal(source.at(camera()), refined)
    # The metadata of cameras contain the tracked motion; both the capture's own and novel cameras get the refined one.
    assert torch.equal(source.at(camera(motion=rows[2:3])), refined)
    assert torch.allclose(source.at(camera(time=0.5)), refined, atol=1e-6)
    for other in (0, 1, 3, 4):
        assert torch.equal(source.at(camera(motion=rows[other : other + 1])), rows[other])
        assert torch.equal(source.motion[other], rows[other])


def test_before_it_is_refined_a_moment_is_as_tracked(source: MotionSource, params: FlameParams) -> None:
    assert torch.equal(source.tracked, params.motion_vector()[2])
    assert torch.equal(source.at(camera(motion=source.tracked[None])), source.canonical())


def test_a_moment_can_be_refined_again(source: MotionSource, params: FlameParams) -> None:
    tracked = params.motion_vector()[2]
    for amount in (1e-3, 2e-3):
        source.refine(tracked + amount)
        assert torch.equal(source.at(camera(motion=tracked[None])), tracked + amount)


def test_a_checkpoint_keeps_the_tracked_motion(source: MotionSource, params: FlameParams) -> None:
    tracked = params.motion_vector()[2]
    source.refine(tracked + 1e-3)
    narrow = replace(params[:2], expr=params.expr[:2, :4])
    other = MotionSource(narrow, torch.tensor([3, 5]), canonical_row=0)
    other.load_state_dict(source.state_dict())
    assert torch.equal(other.at(camera(motion=tracked[None])), tracked + 1e-3)
    assert torch.equal(other.at(camera(motion=params.motion_vector()[:1])), params.motion_vector()[0])


def test_fewer_expressions_than_the_rig_has_are_still_the_tracked_moment(source: MotionSource) -> None:
    source.refine(source.tracked + 1e-3)
    used = int(source.tracked.nonzero().max()) + 1
    assert used < source.num_coefficients
    assert torch.equal(source.at(camera(motion=source.tracked[None, :used])), source.canonical())
