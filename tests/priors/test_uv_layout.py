"""The map of the head: symmetric, without overlaps of its charts, and read exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.priors.sitter import reference_atlas, reference_head
from sage_ns.priors.uv_layout import place_uv, sampled

ATLAS = reference_atlas(4000)


def layout() -> Tensor:
    return place_uv(ATLAS, reference_head())


def test_mirrored_places_have_mirrored_coordinates() -> None:
    uv = layout()
    assert uv.shape == (4000, 2) and uv.min() >= 0 and uv.max() <= 1
    mirrored = uv[ATLAS.mirror] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    torch.testing.assert_close(uv, mirrored, atol=1e-3, rtol=0)


def test_the_face_is_in_the_middle_and_the_back_of_the_head_is_the_border() -> None:
    uv, points = layout(), ATLAS.points(reference_head().v_template, reference_head())
    from_middle = (uv - 0.5).norm(dim=-1)
    skin = ATLAS.labelled("face", "hair", "neck", "lips")
    assert from_middle[skin].max() <= 0.48 + 1e-6
    nose = (points[:, 2] - 10 * points[:, 0].abs()).argmax()
    assert from_middle[nose] < 0.05
    assert points[skin & (from_middle > 0.46), 2].max() < -0.08
    up, left = points[skin, 1].argmax(), points[skin, 0].argmax()
    assert uv[skin][up, 1] > 0.7 and uv[skin][left, 0] > 0.7


def test_ears_and_eyeballs_have_corners_of_their_own() -> None:
    uv, points = layout(), ATLAS.points(reference_head().v_template, reference_head())
    for label, above in (("ears", True), ("eyes", False)):
        rows = ATLAS.labelled(label)
        assert ((uv[rows, 1] > 0.86) if above else (uv[rows, 1] < 0.14)).all()
        assert torch.equal(uv[rows, 0] > 0.86, points[rows, 0] > 0)
        assert ((uv[rows, 0] > 0.86) | (uv[rows, 0] < 0.14)).all()


def test_neighbours_on_the_face_are_neighbours_in_the_map() -> None:
    uv, face = layout(), ATLAS.labelled("face")
    apart = (uv[ATLAS.neighbours[:, :4]] - uv[:, None]).norm(dim=-1)
    assert apart[face].max() < 0.1 and apart[face].median() < 0.02


def test_a_linear_map_is_read_exactly() -> None:
    size = 16
    middles = (torch.arange(size) + 0.5) / size
    u, v = middles[None].expand(size, size), middles.flip(0)[:, None].expand(size, size)
    maps = torch.stack([u, v, 2 * u - 3 * v])[None].double()
    uv = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    expected = torch.stack([uv[:, 0], uv[:, 1], 2 * uv[:, 0] - 3 * uv[:, 1]], dim=-1)
    torch.testing.assert_close(sampled(maps, uv)[0], expected)
    torch.testing.assert_close(
        sampled(maps, torch.tensor([[0.5 / size, 1 - 0.5 / size]]).double())[0, 0], maps[0, :, 0, 0]
    )
