"""A smooth change of a completed person: what the picture shows moves its surroundings along, and nothing else."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.shot import Shot
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.raster import PinholeCamera
from sage_ns.training.smooth_residual import Nodes, fit_residual
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar


def nodes(num: int = 500) -> tuple[Nodes, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(num, 3, generator=generator)
    labels = (places[:, 0] > 0.5).long()
    return Nodes.on(places, labels, generator), places, labels


def test_constants_stay_constant_and_parts_do_not_mix() -> None:
    found, _, labels = nodes()
    torch.testing.assert_close(found.weight.sum(dim=1), torch.ones(500))
    values = torch.full((found.num_nodes, 2), 3.0)
    torch.testing.assert_close(found.spread(values), torch.full((500, 2), 3.0))
    assert float(found.roughness(values)) == pytest.approx(0.0, abs=1e-9)
    assert float(found.roughness(torch.randn(found.num_nodes, 2))) > 0.3
    assert not set(found.node[labels == 0].unique().tolist()) & set(found.node[labels == 1].unique().tolist())


def test_neighbours_change_alike() -> None:
    found, places, labels = nodes()
    values = torch.randn(found.num_nodes, 1, generator=torch.Generator().manual_seed(1))
    spread = found.spread(values)[:, 0]
    apart = torch.cdist(places, places) + 10.0 * (labels[:, None] != labels[None])
    near = apart.fill_diagonal_(10.0).argmin(dim=1)
    assert (spread - spread[near]).abs().mean() < 0.6 * (spread - spread[torch.randperm(500)]).abs().mean()


def test_a_part_with_one_surfel_has_one_node() -> None:
    found = Nodes.on(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert found.num_nodes == 1 and float(found.spread(torch.tensor([[7.0]]))) == pytest.approx(7.0)


@pytest.fixture
def avatar() -> Avatar:
    avatar = tiny_avatar(tiny_head_model(), 1500)
    with torch.no_grad():
        avatar.surfels.sh_dc.zero_()
        avatar.surfels.sh_rest.zero_()
        avatar.surfels.opacity_logits.fill_(3.0)
    return avatar


def brighter(avatar: Avatar) -> Shot:
    """A picture from the front on which the head is brighter by 0.2."""
    pose = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 1.0]])
    camera = PinholeCamera.from_opengl(pose, 120.0, 120.0, 16.0, 20.0, 32, 40)
    drawn = avatar.draw(camera, avatar.motion.canonical())
    picture = drawn.color + 0.2 * drawn.alpha + (1 - drawn.alpha) * avatar.background
    return Shot(camera, picture.clamp(0, 1), drawn.alpha)


def test_the_picture_changes_what_it_shows_and_what_lies_near(avatar: Avatar) -> None:
    fit_residual(avatar, [brighter(avatar)], 60, seed=0)
    change = C0 * avatar.surfels.sh_dc.detach()[:, 0].mean(dim=-1)
    frames = avatar.poses.at(avatar.motion.canonical()).frames
    front = frames.normal[avatar.surfels.triangle][:, 2]
    shown = change[front > 0.7]
    assert 0.12 < float(shown.mean()) < 0.25
    assert float(change[(front > -0.2) & (front < 0.1)].mean()) > 0.04, "the rim follows"


def test_what_shines_through_from_behind_is_not_asked(avatar: Avatar) -> None:
    with torch.no_grad():
        avatar.surfels.opacity_logits.fill_(0.0)
    fit_residual(avatar, [brighter(avatar)], 40, seed=0)
    change = C0 * avatar.surfels.sh_dc.detach()[:, 0].mean(dim=-1)
    frames = avatar.poses.at(avatar.motion.canonical()).frames
    front = frames.normal[avatar.surfels.triangle][:, 2]
    assert float(change[front > 0.7].mean()) > 3 * float(change[front < -0.7].abs().mean())


def test_no_steps_or_no_pictures_change_nothing(avatar: Avatar) -> None:
    before = {name: value.clone() for name, value in avatar.surfels.state_dict().items()}
    shot = brighter(avatar)
    fit_residual(avatar, [shot], 0, seed=0)
    fit_residual(avatar, [], 10, seed=0)
    for name, value in avatar.surfels.state_dict().items():
        assert torch.equal(value, before[name])
