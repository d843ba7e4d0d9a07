"""Rigid motions and their inverses."""

from __future__ import annotations

import torch

from sage_ns.geometry.rigid import moved_points, rigid_inverse, turned
from sage_ns.geometry.rotations import axis_angle_to_matrix


def motions(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    made = torch.eye(4).repeat(count, 1, 1)
    made[:, :3, :3] = axis_angle_to_matrix(torch.randn(count, 3, generator=generator))
    made[:, :3, 3] = torch.randn(count, 3, generator=generator)
    return made


def test_inverses_undo_motions() -> None:
    made = motions(5)
    torch.testing.assert_close(rigid_inverse(made) @ made, torch.eye(4).repeat(5, 1, 1), atol=1e-6, rtol=0)
    points = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    back = moved_points(rigid_inverse(made[0]), moved_points(made[0], points))
    torch.testing.assert_close(back, points, atol=1e-6, rtol=0)


def test_vectors_turn_and_do_not_move() -> None:
    motion, points = motions(1)[0], torch.randn(7, 3, dtype=torch.float64)
    difference = moved_points(motion, points) - moved_points(motion, torch.zeros_like(points))
    torch.testing.assert_close(turned(motion, points), difference)
    assert turned(motion, points).dtype == torch.float64
