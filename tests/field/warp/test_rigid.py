"""The inverse of the skull's motion."""

from __future__ import annotations

import torch

from sage_ns.field.warp.rigid import RigidWarp
from tests.field.warp.moves import numeric_jacobian, turned_head


def test_moved_points_come_back() -> None:
    motion = turned_head(torch.float64)
    canonical = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    posed = canonical @ motion[:3, :3].mT + motion[:3, 3]
    warp = RigidWarp(motion)
    warped = warp(posed)
    torch.testing.assert_close(warped.canonical, canonical)
    assert torch.equal(warped.canonical, warp.places(posed))
    torch.testing.assert_close(warped.jacobian, numeric_jacobian(warp, posed), atol=1e-7, rtol=0)
    assert torch.equal(warp.skull, motion) and not warp.follows_parts


def test_directions_and_gradients_turn_with_the_head() -> None:
    motion = turned_head(torch.float64)
    warped = RigidWarp(motion)(torch.zeros(4, 3, dtype=torch.float64))
    vectors = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turned = vectors @ motion[:3, :3].mT
    torch.testing.assert_close(warped.carried(turned), vectors)
    torch.testing.assert_close(warped.pulled_back(vectors), turned)


def test_no_points_are_no_points() -> None:
    warped = RigidWarp(turned_head())(torch.zeros(0, 3))
    assert warped.canonical.shape == (0, 3) and warped.jacobian.shape == (0, 3, 3)
