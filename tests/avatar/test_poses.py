"""Poses of the rig are cached until rig or correction change; those with gradients are never cached."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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
    """Returns the number of its calls as the deformation; None for the head at rest."""

    def __init__(self) -> None:
        self.num_calls = 0

    def at(self, vertices: torch.Tensor, frames: TriangleFrames) -> Any:
        self.num_calls += 1
        return self.num_calls if float(vertices.detach().sum()) != float(MODEL.v_template.sum()) else None


def test_a_pose_equals_that_of_the_rig(poses: Poses) -> None:
    for motion in MOTIONS:
        pose = poses.at(motion)
        torch.testing.assert_close(pose.vertices, poses.rig.vertices(motion), rtol=0, atol=0)
        torch.testing.assert_close(pose.frames.rotation, triangle_frames(pose.vertices, MODEL.triangles).rotation)


def test_a_motion_is_posed_once_whatever_tensor_it_comes_in(poses: Poses, monkeypatch: pytest.MonkeyPatch) -> None:
    first = poses.at(MOTIONS[0])
    monkeypatch.setattr(poses.rig, "vertices", lambda *arguments: pytest.fail("posed again"))
    assert poses.at(MOTIONS[0].clone()) is first
    with torch.no_grad():
        assert poses.at(MOTIONS[0].clone().requires_grad_()) is first


def test_cached_values_carry_no_graph(poses: Poses) -> None:
    correction: Any = CountingCorrection()
    kept = poses.at(MOTIONS[0])
    for _ in range(2):
        pose = poses.at(MOTIONS[0].clone().requires_grad_())
        assert pose is not kept and pose.vertices.requires_grad and pose.frames.rotation.requires_grad
        poses.deformation(pose, correction)
        assert poses.at(MOTIONS[0]) is kept
    assert not (kept.vertices.requires_grad or kept.frames.origin.requires_grad or kept.frames.scale.requires_grad)
    assert correction.num_calls == 2, "a deformation with gradients is not kept"
    assert poses.deformation(kept, correction) == poses.deformation(kept, correction) == 3


def test_a_pose_on_another_template_is_not_kept(poses: Poses) -> None:
    kept, template = poses.at(MOTIONS[0]), 1.1 * MODEL.v_template
    other = poses.at(MOTIONS[0], template)
    assert not torch.equal(other.vertices, kept.vertices) and not other.vertices.requires_grad
    assert poses.at(MOTIONS[0]) is kept
    own = poses.at(MOTIONS[0], poses.rig.v_template)
    torch.testing.assert_close(own.vertices, kept.vertices, rtol=0, atol=0)
    assert poses.at(MOTIONS[0], template.requires_grad_()).frames.scale.requires_grad


def test_a_motion_changed_in_place_is_another_motion(poses: Poses) -> None:
    motion = MOTIONS[0].clone()
    before = poses.at(motion).vertices
    motion[0] += 0.5
    torch.testing.assert_close(poses.at(motion).vertices, before + torch.tensor([0.5, 0.0, 0.0]), rtol=0, atol=1e-6)


def test_the_least_recently_used_are_dropped() -> None:
    poses = Poses(PersonalRig(MODEL, FlameParams.neutral(MODEL)), most_poses=2, most_deformations=1)
    correction: Any = CountingCorrection()
    kept, dropped = poses.at(MOTIONS[0]), poses.at(MOTIONS[1])
    poses.at(MOTIONS[0])
    poses.at(MOTIONS[2])
    assert poses.at(MOTIONS[0]) is kept and poses.at(MOTIONS[1]) is not dropped
    assert [poses.deformation(poses.at(MOTIONS[i]), correction) for i in (0, 0, 1, 0)] == [1, 1, 2, 3]


def test_a_deformation_is_computed_once_even_if_it_is_none(poses: Poses) -> None:
    correction: Any = CountingCorrection()
    neutral = FlameParams.neutral(MODEL).motion_vector()[0]
    for _ in range(2):
        assert poses.deformation(poses.at(neutral), correction) is None
        assert poses.deformation(poses.at(MOTIONS[0]), correction) == 2
    assert correction.num_calls == 2


def test_clear_drops_everything(poses: Poses) -> None:
    correction: Any = CountingCorrection()
    before = poses.at(MOTIONS[0])
    poses.deformation(poses.at(MOTIONS[0]), correction)
    poses.clear()
    assert poses.at(MOTIONS[0]) is not before
    assert poses.deformation(poses.at(MOTIONS[0]), correction) == 2


def test_kept_deformations_are_the_corrections(poses: Poses) -> None:
    """With the real correction: stretched skin moves its surfels, and the second call returns the cached result."""
    neutral = FlameParams.neutral(MODEL).motion_vector()[0]
    rest = poses.at(neutral)
    triangle = torch.arange(len(MODEL.triangles))
    correction = SurfelCorrection(rest.frames.origin, triangle, MODEL, rest.vertices)
    assert poses.deformation(poses.at(neutral), correction) is None
    found, pose = poses.deformation(poses.at(MOTIONS[1]), correction), poses.at(MOTIONS[1])
    direct = correction.at(pose.vertices, pose.frames)
    assert found is not None and direct is not None and poses.deformation(poses.at(MOTIONS[1]), correction) is found
    torch.testing.assert_close(found.target, direct.target, rtol=0, atol=0)
    torch.testing.assert_close(found.squared_stretch, direct.squared_stretch, rtol=0, atol=0)
