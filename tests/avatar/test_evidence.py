"""What pictures show of surfels, and where the colours of the others come from."""

from __future__ import annotations

from dataclasses import replace

import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.evidence import SEEN, evidence, nearest_seen, part_labels, pixels_filled, seen_and_guessed
from sage_ns.raster import rasterize
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar


def avatar_of_tiny_head() -> Avatar:
    avatar = tiny_avatar(tiny_head_model())
    avatar.look = replace(avatar.look, wrinkles=0.0)
    return avatar


def test_the_pixels_that_surfels_fill_add_up_to_the_coverage() -> None:
    avatar = avatar_of_tiny_head()
    camera, motion = avatar.front_camera(40, 50), avatar.motion.canonical()
    filled = pixels_filled(avatar, camera, motion)
    alpha = rasterize(avatar.place(camera.center, motion), camera).alpha
    torch.testing.assert_close(filled.sum(), alpha.sum().detach(), rtol=1e-4, atol=1e-3)
    assert (filled >= 0).all()


def test_a_picture_from_the_front_does_not_show_the_back() -> None:
    avatar = avatar_of_tiny_head()
    avatar.evidence = evidence(avatar, [avatar.front_camera(60, 80)])
    facing = avatar.poses.at(avatar.motion.canonical()).frames.normal[avatar.surfels.triangle][:, 2]
    guessed = avatar.guessed()
    assert guessed[facing < -0.7].float().mean() > 0.95
    assert guessed[facing > 0.7].float().mean() < 0.2
    assert torch.equal(guessed, avatar.evidence < SEEN)


def test_pixels_are_seen_or_guessed_or_beside_the_head() -> None:
    avatar = avatar_of_tiny_head()
    camera, motion = avatar.front_camera(60, 80), avatar.motion.canonical()
    avatar.evidence = torch.ones(avatar.surfels.num_surfels)
    covered = rasterize(avatar.place(camera.center, motion), camera).alpha[..., 0] > 0.5
    seen, guessed = seen_and_guessed(avatar, camera, motion)
    assert torch.equal(seen, covered) and not guessed.any()
    avatar.evidence = torch.where(avatar.surfels.centers(avatar.poses.at(motion).frames)[:, 0] > 0, 1.0, 0.0)
    seen, guessed = seen_and_guessed(avatar, camera, motion)
    assert torch.equal(seen | guessed, covered) and not (seen & guessed).any()
    assert seen[:, 36:].sum() > 5 * seen[:, :24].sum() and guessed[:, :24].sum() > 5 * guessed[:, 36:].sum()


def test_guesses_are_marked_on_demand() -> None:
    avatar = avatar_of_tiny_head()
    avatar.evidence = torch.ones(avatar.surfels.num_surfels)
    avatar.evidence[:7] = 0.0
    there, motion = torch.tensor([0.0, 0.0, 1.0]), avatar.motion.canonical()
    plain, marked = (avatar.place(there, motion, replace(avatar.look, mark_guessed=on)).colors for on in (False, True))
    assert torch.equal(plain[7:], marked[7:])
    assert (marked[:7, 2] >= 0.57).all() and not torch.allclose(plain[:7], marked[:7])


def test_nothing_is_a_guess_before_it_was_measured(tmp_path) -> None:
    avatar = avatar_of_tiny_head()
    assert not avatar.guessed().any()
    avatar.evidence = torch.rand(avatar.surfels.num_surfels, generator=torch.Generator().manual_seed(0))
    avatar.save(tmp_path / "a.npz")
    assert torch.equal(Avatar.load(tmp_path / "a.npz").evidence, avatar.evidence)


def test_unseen_points_take_after_near_seen_ones_of_their_part() -> None:
    points = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [0.1, 0, 0], [0.9, 0, 0], [0.1, 0, 0]])
    labels = torch.tensor([0, 1, 0, 0, 1])
    seen = torch.tensor([True, True, False, False, False])
    source = nearest_seen(points, labels, seen, torch.Generator().manual_seed(0))
    assert source.tolist() == [0, 1, 0, 0, 1]


def test_one_of_the_nearest_is_drawn_not_their_mean() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(400, 3, generator=generator)
    seen = torch.arange(400) < 200
    source = nearest_seen(points, torch.zeros(400).long(), seen, torch.Generator().manual_seed(0))
    distance = torch.cdist(points[200:], points[:200])
    rank = (distance < (points[200:] - points[source[200:]]).norm(dim=-1, keepdim=True)).sum(dim=-1)
    assert rank.max() < 33 and rank.float().mean() > 8
    assert torch.equal(source[:200], torch.arange(200))


def test_a_part_without_a_seen_point_stays_as_it_is() -> None:
    labels = torch.tensor([0, 1])
    source = nearest_seen(torch.zeros(2, 3), labels, torch.tensor([True, False]), torch.Generator().manual_seed(0))
    assert source.tolist() == [0, 1]


def test_parts_of_a_head_are_told_apart() -> None:
    head = builtin_head()
    labels = part_labels(head)
    assert (labels[head.regions.triangle_mask("hair", head.triangles)] == 1).all()
    assert (labels[head.regions.triangle_mask("nose", head.triangles)] == 0).all()
    assert len(labels.unique()) >= 5


def test_states_of_older_versions_have_none_and_partial_states_keep_it() -> None:
    avatar, measured = avatar_of_tiny_head(), torch.ones(400)
    state = {name: tensor for name, tensor in avatar.state_dict().items() if name != "evidence"}
    avatar.evidence = measured
    avatar.load_state_dict({}, strict=False)
    assert torch.equal(avatar.evidence, measured)
    avatar.load_state_dict(state, strict=True)
    assert len(avatar.evidence) == 0
