"""What stands before an opening mouth though no picture has shown it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.evidence import pixels_filled
from sage_ns.geometry.mesh_queries import first_triangles
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.training.open_mouth import OpenMouth, clear_mouth
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
    filled = pixels_filled(avatar, avatar.front_camera(48, 64), avatar.motion.canonical())
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


def test_what_pictures_show_stays_and_so_does_a_head_without_a_mouth() -> None:
    for head, front in ((builtin_head(), -1.0), (tiny_head_model(), 1.0)):
        avatar = tiny_avatar(head)
        before = avatar.surfels.opacity_logits.detach().clone()
        assert not bool(clear_mouth(avatar, pictures(avatar, front)).any())
        assert torch.equal(avatar.surfels.opacity_logits.detach(), before)


def looking_in(avatar: Avatar, opening: float) -> tuple[OpenMouth, torch.Tensor]:
    """What looks into a mouth, made at rest, and a motion whose jaw is this open [radians]."""
    assert avatar.mouth is not None
    rest = avatar.motion.canonical()
    look = OpenMouth(avatar.mouth, avatar.rig, rest)
    motion = rest.clone()
    motion[FlameParams.JAW] = torch.tensor([opening, 0.0, 0.0])
    return look, motion


def test_an_open_mouth_is_looked_into_where_rays_meet_its_inside_before_any_skin() -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=500)
    look, motion = looking_in(avatar, 0.4)
    camera, vertices = avatar.front_camera(48, 64), avatar.poses.at(motion).vertices
    found = look(motion, vertices, camera, 1, torch.ones(3))
    assert found.valid.all() and len(found.pixel) > 5
    triangles, mouth = avatar.rig.head_model.triangles, look.mouth
    both = torch.cat([triangles, mouth.rig.head_model.triangles + len(vertices)])
    origins, directions = (rays.reshape(-1, 3) for rays in pixel_rays(camera))
    met = first_triangles(torch.cat([vertices, mouth.vertices(motion)]), both, origins, directions)
    assert torch.equal(found.pixel, (met >= len(triangles)).nonzero()[:, 0])


def test_a_device_casts_rays_through_all_pixels_and_means_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=500)
    look, motion = looking_in(avatar, 0.4)
    camera, vertices = avatar.front_camera(48, 64), avatar.poses.at(motion).vertices
    compact = look(motion, vertices, camera, 2, torch.ones(3))
    monkeypatch.setattr("sage_ns.training.open_mouth._pixels_around", lambda *_: torch.arange(48 * 64))
    monkeypatch.setattr("sage_ns.training.open_mouth.kept_rows", lambda valid: slice(None))
    whole = look(motion, vertices, camera, 2, torch.ones(3))
    assert len(whole.pixel) == 48 * 64
    assert torch.equal(whole.pixel[whole.valid], compact.pixel)
    assert torch.equal(whole.color[whole.valid], compact.color)
