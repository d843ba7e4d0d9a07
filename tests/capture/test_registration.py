"""Views of a canonical head made of pictures of other moments."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sage_ns.capture.registration import Registration, moved, spread_views
from sage_ns.capture.shot import Shot
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, pose_vertices
from tests.tiny import tiny_head_model

MODEL = tiny_head_model()
REST = FlameParams.neutral(MODEL)


def camera(width: int = 40, height: int = 50) -> PinholeCamera:
    """A metre in front of the head."""
    pose = torch.eye(4)[:3].clone()
    pose[2, 3] = 1.0
    return PinholeCamera.from_opengl(pose, 150.0, 150.0, width / 2, height / 2, width, height)


def turned(angle: float, jaw: float = 0.0) -> FlameParams:
    return replace(REST, neck_pose=torch.tensor([[0.0, angle, 0.0]]), jaw_pose=torch.tensor([[jaw, 0.0, 0.0]]))


def picture(at: PinholeCamera) -> Shot:
    generator = torch.Generator().manual_seed(0)
    return Shot(at, torch.rand(at.height, at.width, 3, generator=generator), torch.ones(at.height, at.width, 1))


def on_skull() -> Tensor:
    return MODEL.skinning_weights[:, 1] == 1


def test_a_turned_head_is_a_camera_that_moved_the_other_way() -> None:
    params = turned(0.6)
    there = camera()
    view = Registration(replace(MODEL, pose_basis=torch.zeros(36, 54 * 3)), REST).view(picture(there), params)
    model = replace(MODEL, pose_basis=torch.zeros(36, 54 * 3))
    posed, rest = (pose_vertices(model, each)[0][on_skull()] for each in (params, REST))
    torch.testing.assert_close(project(rest, view.camera).pixels, project(posed, there).pixels, atol=1e-3, rtol=0)
    assert view.motion is None and view.skull is not None
    # The head turns to its left (+x): seen from the head, the camera is at its right.
    assert view.camera.center[0] < -0.4
    torch.testing.assert_close(view.skull[:3, :3], axis_angle_to_matrix(torch.tensor([0.0, 0.6, 0.0])))


def test_a_jaw_that_opens_is_not_steady_and_nothing_close_to_it_is() -> None:
    there = camera()
    registration = Registration(replace(MODEL, pose_basis=torch.zeros(36, 54 * 3)), REST)
    assert registration.steady_pixels(there, turned(0.4))[:26].mean() == 1  # all but the neck, which turns less
    steady = registration.steady_pixels(there, turned(0.4, jaw=0.3))[..., 0]
    below, above = steady[30:40, 15:25], steady[8:18, 15:25]
    assert below.mean() < 0.3 and above.mean() > 0.95


def test_the_canonical_moment_itself_is_steady_everywhere() -> None:
    assert bool((Registration(MODEL, REST).steady_pixels(camera(), REST) == 1).all())


def test_views_are_spread_over_directions() -> None:
    angles = torch.deg2rad(torch.tensor([0.0, 3.0, 40.0, 43.0, -60.0, 5.0]))
    centers = torch.stack([angles.sin(), torch.zeros(6), angles.cos()], dim=-1)
    assert spread_views(centers, torch.zeros(3), 1, 3) == (0, 4, 3)
    assert spread_views(centers, torch.zeros(3), 1, 6) == (0, 4, 3)  # the others are within ten degrees of these
    assert spread_views(centers, torch.zeros(3), 2, 6) == (0, 1, 4, 3)


def test_a_camera_before_a_motion_sees_what_it_sees_afterwards() -> None:
    motion = torch.eye(4)
    motion[:3, :3] = axis_angle_to_matrix(torch.tensor([0.1, 0.2, 0.3]))
    motion[:3, 3] = torch.tensor([0.01, 0.02, 0.03])
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)) * 0.05
    after = points @ motion[:3, :3].T + motion[:3, 3]
    torch.testing.assert_close(project(points, moved(camera(), motion)).pixels, project(after, camera()).pixels)
