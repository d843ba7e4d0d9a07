"""Corrections of the tracked head, one for each moment: where they put surfels, and what pulls at them."""

from __future__ import annotations

import math

import pytest
import torch

from sage_ns.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix
from sage_ns.raster import PinholeCamera, Surfels
from sage_ns.training.frame_poses import FramePoses, edge_sharpness

CENTER = torch.tensor([0.01, 0.02, -0.03])


def surfels(count: int = 5) -> Surfels:
    generator = torch.Generator().manual_seed(0)
    quaternions = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=-1)
    means = 0.05 * torch.randn(count, 3, generator=generator)
    return Surfels(means, quaternions, torch.full((count, 2), 0.01), torch.ones(count), torch.rand(count, 3))


def poses(twist: list[float]) -> FramePoses:
    """Two moments with opposite corrections: their mean is zero."""
    made = FramePoses(2)
    with torch.no_grad():
        made.twist[0] = torch.tensor(twist)
        made.twist[1] = -torch.tensor(twist)
    return made


def test_a_unit_is_a_degree_or_a_millimetre() -> None:
    moved = poses([0.0, 2.0, 0.0, 0.0, 0.0, 3.0]).moved(surfels(), 0, CENTER, torch.ones(5))
    rotation = axis_angle_to_matrix(torch.tensor([0.0, math.radians(2.0), 0.0]))
    expected = (surfels().means - CENTER) @ rotation.T + CENTER + torch.tensor([0.0, 0.0, 0.003])
    torch.testing.assert_close(moved.means.detach(), expected)
    turned = rotation @ quaternion_to_matrix(surfels().quaternions)
    torch.testing.assert_close(quaternion_to_matrix(moved.quaternions), turned)


def test_what_all_moments_share_moves_nothing() -> None:
    made = FramePoses(3)
    with torch.no_grad():
        made.twist[:] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    torch.testing.assert_close(made.moved(surfels(), 1, CENTER, torch.ones(5)).means.detach(), surfels().means)
    assert float(made.penalty(1).detach()) == pytest.approx(0.0, abs=1e-9)


def test_only_edges_pull_at_the_correction_and_all_surfels_learn() -> None:
    made, given = poses([0.1] * 6), surfels()
    given.means.requires_grad_(True)
    sharp = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    made.moved(given, 0, CENTER, sharp).means[1:].sum().backward()
    assert made.twist.grad is not None and not made.twist.grad.any()
    assert given.means.grad is not None and (given.means.grad[1:].abs().sum(dim=-1) > 0).all()
    made.moved(given, 0, CENTER, sharp).means[0].sum().backward()
    torch.testing.assert_close(made.twist.grad[0, 3:], torch.full((3,), 0.001))
    assert not made.twist.grad[1].any()


def test_gradients_against_finite_differences() -> None:
    made = poses([0.3, -0.2, 0.1, 0.5, 0.4, -0.6]).double()
    given = surfels().to(dtype=torch.float64)
    weights = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).double()

    means = made.moved(given, 0, CENTER.double(), torch.ones(5).double()).means
    (weights * means).sum().backward()
    assert made.twist.grad is not None
    for index in range(6):
        ends = []
        for step in (1e-5, -1e-5):
            shifted = poses([0.0] * 6).double()
            with torch.no_grad():
                shifted.twist[:] = made.twist
                shifted.twist[0, index] += step
                shifted.twist[1, index] -= step  # keeps the mean
            ends.append((weights * shifted.moved(given, 0, CENTER.double(), torch.ones(5).double()).means).sum())
        assert float(made.twist.grad[0, index]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-9)


def test_edges_are_where_brightness_changes() -> None:
    pose = torch.eye(4)[:3].clone()
    pose[2, 3] = 1.0
    camera = PinholeCamera.from_opengl(pose, 100.0, 100.0, 10.0, 10.0, 20, 20)
    picture = torch.zeros(20, 20, 3)
    picture[:, 10:] = 1.0
    means = torch.tensor([[0.0, 0.0, 0.0], [0.06, 0.0, 0.0], [-0.06, 0.0, 0.0], [2.0, 0.0, 0.0]])
    count = len(means)
    given = Surfels(means, torch.ones(count, 4), torch.ones(count, 2), torch.ones(count), torch.ones(count, 3))
    assert edge_sharpness(given, camera, picture).tolist() == [1.0, 0.0, 0.0, 0.0]
