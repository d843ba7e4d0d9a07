"""Regions of pictures: where they lie on the built-in head, closed forms, and head models without them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.portrait import portrait_camera
from sage_ns.avatar.rig_pixels import shown_triangles
from sage_ns.evaluation.regions import BAND, PictureRegions, brow_triangles, enclosed, hair_outline
from sage_ns.rig import FlameParams, HeadModel, Regions
from sage_ns.synthetic.head import builtin_head

WIDTH, HEIGHT = 90, 120


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


def seen(head: HeadModel, jaw: float = 0.0) -> tuple[Tensor, Tensor]:
    """Triangles that a frontal camera sees, and their mask."""
    params = replace(FlameParams.neutral(head), jaw_pose=torch.tensor([[jaw, 0.0, 0.0]]))
    rig, motion = PersonalRig(head, params), params.motion_vector()[0]
    shown = shown_triangles(rig, motion, portrait_camera(rig.vertices(motion), motion, WIDTH, HEIGHT))
    return shown, (shown >= 0).float()[..., None]


def middle(pixels: Tensor) -> tuple[float, float]:
    row, column = pixels.nonzero().float().mean(dim=0).tolist()
    return row, column


def test_regions_of_the_built_in_head_lie_where_they_should(head: HeadModel) -> None:
    shown, mask = seen(head)
    found = PictureRegions(head).pixels(shown, mask)
    assert set(found) == {"face", "eyes", "mouth", "brows", "hair_outline"}
    rows = {name: middle(pixels)[0] for name, pixels in found.items()}
    assert rows["hair_outline"] < rows["brows"] < rows["eyes"] < rows["face"] < rows["mouth"]
    for name, pixels in found.items():
        assert middle(pixels)[1] == pytest.approx(WIDTH / 2, abs=2.0), name  # the head is symmetric
    assert not bool((found["eyes"] & found["brows"]).any())
    assert bool((found["eyes"] & ~found["face"]).sum() == 0)


def test_brows_are_no_part_of_the_nose_and_lie_above_the_eyes(head: HeadModel) -> None:
    triangles = head.triangles[brow_triangles(head)]
    assert len(triangles) > 50
    eyeballs = head.regions.vertices("eyes")
    assert float(head.v_template[triangles, 1].min()) > float(head.v_template[eyeballs, 1].mean())
    assert not bool(torch.isin(triangles, head.regions.vertices("nose")).any())


def test_an_open_mouth_is_filled(head: HeadModel) -> None:
    regions = PictureRegions(head)
    closed, opened = (regions.pixels(*seen(head, jaw))["mouth"] for jaw in (0.0, 0.3))
    assert int(opened.sum()) > 1.5 * int(closed.sum())
    column = opened[:, WIDTH // 2].nonzero().flatten()
    assert len(column) == int(column[-1] - column[0]) + 1  # no hole in the middle


def test_what_a_ring_encloses_belongs_to_it_and_small_gaps_do_not_open_it() -> None:
    ring = torch.zeros(100, 100, dtype=torch.bool)
    ring[40:60, 40:60] = True
    ring[44:56, 44:56] = False
    full = torch.zeros_like(ring)
    full[40:60, 40:60] = True
    assert torch.equal(enclosed(ring), full)
    ring[50, 40:44] = False  # a gap of one pixel
    assert bool(enclosed(ring)[44:56, 44:56].all())
    ring[40:60, :44] = False  # a side is missing
    assert not bool(enclosed(ring)[50, 48])
    nothing = torch.zeros(10, 10, dtype=torch.bool)
    assert torch.equal(enclosed(nothing), nothing)


def test_pixels_at_the_border_are_kept() -> None:
    corner = torch.zeros(50, 50, dtype=torch.bool)
    corner[:6, :9] = True
    assert torch.equal(enclosed(corner), corner)


def test_the_outline_of_hair_is_a_band_around_the_mask() -> None:
    """A square head, its upper half hair (triangle 0), its lower half skin (triangle 1)."""
    shown = torch.full((200, 200), -1)
    shown[60:100, 50:150], shown[100:150, 50:150] = 0, 1
    mask = torch.zeros(200, 200, 1)
    mask[50:150, 50:150] = 1.0  # 10 rows of hair above the rig
    band = hair_outline(shown, torch.tensor([True, False]), mask)
    reach = int(BAND * 200)
    rows = band[:, 100].nonzero().flatten().tolist()
    assert rows == list(range(50 - reach, 50 + reach))
    assert not bool(band[105:].any())  # the outline of the skin does not count
    assert bool(band[80, 50]) and bool(band[80, 49]) and not bool(band[80, 60])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_without_an_outline_there_is_no_band(value: float) -> None:
    shown = torch.zeros(20, 20, dtype=torch.int64)
    assert not bool(hair_outline(shown, torch.tensor([True]), torch.full((20, 20, 1), value)).any())


def test_missing_regions_are_left_out_and_said_once(head: HeadModel, capsys: pytest.CaptureFixture[str]) -> None:
    some = Regions({name: head.regions.vertices(name) for name in ("face", "lips")})
    regions = PictureRegions(replace(head, regions=some))
    shown, mask = seen(head)
    assert set(regions.pixels(shown, mask)) == set(regions.pixels(shown, None)) == {"face", "mouth"}
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("does not have the regions for figures of eyes, brows, hair_outline") == 1
    none = PictureRegions(replace(head, regions=Regions({})))
    assert none.pixels(shown, mask) == {}


def test_without_a_mask_there_is_no_outline(head: HeadModel) -> None:
    shown, _ = seen(head)
    assert "hair_outline" not in PictureRegions(head).pixels(shown, None)
