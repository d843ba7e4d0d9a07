"""Places on the reference head and on other rigs, and surfels at these places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.atlas import LABELS, Atlas, RigPlaces, make_atlas, places_on
from sage_ns.avatar.atlas_surfels import AtlasSurfels, PosedPlaces, bound_to_rig, on_atlas
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.rig import HeadModel, Regions, pose_vertices
from sage_ns.synthetic.head import builtin_head
from tests.rig.test_correspondence import other_head
from tests.tiny import tiny_head_model, tiny_params


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module")
def atlas(head: HeadModel) -> Atlas:
    return make_atlas(head, 2000)


def random_surfels(count: int, seed: int = 0) -> AtlasSurfels:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return AtlasSurfels(
        0.01 * random(count, 3),
        torch.nn.functional.normalize(random(count, 4), dim=-1),
        random(count, 2) - 6,
        random(count),
        random(count, 1, 3),
        random(count, 3, 3),
    )


def test_places_cover_all_parts_and_have_images_on_the_other_side(head: HeadModel, atlas: Atlas) -> None:
    assert atlas.num_places == 2000
    assert set(atlas.label.tolist()) == set(range(len(LABELS)))
    points = atlas.points(head.v_template, head)
    assert torch.equal(atlas.mirror[atlas.mirror], torch.arange(2000))
    images = points[atlas.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    assert (points - images).norm(dim=-1).max() < 5e-4
    assert torch.equal(atlas.label, atlas.label[atlas.mirror])
    assert (points[:, 0].abs() < 0.004).any()  # no gap in the middle
    assert points[atlas.labelled("lips"), 1].mean() < points[atlas.labelled("eyes"), 1].mean()
    assert points[atlas.labelled("hair"), 1].mean() > 0.05
    assert points[atlas.labelled("ears"), 0].abs().min() > 0.06


def test_neighbours_are_near_and_of_the_same_part(head: HeadModel, atlas: Atlas) -> None:
    points = atlas.points(head.v_template, head)
    assert (atlas.label[atlas.neighbours] == atlas.label[:, None]).all()
    assert (atlas.neighbours != torch.arange(2000)[:, None]).all()
    near = (points[atlas.neighbours] - points[:, None]).norm(dim=-1)
    assert (near.diff(dim=1) >= -1e-6).all() and near.median() < 0.015


def test_seed_and_number_determine_the_atlas(head: HeadModel, atlas: Atlas) -> None:
    again, other = make_atlas(head, 2000), make_atlas(head, 2000, seed=1)
    assert torch.equal(again.triangle, atlas.triangle) and torch.equal(again.barycentric, atlas.barycentric)
    assert not torch.equal(other.triangle, atlas.triangle)
    for number in (98, 2001):
        with pytest.raises(ValueError, match=f"found {number} places"):
            make_atlas(head, number)


def test_without_regions_everything_is_face(head: HeadModel) -> None:
    assert (make_atlas(replace(head, regions=Regions()), 100).label == LABELS.index("face")).all()


def test_texture_coordinates_are_those_of_the_places(head: HeadModel) -> None:
    flat = replace(head, uv=head.v_template[:, :2].contiguous(), uv_triangles=head.triangles)
    atlas = make_atlas(flat, 200)
    assert atlas.uv is not None
    torch.testing.assert_close(atlas.uv, atlas.points(head.v_template, head)[:, :2])


def test_the_same_features_are_found_on_another_rig(
    head: HeadModel, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_CACHE", str(tmp_path))
    own = places_on(atlas, head, head)
    assert own.residual is None and torch.equal(own.triangle, atlas.triangle)
    target, expected = other_head(with_regions=False)
    places = places_on(atlas, head, target)
    assert places.residual is not None and places.residual.mean_mm < 0.2
    off = places.points(target.v_template, target.triangles) - atlas.points(expected, head)
    assert off.norm(dim=-1).mean() < 5e-4
    # The axes of a place turn with the head's shape, not with the numbering of its triangles.
    axes = PosedPlaces(places, target.v_template, target.triangles).axes
    reference = PosedPlaces(own, head.v_template, head.triangles).axes
    cosines = (axes * reference).sum(dim=1)
    assert cosines.median() > 0.99 and (cosines[:, 1] > 0.8).float().mean() > 0.97


@pytest.mark.parametrize("turned", [False, True])
def test_conversion_to_bound_surfels_and_back_is_exact(turned: bool) -> None:
    model = tiny_head_model()
    posed = posed_places(model, turned)
    surfels = random_surfels(len(posed.points))
    back = on_atlas(bound_to_rig(surfels, posed), posed)
    for name in ("offset", "log_scales", "opacity_logits", "sh_dc", "sh_rest"):
        torch.testing.assert_close(getattr(back, name), getattr(surfels, name), atol=2e-6, rtol=2e-6)
    same = (back.quaternions * surfels.quaternions).sum(dim=-1).abs()
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-6, rtol=0)


def test_bound_surfels_are_drawn_where_the_places_say() -> None:
    model = tiny_head_model()
    posed = posed_places(model, turned=True)
    surfels, eye = random_surfels(len(posed.points)), torch.tensor([0.1, 0.2, 1.0])
    frames = triangle_frames(pose_vertices(model, tiny_params(model))[1], model.triangles)
    bound = bound_to_rig(surfels, posed).place(frames, eye)
    direct = posed.place(surfels, eye)
    for name in ("means", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(direct, name), getattr(bound, name).detach(), atol=1e-5, rtol=1e-5)
    same = (direct.quaternions * bound.quaternions).sum(dim=-1).abs()
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-5, rtol=0)
    along = direct.means - posed.points  # an offset in metres keeps its length
    torch.testing.assert_close(along.norm(dim=-1), surfels.offset.norm(dim=-1), atol=1e-6, rtol=1e-4)
    gained = posed.place(surfels, eye, torch.tensor([0.5, 1.0, 2.0]))
    torch.testing.assert_close(gained.colors, direct.colors * torch.tensor([0.5, 1.0, 2.0]))


def test_surfels_of_other_places_are_refused() -> None:
    posed = posed_places(tiny_head_model(), turned=False)
    bound = bound_to_rig(random_surfels(len(posed.points)), posed)
    bound.triangle[0] += 1
    with pytest.raises(ValueError, match="one flat surfel per place"):
        on_atlas(bound, posed)


def posed_places(model: HeadModel, turned: bool) -> PosedPlaces:
    """A place on every triangle of a head in some pose."""
    generator = torch.Generator().manual_seed(3)
    barycentric = torch.rand(model.num_triangles, 3, generator=generator)
    turn = torch.randn(model.num_triangles, 4, generator=generator) if turned else torch.eye(4)[:1]
    turn = torch.nn.functional.normalize(turn, dim=-1).expand(model.num_triangles, 4)
    places = RigPlaces(torch.arange(model.num_triangles), barycentric / barycentric.sum(-1, keepdim=True), turn)
    return PosedPlaces(places, pose_vertices(model, tiny_params(model))[1], model.triangles)
