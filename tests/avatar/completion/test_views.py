"""Pseudo views rendered from an avatar: they show what it shows, and are silent where a picture shows it."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.completion.views import YAWS, Silence, rendered_views
from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar


def camera(sign: float = 1.0) -> PinholeCamera:
    """One metre before the head, or behind it."""
    pose = torch.tensor([[sign, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, sign, sign]])
    return PinholeCamera.from_opengl(pose, 150.0, 150.0, 24.0, 30.0, 48, 60)


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    avatar = tiny_avatar(tiny_head_model(), 3000)
    with torch.no_grad():
        avatar.surfels.opacity_logits.fill_(5.0)
    return avatar


def shot(avatar: Avatar, mask: float = 1.0) -> Shot:
    drawn = avatar.draw(camera(), avatar.motion.canonical())
    return Shot(camera(), drawn.composite(avatar.background), mask * drawn.alpha)


def test_views_are_the_avatar_from_all_around(avatar: Avatar) -> None:
    views = rendered_views(avatar, [shot(avatar)], weight=0.2)
    assert len(views) == len(YAWS) and all(view.weight == 0.2 and view.is_pseudo for view in views)
    view = views[-1]  # from behind
    again = avatar.draw(view.camera, avatar.motion.canonical())
    torch.testing.assert_close(view.picture, again.composite(avatar.background).clamp(0, 1))
    assert view.mask is not None
    torch.testing.assert_close(view.mask, again.alpha)


def test_they_are_silent_where_the_picture_shows_the_head(avatar: Avatar) -> None:
    silence = Silence(avatar, [shot(avatar)])
    inner = slice(22, 38), slice(18, 30)
    assert float(silence.confidence(camera())[inner].mean()) < 0.15
    assert float(silence.confidence(camera(-1.0))[inner].min()) == 1.0
    beside = silence.confidence(camera())[:3]
    assert float(beside.min()) == 1.0, "beside the head there is nothing to show"


def test_where_the_mask_hides_the_picture_they_count(avatar: Avatar) -> None:
    assert float(Silence(avatar, [shot(avatar, mask=0.0)]).confidence(camera()).min()) == 1.0
