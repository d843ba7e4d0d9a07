"""Surfels of the mouth: file of the prior, placement and light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.avatar.mouth import (
    SHIPPED_PRIOR,
    Mouth,
    MouthPrior,
    MouthPriorError,
    around_mouth,
    joined,
    load_mouth_prior,
    part_shade,
    skin_color,
    without_insides,
)
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import Surfels
from sage_ns.rig import NUM_POSE, FlameParams, HeadModel, pose_vertices
from sage_ns.rig.mouth_shape import PARTS
from sage_ns.synthetic.head import builtin_head

CENTER = torch.tensor([0.0, -0.04, 1.0])


@pytest.fixture(scope="module")
def prior() -> MouthPrior:
    return load_mouth_prior()


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head(2)


@pytest.fixture(scope="module")
def mouth(prior: MouthPrior, head: HeadModel) -> Mouth:
    return Mouth(head, prior, prior.skin)


def motion(head: HeadModel, jaw: float) -> torch.Tensor:
    vector = torch.zeros(NUM_POSE + head.num_expression)
    vector[FlameParams.JAW][0] = jaw
    return vector


def test_the_shipped_prior_is_small_and_whole(prior: MouthPrior) -> None:
    assert SHIPPED_PRIOR.stat().st_size < 300_000
    assert 1000 < len(prior.triangle) < 10_000
    assert prior.shade.shape == (len(PARTS), len(prior.openings))


def test_teeth_are_bright_the_tongue_is_red_and_the_throat_is_dark(prior: MouthPrior, mouth: Mouth) -> None:
    colors = mouth.place(motion(mouth.rig.head_model, 0.35), CENTER).colors
    model = mouth.rig.head_model
    by_part = {
        name: colors[model.regions.triangle_mask(name, model.triangles)[prior.triangle]].mean(dim=0) for name in PARTS
    }
    assert float(by_part["upper_teeth"].mean()) > float(by_part["tongue"].mean()) > float(by_part["cavity"].mean())
    assert float(by_part["tongue"][0]) > 1.2 * float(by_part["tongue"][2])


def test_saving_and_loading_keeps_it(prior: MouthPrior, tmp_path: Path) -> None:
    prior.save(tmp_path / "prior.npz")
    again = load_mouth_prior(tmp_path / "prior.npz")
    for name in vars(prior):
        assert torch.equal(getattr(again, name), getattr(prior, name)), name


def _dropped(arrays: dict) -> None:
    del arrays["sh_dc"]


def _other_mesh(arrays: dict) -> None:
    arrays["mesh"] = arrays["mesh"] + 1


def _not_finite(arrays: dict) -> None:
    arrays["means"][3, 1] = np.nan


def _beyond(arrays: dict) -> None:
    arrays["triangle"][0] = 10**6


def _unsorted(arrays: dict) -> None:
    arrays["openings"] = arrays["openings"][::-1].copy()


def _black(arrays: dict) -> None:
    arrays["skin"][1] = 0.0


def _odd_degree(arrays: dict) -> None:
    arrays["sh_rest"] = arrays["sh_rest"][:, :2]


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (_dropped, "sh_dc"), (_other_mesh, "mesh"), (_not_finite, "means"), (_beyond, "triangle"),
        (_unsorted, "openings"), (_black, "skin"), (_odd_degree, "sh_rest"),
    ],
)  # fmt: skip
def test_a_broken_prior_is_named(tmp_path: Path, spoil: Callable[[dict], None], field: str) -> None:
    arrays = dict(np.load(SHIPPED_PRIOR))
    spoil(arrays)
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(MouthPriorError, match=rf"mine\.npz: '{field}'"):
        load_mouth_prior(tmp_path / "mine.npz")


def test_a_missing_prior_is_named(tmp_path: Path) -> None:
    with pytest.raises(MouthPriorError, match=r"absent\.npz"):
        load_mouth_prior(tmp_path / "absent.npz")


def test_surfels_lie_on_the_mesh_and_follow_it(mouth: Mouth, head: HeadModel) -> None:
    model = mouth.rig.head_model
    for jaw in (0.0, 0.35):
        placed = mouth.place(motion(head, jaw), CENTER)
        vertices = mouth.rig.vertices(motion(head, jaw))
        triangle_center = vertices[model.triangles[mouth.surfels.triangle]].mean(dim=1)
        assert float((placed.means - triangle_center).norm(dim=-1).max()) < 0.012
        placed.check()


def test_equal_motions_give_equal_surfels_and_others_do_not(mouth: Mouth, head: HeadModel) -> None:
    first, again = (mouth.place(motion(head, 0.2), CENTER) for _ in range(2))
    assert torch.equal(first.means, again.means)
    assert not torch.equal(first.means, mouth.place(motion(head, 0.3), CENTER).means)


def test_the_mouth_has_no_trainable_parameters(mouth: Mouth) -> None:
    assert not any(parameter.requires_grad for parameter in mouth.parameters())


def test_a_darker_persons_mouth_is_darker_but_less_so(prior: MouthPrior, head: HeadModel) -> None:
    bright, dark = (
        Mouth(head, prior, prior.skin * factor).place(motion(head, 0.3), CENTER).colors for factor in (1.0, 0.64)
    )
    torch.testing.assert_close(dark, 0.8 * bright, atol=1e-4, rtol=1e-3)


def test_shade_is_read_between_openings(mouth: Mouth, head: HeadModel) -> None:
    model = mouth.rig.head_model
    openings, shade = torch.tensor([0.0, 10.0]), torch.stack([torch.zeros(len(PARTS)), torch.ones(len(PARTS))], dim=1)
    closed = part_shade(model, mouth.rig.vertices(motion(head, 0.0)), openings, shade)
    assert float(closed.max()) < 1e-4
    opened = part_shade(model, mouth.rig.vertices(motion(head, 0.3)), openings, shade)
    torch.testing.assert_close(opened, opened[:1].expand_as(opened))
    assert 0.0 < float(opened[0]) < 0.1


def test_one_opening_is_a_constant_shade(mouth: Mouth, head: HeadModel) -> None:
    shade = torch.arange(1.0, 1.0 + len(PARTS))[:, None]
    factor = part_shade(mouth.rig.head_model, mouth.rig.vertices(motion(head, 0.3)), torch.tensor([0.1]), shade)
    assert set(factor.tolist()) == set(shade[:, 0].tolist())


def test_a_checkpoint_restores_another_persons_mouth(prior: MouthPrior, mouth: Mouth, head: HeadModel) -> None:
    other = Mouth(builtin_head(5), prior)
    assert not torch.equal(other.place(motion(head, 0.3), CENTER).means, mouth.place(motion(head, 0.3), CENTER).means)
    other.load_state_dict(mouth.state_dict())
    restored, original = (m.place(motion(head, 0.3), CENTER) for m in (other, mouth))
    assert torch.equal(restored.means, original.means)
    assert torch.equal(restored.colors, original.colors)


def test_skin_color_is_the_mean_around_the_mouth(head: HeadModel) -> None:
    around = around_mouth(head)
    assert 100 < int(around.sum()) < head.num_triangles / 3
    triangle = torch.arange(head.num_triangles)
    colors = torch.where(around[:, None], torch.tensor([0.6, 0.5, 0.4]), torch.tensor([0.0, 1.0, 0.0]))
    found = skin_color(head, triangle, colors, torch.full((head.num_triangles,), 0.7))
    torch.testing.assert_close(found, torch.tensor([0.6, 0.5, 0.4]))


def test_insides_are_left_out_only_where_the_camera_sees_them(mouth: Mouth, head: HeadModel) -> None:
    placed = mouth.place(motion(head, 0.0), CENTER)
    frames = triangle_frames(mouth.rig.vertices(motion(head, 0.0)), mouth.rig.head_model.triangles)
    everywhere = torch.ones_like(frames.scale, dtype=torch.bool)
    triangle = mouth.surfels.triangle
    beyond = torch.tensor([0.0, 0.0, -1.0])  # everything lies before it
    kept = without_insides(placed, triangle, everywhere, frames, CENTER, beyond).opacities
    turned = ((CENTER - frames.origin) * frames.normal).sum(-1)[triangle] < 0
    assert float(kept[~turned].min()) > 0.0
    assert float((kept[turned] == 0).float().mean()) > 0.8
    untouched = without_insides(placed, triangle, ~everywhere, frames, CENTER, beyond)
    assert torch.equal(untouched.opacities, placed.opacities) and torch.equal(untouched.colors, placed.colors)


def test_from_the_side_the_other_cheek_lines_the_open_mouth(mouth: Mouth, head: HeadModel) -> None:
    """Without it, the background shines through an open mouth."""
    opened = motion(head, 0.3)
    vertices = pose_vertices(head, FlameParams.from_motion_vector(opened[None]))[0]
    frames, triangle = triangle_frames(vertices, head.triangles), torch.arange(head.num_triangles)
    around = around_mouth(head)
    of_mouth = mouth.place(opened, CENTER)
    placed = Surfels(*(getattr(of_mouth, f.name)[:1].repeat_interleave(len(triangle), dim=0) for f in fields(Surfels)))
    middle = mouth.middle(opened)
    camera = middle + torch.tensor([1.0, 0.0, 0.0])
    seen = without_insides(placed, triangle, around, frames, camera, middle)
    inside = around & (frames.normal[:, 0] < -0.1)
    far = inside & (frames.origin[:, 0] < middle[0] - 1e-3)
    near = inside & (frames.origin[:, 0] > middle[0] + 1e-3)
    assert int(far.sum()) > 20 and torch.equal(seen.opacities[far], placed.opacities[far])
    ratio = (seen.colors / placed.colors)[far]
    assert float(ratio.max()) < 0.5 and bool((ratio[:, 0] > ratio[:, 2]).all()), "dark and red"
    assert bool((seen.opacities[near] == 0).all())


def test_the_middle_lies_between_the_rows_of_teeth(mouth: Mouth, head: HeadModel) -> None:
    model = mouth.rig.head_model
    vertices, middle = mouth.vertices(motion(head, 0.3)), mouth.middle(motion(head, 0.3))
    upper, lower = (vertices[model.regions.vertices(name)] for name in ("upper_teeth", "lower_teeth"))
    assert float(lower[:, 1].min()) < float(middle[1]) < float(upper[:, 1].max())
    assert abs(float(middle[0] - upper[:, 0].mean())) < 5e-3 and float(middle[2]) > float(upper[:, 2].mean())


def test_joined_surfels_are_drawn_together(mouth: Mouth, head: HeadModel) -> None:
    placed = mouth.place(motion(head, 0.0), CENTER)
    both = joined(placed, placed)
    both.check()
    assert len(both) == 2 * len(placed)
