"""What stands before an opening mouth though no picture has shown it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.raster import rasterize
from sage_ns.synthetic.head import builtin_head
from sage_ns.training.open_mouth import clear_mouth, filled_pixels
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar


def pictures(avatar: Avatar, front: float) -> Any:
    """One picture from the front, which on the mesh shows what lies farther to the front than this [metres]."""
    view = SimpleNamespace(camera=avatar.front_camera(48, 64))
    return SimpleNamespace(
        look_up=lambda points, *_: SimpleNamespace(seen=points[:, 2] > front),
        views=[view],
    )


def lips_depth(avatar: Avatar) -> float:
    """z of the middle of what is around the mouth, metres."""
    assert avatar.mouth is not None
    frames = avatar.poses.at(avatar.motion.canonical()).frames
    return float(frames.origin[avatar.mouth.around, 2].median())


def test_what_no_picture_shows_around_the_mouth_is_cleared_and_may_come_back() -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=3000)
    assert avatar.mouth is not None
    before = avatar.surfels.opacity_logits.detach().clone()
    filled = filled_pixels(avatar, [avatar.front_camera(48, 64)])
    cleared = clear_mouth(avatar, pictures(avatar, lips_depth(avatar)))
    around = avatar.mouth.around[avatar.surfels.triangle]
    assert int(cleared.sum()) > 0 and bool((cleared <= around).all()), "the mouth's surroundings alone"
    opacity = avatar.surfels.opacity_logits.detach().sigmoid()
    assert float(opacity[cleared].max()) < 0.01
    assert torch.equal(avatar.surfels.opacity_logits.detach()[~cleared], before[~cleared])
    assert float((opacity * (1 - opacity))[cleared].min()) > 1e-3, "sigmoid's slope: pictures can bring them back"
    assert float(filled[cleared].max()) < 0.2 * float(filled[around & ~cleared].median())
    hair = avatar.rig.head_model.regions.triangle_mask("hair", avatar.rig.head_model.triangles)
    assert not bool((cleared & hair[avatar.surfels.triangle]).any())


def test_a_gap_that_pictures_show_stays_though_the_mesh_has_closed_it() -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=3000)
    assert avatar.mouth is not None
    cleared = clear_mouth(avatar, pictures(avatar, lips_depth(avatar)))
    kept = avatar.mouth.around[avatar.surfels.triangle] & ~cleared
    frames = avatar.poses.at(avatar.motion.canonical()).frames
    behind = avatar.surfels.centers(frames)[:, 2] <= lips_depth(avatar)
    assert bool((kept & behind).any()), "drawn in the picture, whatever the mesh says"


def test_filled_pixels_add_up_to_the_picture() -> None:
    avatar = tiny_avatar(tiny_head_model())
    camera = avatar.front_camera(24, 32)
    with torch.no_grad():
        alpha = rasterize(avatar.place(camera.center, avatar.motion.canonical()), camera).alpha
    torch.testing.assert_close(filled_pixels(avatar, [camera, camera]).sum(), 2 * alpha.sum(), rtol=1e-4, atol=0)


def test_what_pictures_show_stays_and_so_does_a_head_without_a_mouth() -> None:
    for head, front in ((builtin_head(), -1.0), (tiny_head_model(), 1.0)):
        avatar = tiny_avatar(head)
        before = avatar.surfels.opacity_logits.detach().clone()
        assert not bool(clear_mouth(avatar, pictures(avatar, front)).any())
        assert torch.equal(avatar.surfels.opacity_logits.detach(), before)
