"""The blend of the nearest triangles' motions, on the tiny rig."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.field.warp.rig import REACH, RigWarp
from sage_ns.field.warp.rigid import RigidWarp
from sage_ns.geometry.triangles import TriangleFrames, triangle_areas, triangle_frames
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from tests.field.warp.moves import turned_head
from tests.tiny import tiny_head_model


@pytest.fixture(scope="module")
def head_model() -> HeadModel:
    return tiny_head_model()


def posed_vertices(head_model: HeadModel, jaw: float) -> Tensor:
    """The neutral head with a jaw that is open by an angle, radians."""
    params = FlameParams.neutral(head_model)
    params.jaw_pose[:, 0] = jaw
    return pose_vertices(head_model, params)[0]


def frames_of(head_model: HeadModel, vertices: Tensor) -> TriangleFrames:
    return triangle_frames(vertices, head_model.triangles)


def room(vertices: Tensor, count: int = 400) -> Tensor:
    """Points about the mesh, up to centimetres off it, and a few far away."""
    generator = torch.Generator().manual_seed(0)
    points = vertices[torch.randint(len(vertices), (count,), generator=generator)]
    return points + 0.02 * torch.randn(count, 3, generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rig_that_moves_rigidly_is_a_rigid_warp(head_model: HeadModel, dtype: torch.dtype) -> None:
    motion, vertices = turned_head(torch.float64), head_model.v_template.double()
    moved = vertices @ motion[:3, :3].mT + motion[:3, 3]
    warp = RigWarp(frames_of(head_model, moved), frames_of(head_model, vertices), motion)
    points = room(moved).to(dtype)
    found, expected = warp(points), RigidWarp(motion)(points)
    torch.testing.assert_close(found.canonical, expected.canonical, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.jacobian, expected.jacobian, atol=1e-5, rtol=0)
    assert torch.equal(found.canonical, warp.places(points))


def test_what_an_opened_jaw_carries_comes_back(head_model: HeadModel) -> None:
    """To its canonical place, which the skull's motion alone misses by centimetres."""
    closed, opened = posed_vertices(head_model, 0.0), posed_vertices(head_model, 0.5)
    canonical, posed = frames_of(head_model, closed), frames_of(head_model, opened)
    moved = torch.linalg.vector_norm(posed.origin - canonical.origin, dim=-1)
    assert moved.max() > 0.015
    warp = RigWarp(posed, canonical, torch.eye(4))
    error = torch.linalg.vector_norm(warp.places(posed.origin) - canonical.origin, dim=-1)
    assert error.max() < 1e-3
    # off the surface, along the normal
    above = warp.places(posed.origin + 0.002 * posed.normal)
    flat = (triangle_areas(closed, head_model.triangles) > 1e-5) & (moved > 0.01)
    assert flat.any()
    height = ((above - canonical.origin) * canonical.normal).sum(dim=-1)
    torch.testing.assert_close(height[flat], torch.full_like(height[flat], 0.002), atol=1e-3, rtol=0)


def test_far_points_follow_the_skull_and_nothing_tears_on_the_way(head_model: HeadModel) -> None:
    closed, opened = posed_vertices(head_model, 0.0), posed_vertices(head_model, 0.5)
    skull = torch.eye(4)
    skull[1, 3] = 0.01
    posed = frames_of(head_model, opened)
    warp = RigWarp(posed, frames_of(head_model, closed), skull)
    chin = int((posed.origin - frames_of(head_model, closed).origin).norm(dim=-1).argmax())
    heights = torch.linspace(0.0, 0.08, 801)
    points = posed.origin[chin] + heights[:, None] * posed.normal[chin]
    warped = warp(points)
    apart = torch.cdist(points, posed.origin).amin(dim=-1)
    far = apart > REACH
    assert far.any() and torch.equal(warped.jacobian[far], torch.eye(3).expand(int(far.sum()), 3, 3))
    torch.testing.assert_close(warped.canonical[far], points[far] - torch.tensor([0.0, 0.01, 0.0]))
    fading = (apart > 0.019) & (apart < 0.031)
    steps = torch.linalg.vector_norm(warped.canonical.diff(dim=0), dim=-1)
    assert steps[fading[1:]].max() < 0.001, "0.1 mm steps move by no more than the fading adds"


def test_the_jacobian_is_that_of_the_blended_motions(head_model: HeadModel) -> None:
    """Next to a triangle's centre its own motion counts, which is linear: differences agree."""
    closed, opened = posed_vertices(head_model, 0.0).double(), posed_vertices(head_model, 0.5).double()
    posed, canonical = frames_of(head_model, opened), frames_of(head_model, closed)
    found = RigWarp(posed, canonical, torch.eye(4))(posed.origin).jacobian
    own = (canonical.scale / posed.scale).clamp(0.5, 2)[:, None, None] * canonical.rotation @ posed.rotation.mT
    torch.testing.assert_close(found, own, atol=0.02, rtol=0)


def test_folds_change_no_scale_by_more_than_two(head_model: HeadModel) -> None:
    vertices = head_model.v_template
    canonical, posed = frames_of(head_model, vertices), frames_of(head_model, 0.01 * vertices)
    stretched = torch.linalg.det(RigWarp(posed, canonical, torch.eye(4))(posed.origin).jacobian)
    assert bool((stretched < 8.01).all() & (stretched > 0).all())


def test_no_points_are_no_points(head_model: HeadModel) -> None:
    frames = frames_of(head_model, head_model.v_template)
    warped = RigWarp(frames, frames, torch.eye(4))(torch.zeros(0, 3))
    assert warped.canonical.shape == (0, 3) and warped.jacobian.shape == (0, 3, 3)
