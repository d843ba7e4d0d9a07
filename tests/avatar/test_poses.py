"""Poses of the rig are made once, kept while they are asked for, and forgotten when rig or correction change."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sage_ns.avatar import poses as module
from sage_ns.avatar.correction import SurfelCorrection
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.poses import Poses
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
MOTIONS = tiny_params(MODEL, 5).motion_vector()


@pytest.fixture
def poses() -> Poses:
    return Poses(PersonalRig(MODEL, FlameParams.neutral(MODEL)))


class CountingCorrection:
    """Says how often it was asked, as what a motion does to the surfels."""

    def __init__(self) -> None:
        self.asked = 0

    def at(self, vertices: torch.Tensor, frames: TriangleFrames) -> Any:
        self.asked += 1
        return self.asked if float(vertices.sum()) != float(MODEL.v_template.sum()) else None


def test_a_pose_is_the_rigs(poses: Poses) -> None:
    for motion in MOTIONS:
        pose = poses.at(motion)
        torch.testing.assert_close(pose.vertices, poses.rig.vertices(motion), rtol=0, atol=0)
        torch.testing.assert_close(pose.frames.rotation, triangle_frames(pose.vertices, MODEL.triangles).rotation)


def test_a_motion_is_posed_once_whatever_tensor_it_comes_in(poses: Poses, monkeypatch: pytest.MonkeyPatch) -> None:
    first = poses.at(MOTIONS[0])
    monkeypatch.setattr(poses.rig, "vertices", lambda motion: pytest.fail("posed again"))
    assert poses.at(MOTIONS[0].clone().requires_grad_()) is first
    assert not first.vertices.requires_grad


def test_a_motion_changed_in_place_is_another_motion(poses: Poses) -> None:
    motion = MOTIONS[0].clone()
    before = poses.at(motion).vertices
    motion[0] += 0.5
    torch.testing.assert_close(poses.at(motion).vertices, before + torch.tensor([0.5, 0.0, 0.0]), rtol=0, atol=1e-6)


def test_those_asked_for_longest_ago_are_dropped(poses: Poses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    monkeypatch.setattr(module, "_KEPT_DEFORMATIONS", 1)
    correction: Any = CountingCorrection()
    kept, dropped = poses.at(MOTIONS[0]), poses.at(MOTIONS[1])
    poses.at(MOTIONS[0])
    poses.at(MOTIONS[2])
    assert poses.at(MOTIONS[0]) is kept and poses.at(MOTIONS[1]) is not dropped
    assert [poses.deformation(MOTIONS[i], correction) for i in (0, 0, 1, 0)] == [1, 1, 2, 3]
    assert len(poses._poses) == 2 and len(poses._deformations) == 1


def test_what_a_motion_does_to_surfels_is_found_once_even_if_that_is_nothing(poses: Poses) -> None:
    correction: Any = CountingCorrection()
    neutral = FlameParams.neutral(MODEL).motion_vector()[0]
    for _ in range(2):
        assert poses.deformation(neutral, correction) is None
        assert poses.deformation(MOTIONS[0], correction) == 2
    assert correction.asked == 2


def test_all_is_forgotten_when_told(poses: Poses) -> None:
    correction: Any = CountingCorrection()
    before = poses.at(MOTIONS[0])
    poses.deformation(MOTIONS[0], correction)
    poses.clear()
    assert poses.at(MOTIONS[0]) is not before
    assert poses.deformation(MOTIONS[0], correction) == 2


def test_kept_deformations_are_the_corrections(poses: Poses) -> None:
    """The real correction: stretched skin moves its surfels, and the second time from memory."""
    neutral = FlameParams.neutral(MODEL).motion_vector()[0]
    rest = poses.at(neutral)
    triangle = torch.arange(len(MODEL.triangles))
    correction = SurfelCorrection(rest.frames.origin, triangle, MODEL, rest.vertices)
    assert poses.deformation(neutral, correction) is None
    found, pose = poses.deformation(MOTIONS[1], correction), poses.at(MOTIONS[1])
    direct = correction.at(pose.vertices, pose.frames)
    assert found is not None and direct is not None and poses.deformation(MOTIONS[1], correction) is found
    torch.testing.assert_close(found.target, direct.target, rtol=0, atol=0)
    torch.testing.assert_close(found.squared_stretch, direct.squared_stretch, rtol=0, atol=0)
