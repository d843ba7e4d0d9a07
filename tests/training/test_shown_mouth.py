"""Teeth in the picture: their brightness is taken, and neither skin nor lips are fitted to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.shot import Shot
from sage_ns.raster import rasterize
from sage_ns.raster.supersampling import averaged, enlarged
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.training.shown_mouth import TEETH, MouthPixels, light_teeth
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar


def open_avatar(opening: float) -> Avatar:
    """An avatar whose jaw is this open at the canonical moment, radians."""
    avatar = tiny_avatar(builtin_head())
    with torch.no_grad():
        avatar.motion.motion[1, FlameParams.JAW] = torch.tensor([opening, 0.0, 0.0])
        avatar.motion.motion[1, FlameParams.EXPRESSION] = 0.0
    return avatar


def picture_of(avatar: Avatar, factor: float) -> Shot:
    """A picture of the mouth alone, its colours times a factor; skin is background."""
    assert avatar.mouth is not None
    camera = avatar.front_camera(96, 128)
    buffers = rasterize(avatar.mouth.place(avatar.motion.canonical(), camera.center), enlarged(camera, 2))
    color, alpha = averaged(buffers.color, 2), averaged(buffers.alpha, 2)
    picture = (factor * color + (1 - alpha) * avatar.background).detach().clamp(0.0, 1.0)
    return Shot(camera, picture, torch.ones(128, 96, 1))


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_teeth_get_the_brightness_that_the_picture_shows(factor: float) -> None:
    avatar = open_avatar(0.35)
    assert avatar.mouth is not None
    before = avatar.mouth.surfels.sh_dc.clone()
    gain = light_teeth(avatar, [picture_of(avatar, factor)])
    assert gain is not None
    torch.testing.assert_close(gain, torch.full((3,), factor), atol=0.05, rtol=0)
    model = avatar.mouth.rig.head_model
    masks = [model.regions.triangle_mask(name, model.triangles) for name in TEETH]
    teeth = torch.stack(masks).any(dim=0)[avatar.mouth.surfels.triangle]
    changed = (avatar.mouth.surfels.sh_dc != before).any(dim=-1)[:, 0]
    assert torch.equal(changed, teeth) and bool(teeth.any())


def test_without_shown_teeth_nothing_changes() -> None:
    closed = open_avatar(0.0)
    assert light_teeth(closed, [picture_of(closed, 1.3)]) is None
    avatar = open_avatar(0.35)
    shot = picture_of(avatar, 1.0)
    lips = replace(shot, picture=torch.tensor([0.7, 0.2, 0.2]).expand(128, 96, 3))
    hidden = replace(shot, steady=torch.zeros(128, 96, 1))
    for views in ([], [lips], [hidden]):
        assert light_teeth(avatar, views) is None
    assert light_teeth(tiny_avatar(tiny_head_model()), [shot]) is None


def test_pixels_that_look_into_the_mouth_do_not_count() -> None:
    avatar = open_avatar(0.35)
    assert avatar.mouth is not None
    motion = avatar.motion.canonical()
    pixels = MouthPixels(avatar.mouth, avatar.rig, motion)
    shot = replace(picture_of(avatar, 1.0), index=0)
    left = pixels.left_out(shot)
    assert left.confidence is not None and left.steady is not None
    inside = left.confidence[..., 0] == 0
    assert 10 < int(inside.sum()) < 0.05 * inside.numel()
    assert torch.equal(left.steady, left.confidence)
    assert bool((shot.picture[inside] != avatar.background).any(dim=-1).float().mean() > 0.9)
    half = torch.zeros(128, 96, 1)
    assert not bool(pixels.left_out(replace(shot, steady=half)).steady.any())  # type: ignore[union-attr]
    assert pixels.left_out(shot).confidence is left.confidence, "found once for every picture"
    for other in (replace(shot, is_pseudo=True), replace(shot, motion=motion), replace(shot, skull=torch.eye(4))):
        assert pixels.left_out(other) is other
