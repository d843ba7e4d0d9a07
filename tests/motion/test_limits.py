"""Limits of motion: what is clamped with a note, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.errors import FlameParamsError
from sage_ns.motion.limits import bounded, check_motion, within_limits
from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model(num_expression=6)


def test_motion_is_clamped_to_the_limits() -> None:
    motion = replace(tiny_params(MODEL, 4, 0), jaw_pose=torch.tensor([[1.4, 0.0, 0.0]]).expand(4, 3))
    clamped, notes = within_limits(motion, MODEL)
    assert float(clamped.jaw_pose[:, 0].max()) == pytest.approx(0.6)
    for name in ("translation", "rotation", "expr"):
        assert torch.equal(getattr(clamped, name), getattr(motion, name))
    assert any("Clamped jaw_pose of 4 of 4 moments" in note for note in notes)
    small = tiny_params(MODEL, 4, size=0.02)
    unchanged, notes = within_limits(small, MODEL)
    assert not notes and torch.equal(unchanged.motion_vector(), small.motion_vector())


def test_bounded_motion_fits_and_says_what_was_clamped_once() -> None:
    params = tiny_params(MODEL, 4, size=0.02)
    params.jaw_pose[2, 0] = 1.4
    motion = Motion.of(replace(params, expr=params.expr[:, :3]), Path("driver.npz"), notes=("lost a frame",))
    found = bounded(motion, MODEL)
    assert found.params.expr.shape == (4, 6) and float(found.params.jaw_pose[2, 0]) == pytest.approx(0.6)
    assert found.notes[0] == "lost a frame" and "Clamped jaw_pose of 1 of 4 moments (found 1.4" in found.notes[1]
    assert bounded(found, MODEL).notes == found.notes


def test_impossible_motion_is_refused_with_source_and_timestep() -> None:
    params = tiny_params(MODEL, 4, size=0.02)
    degrees = Motion.of(replace(params, jaw_pose=params.jaw_pose * 0 + 14.0), "a.npz", torch.tensor([7, 8, 9, 12]))
    with pytest.raises(
        FlameParamsError, match=r"a\.npz: timestep 7: 'jaw_pose': found 14 rad; these look like degrees"
    ):
        check_motion(degrees)
    with pytest.raises(FlameParamsError, match="convert to radians"):
        bounded(degrees, MODEL)


def test_the_position_of_a_head_has_no_limits() -> None:
    params = replace(tiny_params(MODEL, 2, size=0.02), rotation=torch.full((2, 3), 1.7))
    clamped, notes = within_limits(params, MODEL)
    assert not notes and torch.equal(clamped.rotation, params.rotation)
    assert isinstance(clamped, FlameParams)
