"""The similarity that takes points nearest to others."""

from __future__ import annotations

import torch

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.geometry.similarity import rigid_motion, similarity


def test_a_known_similarity_is_found_and_mirrored_points_give_a_rotation() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(9, 3, generator=generator).double()
    turn = axis_angle_to_matrix(torch.tensor([0.4, -1.2, 0.3]).double())
    shift = torch.tensor([0.1, 2.0, -3.0]).double()
    moved = 1.7 * points @ turn.T + shift
    found = similarity(points, moved)
    assert abs(found.scale - 1.7) < 1e-9
    torch.testing.assert_close(found.rotation, turn)
    torch.testing.assert_close(found(points), moved)
    mirrored = similarity(points, moved * torch.tensor([-1.0, 1.0, 1.0]).double())
    assert abs(float(torch.linalg.det(mirrored.rotation)) - 1) < 1e-9


def test_points_of_weight_zero_do_not_count() -> None:
    points = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double()
    moved = points + torch.tensor([0.0, 1.0, 0.0]).double()
    moved[0] += 5.0
    weights = torch.ones(8)
    weights[0] = 0.0
    found = similarity(points, moved, weights)
    torch.testing.assert_close(found(points[1:]), moved[1:])
    assert abs(found.scale - 1) < 1e-9


def test_a_rigid_motion_is_found_and_keeps_sizes() -> None:
    points = torch.randn(9, 3, generator=torch.Generator().manual_seed(2)).double()
    turn = axis_angle_to_matrix(torch.tensor([0.4, -1.2, 0.3]).double())
    shift = torch.tensor([0.1, 2.0, -3.0]).double()
    found = rigid_motion(points, points @ turn.T + shift)
    torch.testing.assert_close(found(points), points @ turn.T + shift)
    grown = rigid_motion(points, 1.7 * points @ turn.T)
    assert grown.scale == 1.0
    torch.testing.assert_close(grown.rotation, turn)
    torch.testing.assert_close(grown(points).mean(dim=0), (1.7 * points @ turn.T).mean(dim=0))
