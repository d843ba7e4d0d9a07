"""Parameters that no head can have are refused by name; what a tracker can find is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.errors import FlameParamsError
from sage_ns.rig import FlameParams, check_plausible
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
NAN, INF = float("nan"), float("inf")


def place(row: int) -> str:
    return f"clip.npz: timestep {10 + row}"


def moved(name: str, value: float, row: int = 1, num_timesteps: int = 20) -> FlameParams:
    """Small motion, in which one row of a field has another value."""
    params = tiny_params(MODEL, num_timesteps, size=0.02)
    field = getattr(params, name).clone()
    field[row, 0] = value
    return replace(params, **{name: field})


@pytest.mark.parametrize("name", ["translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr"])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30, -1e30])
def test_one_absurd_value_is_enough(name: str, value: float) -> None:
    with pytest.raises(FlameParamsError, match=rf"clip\.npz: timestep 11: '{name}': found .*expected"):
        check_plausible(moved(name, value), place)


@pytest.mark.parametrize("name", ["rotation", "neck_pose", "jaw_pose", "eyes_pose"])
def test_degrees_are_recognised_in_a_whole_sequence(name: str) -> None:
    params = tiny_params(MODEL, 20, size=0.15)
    check_plausible(params, place)
    degrees = getattr(params, name) * 180 / torch.pi
    row = int(degrees.unflatten(-1, (-1, 3)).norm(dim=-1).amax(-1).argmax())
    message = rf"timestep {10 + row}: '{name}': found .* rad; these look like degrees: convert to radians"
    with pytest.raises(FlameParamsError, match=message):
        check_plausible(replace(params, **{name: degrees}), place)


def test_a_moment_at_which_the_tracker_lost_the_face_is_left_to_the_limits() -> None:
    check_plausible(moved("jaw_pose", 4.0), place)
    with pytest.raises(FlameParamsError, match="degrees"):
        check_plausible(moved("jaw_pose", 4.0)[1], place)


def test_identity_in_other_units_is_refused() -> None:
    params = tiny_params(MODEL, 2)
    assert params.static_offset is not None
    with pytest.raises(FlameParamsError, match=r"timestep 10: 'static_offset': found .*expected at most 1 in metres"):
        check_plausible(replace(params, static_offset=1000 * params.static_offset), place)
    with pytest.raises(FlameParamsError, match="'shape': found 1e\\+30"):
        check_plausible(replace(params, shape=torch.full_like(params.shape, 1e30)), place)


def test_nothing_of_a_head_far_from_the_origin_is_refused() -> None:
    params = replace(tiny_params(MODEL, 3), translation=torch.full((3, 3), 5.0), rotation=torch.full((3, 3), 1.8))
    check_plausible(params, place)
