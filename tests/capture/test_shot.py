"""A shot: which moment it is of, and what its missing parts stand for."""

from __future__ import annotations

import torch

from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera


def camera() -> PinholeCamera:
    return PinholeCamera.from_opengl(torch.eye(4), 10.0, 10.0, 2.0, 3.0, 4, 6)


def test_a_shot_without_motion_is_of_the_canonical_moment():
    picture = torch.rand(6, 4, 3)
    assert Shot(camera(), picture).is_canonical
    assert not Shot(camera(), picture, motion=torch.zeros(20)).is_canonical
    assert Shot(camera(), picture).weight == 1.0


def test_a_shot_without_a_mask_is_foreground_everywhere():
    picture = torch.rand(6, 4, 3)
    assert torch.equal(Shot(camera(), picture).foreground, torch.ones(6, 4, 1))
    mask = torch.rand(6, 4, 1)
    assert torch.equal(Shot(camera(), picture, mask).foreground, mask)


def test_moving_a_shot_moves_all_of_it():
    shot = Shot(camera(), torch.rand(6, 4, 3), torch.rand(6, 4, 1), torch.zeros(20), weight=0.3).to("cpu")
    assert shot.weight == 0.3 and shot.motion is not None and shot.mask is not None
