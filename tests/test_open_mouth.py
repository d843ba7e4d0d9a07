"""What stands before an opening mouth though no picture has shown it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sage_ns.open_mouth import clear_mouth
from sage_ns.rig.builtin import builtin_head
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar


def pictures(shown: bool) -> Any:
    """Show all points or none."""
    return SimpleNamespace(look_up=lambda points, *_: SimpleNamespace(seen=torch.full((len(points),), shown)))


def test_what_no_picture_shows_around_the_mouth_is_cleared_and_may_come_back() -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=3000)
    before = avatar.surfels.opacity_logits.detach().clone()
    cleared = clear_mouth(avatar, pictures(shown=False))
    assert avatar.mouth is not None
    around = avatar.mouth.around[avatar.surfels.triangle]
    assert int(cleared.sum()) > 0 and bool((cleared <= around).all()), "the mouth's surroundings alone"
    opacity = avatar.surfels.opacity_logits.detach().sigmoid()
    assert float(opacity[cleared].max()) < 0.01
    assert torch.equal(avatar.surfels.opacity_logits.detach()[~cleared], before[~cleared])
    assert float((opacity * (1 - opacity))[cleared].min()) > 1e-3, "sigmoid's slope: pictures can bring them back"


def test_cleared_surfels_have_no_hair() -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=3000)
    hair = avatar.rig.head_model.regions.triangle_mask("hair", avatar.rig.head_model.triangles)
    assert not bool((clear_mouth(avatar, pictures(shown=False)) & hair[avatar.surfels.triangle]).any())


@pytest.mark.parametrize(("head", "shown"), [(builtin_head, True), (tiny_head_model, False)])
def test_what_pictures_show_stays_and_so_does_a_head_without_a_mouth(head: Any, shown: bool) -> None:
    avatar = tiny_avatar(head())
    before = avatar.surfels.opacity_logits.detach().clone()
    assert not bool(clear_mouth(avatar, pictures(shown)).any())
    assert torch.equal(avatar.surfels.opacity_logits.detach(), before)
