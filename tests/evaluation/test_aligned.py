"""Alignment of the head: a known shift is found, nothing moves without need, and steps are bounded."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.shot import Shot
from sage_ns.evaluation.aligned import LARGEST_SHIFT, LARGEST_TURN, aligned, moved_motion
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import orbit
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

ZERO = torch.zeros(3)


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    """Opaque surfels in colours that change over the head."""
    avatar = tiny_avatar(tiny_head_model(), num_surfels=800)
    with torch.no_grad():
        avatar.surfels.opacity_logits.fill_(3.0)
        avatar.surfels.log_scales.clamp_(min=-1.5)
        places = avatar.surfels.centers(avatar.poses.at(avatar.motion.canonical()).frames)
        avatar.surfels.sh_dc.copy_(
            (40.0 * places[:, None] + torch.tensor([0.0, 2.0, 4.0])).sin().reshape_as(avatar.surfels.sh_dc)
        )
        avatar.surfels.sh_rest.zero_()
    avatar.invalidate()
    return avatar


@pytest.fixture(scope="module")
def cameras(avatar: Avatar) -> list[PinholeCamera]:
    middle = avatar.rig.vertices(avatar.motion.canonical()).mean(dim=0)
    front = avatar.front_camera(48, 60)
    return [orbit(front, middle, angle) for angle in (-0.6, 0.0, 0.6)]


def shots(avatar: Avatar, cameras: list[PinholeCamera], motion: Tensor, with_mask: bool = True) -> list[Shot]:
    """What the cameras see of the avatar under ``motion``."""
    made = []
    for camera in cameras:
        buffers = avatar.draw(camera, motion)
        picture = buffers.composite(avatar.background).clamp(0, 1).detach()
        made.append(Shot(camera, picture, buffers.alpha.detach() if with_mask else None))
    return made


def test_moved_motion_is_a_rigid_body_about_the_middle_of_the_head(avatar: Avatar) -> None:
    motion = avatar.motion.motion[-1]
    turn, shift = torch.tensor([0.05, -0.1, 0.2]), torch.tensor([0.01, 0.0, -0.02])
    before, after = avatar.rig.vertices(motion), avatar.rig.vertices(moved_motion(avatar, motion, turn, shift))
    middle = before.mean(dim=0)
    expected = (before - middle) @ axis_angle_to_matrix(turn).T + middle + shift
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(moved_motion(avatar, motion, ZERO, ZERO), motion, rtol=0, atol=1e-6)


@pytest.mark.parametrize("with_mask", [True, False])
def test_a_known_shift_of_the_head_is_found(avatar: Avatar, cameras: list[PinholeCamera], with_mask: bool) -> None:
    motion = avatar.motion.canonical()
    turn, shift = torch.tensor([0.01, 0.02, -0.01]), torch.tensor([0.002, -0.001, 0.0015])
    true = moved_motion(avatar, motion, turn, shift)
    found = aligned(avatar, motion, shots(avatar, cameras, true, with_mask))
    assert float((found.shift - shift).norm()) < 3e-4 and float((found.turn - turn).norm()) < 4e-3
    after, wanted = (avatar.rig.vertices(each) for each in (found.motion, true))
    assert float((after - wanted).norm(dim=-1).max()) < 6e-4


def test_a_head_in_place_stays_there(avatar: Avatar, cameras: list[PinholeCamera]) -> None:
    motion = avatar.motion.canonical()
    found = aligned(avatar, motion, shots(avatar, cameras, motion))
    assert torch.equal(found.motion, motion) and not bool(found.shift.any()) and not bool(found.turn.any())


def test_the_error_never_grows_and_the_same_call_gives_the_same_result(
    avatar: Avatar, cameras: list[PinholeCamera]
) -> None:
    """Pictures that have nothing to do with the head: random colours."""
    motion = avatar.motion.canonical()
    generator = torch.Generator().manual_seed(1)
    noise = [Shot(camera, torch.rand(camera.height, camera.width, 3, generator=generator)) for camera in cameras]

    def error(moved: Tensor) -> float:
        drawn = [avatar.draw(shot.camera, moved).composite(avatar.background).clamp(0, 1) for shot in noise]
        size = torch.stack([picture - shot.picture for picture, shot in zip(drawn, noise, strict=True)]).abs()
        return float(torch.where(size < 0.05, size.square() / 2, 0.05 * (size - 0.025)).double().sum())

    found, again = aligned(avatar, motion, noise), aligned(avatar, motion, noise)
    assert torch.equal(found.motion, again.motion)
    assert error(found.motion) <= error(motion)
    assert float(found.shift.norm()) <= LARGEST_SHIFT + 1e-7 and float(found.turn.norm()) <= LARGEST_TURN + 1e-6


def test_a_head_far_away_is_followed_only_to_the_bounds(avatar: Avatar, cameras: list[PinholeCamera]) -> None:
    motion = avatar.motion.canonical()
    far = moved_motion(avatar, motion, torch.tensor([0.0, math.radians(2.0), 0.0]), torch.tensor([0.015, 0.0, 0.0]))
    found = aligned(avatar, motion, shots(avatar, cameras, far))
    assert float(found.shift.norm()) == pytest.approx(LARGEST_SHIFT, rel=0.05) and float(found.shift[0]) > 0


def test_what_no_pixel_shows_does_not_move(avatar: Avatar, cameras: list[PinholeCamera]) -> None:
    motion = avatar.motion.canonical()
    white = torch.ones(60, 48, 3)
    found = aligned(avatar, motion, [Shot(cameras[0], white, torch.zeros(60, 48, 1))])
    assert torch.equal(found.motion, motion)


def test_gradients_are_not_needed_and_the_avatar_stays_as_it_is(avatar: Avatar, cameras: list[PinholeCamera]) -> None:
    motion = avatar.motion.canonical().clone()
    before = {name: value.clone() for name, value in avatar.state_dict().items()}
    aligned(avatar, motion, shots(avatar, cameras, moved_motion(avatar, motion, ZERO, torch.tensor([1e-3, 0, 0]))))
    assert all(torch.equal(value, before[name]) for name, value in avatar.state_dict().items())
    assert all(parameter.grad is None for parameter in avatar.parameters())
