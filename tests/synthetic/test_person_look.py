"""What people look like: the same by number, varied as people are, and hair where hair grows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from sage_ns.rig import FlameParams, pose_vertices
from sage_ns.synthetic.age import crease_shade, sagging_depth, wrinkle_depth
from sage_ns.synthetic.beard import beard_cover, grow_beard
from sage_ns.synthetic.brows import grow_brows_and_lashes
from sage_ns.synthetic.glasses import FRAMES, make_glasses
from sage_ns.synthetic.hair import KINDS, grow_hair, hair_cover
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.head.identity import IDENTITY_SHAPES, displacement_table, identity_displacements
from sage_ns.synthetic.head.surface import head_distance, mouth_line
from sage_ns.synthetic.motion import expression_row
from sage_ns.synthetic.person_look import BeardLook, HairLook, HairStyle, PersonLook, SkinLook, plain_look
from sage_ns.synthetic.random_look import identity_of, random_look
from sage_ns.synthetic.strands import Strands, cut, fewer_points, pigments, tabled_skull
from sage_ns.synthetic.true_skin import crease_depths

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
BROWN = (0.09, 0.05, 0.028)
SHARE = 0.04
"""Few strands are enough here."""


@pytest.fixture(scope="module")
def people() -> list[PersonLook]:
    return [random_look(number) for number in range(200, 600)]


def mean_head() -> np.ndarray:
    return builtin_head().v_template.numpy().astype(np.float64)


def grown(hair: HairLook, seed: int = 5) -> np.ndarray:
    """Strands of the mean head in millimetres [strands, points, 3]."""
    look = replace(plain_look(seed), hair=hair, fast=True)
    return lines(grow_hair(builtin_head(), np.zeros(300, dtype=np.float32), look, SHARE)[0])


def lines(strands: Strands) -> np.ndarray:
    return 1e3 * strands.posed(mean_head(), builtin_head().triangles.numpy())[0]


def test_a_number_is_one_person(people: list[PersonLook]) -> None:
    assert random_look(217) == random_look(217) == people[17]
    assert len({look.skin.tone for look in people}) == len(people)
    assert len({tuple(identity_of(look)) for look in people[:50]}) == 50


def test_skin_goes_from_dark_to_light_without_gaps(people: list[PersonLook]) -> None:
    light = np.sort([np.log2(np.asarray(look.skin.tone) @ LUMINANCE) for look in people])
    assert 2 ** light[0] < 0.07 and 2 ** light[-1] > 0.42
    assert np.diff(light).max() < 0.15
    assert light.std() > 0.7
    for look in people:
        red, green, blue = look.skin.tone
        assert red > green > blue > 0.01
        assert 1.2 < red / green < 2.6


def test_hair_kinds_colours_and_ages_vary(people: list[PersonLook]) -> None:
    kinds = Counter(look.hair.kind for look in people)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 4
    assert {look.hair.tail for look in people} == {"none", "tail", "bun"}
    assert Counter(look.beard.kind for look in people).keys() == {"none", "moustache", "goatee", "full"}
    blond = [look for look in people if np.asarray(look.hair.color) @ LUMINANCE > 0.2]
    assert len(blond) > 8
    assert all(np.asarray(look.skin.tone) @ LUMINANCE > 0.15 for look in blond)
    dark = [look for look in people if np.asarray(look.skin.tone) @ LUMINANCE < 0.1]
    assert len(dark) > 40
    assert np.mean([np.asarray(look.hair.color) @ LUMINANCE < 0.06 for look in dark]) > 0.9
    assert np.mean([look.skin.wrinkles > 0.5 for look in people]) > 0.1
    assert np.mean([look.skin.wrinkles < 0.2 for look in people]) > 0.3
    assert 0.1 < np.mean([look.hair.grey > 0.2 for look in people]) < 0.5


def test_glasses_are_an_option_and_change_nothing_else(people: list[PersonLook]) -> None:
    assert {look.glasses for look in people} == {"none"}
    wearing = [random_look(number, glasses=True) for number in range(200, 320)]
    assert {look.glasses for look in wearing} == {"none", *FRAMES}
    assert 0.2 < np.mean([look.glasses != "none" for look in wearing]) < 0.47
    assert [replace(look, glasses="none") for look in wearing] == people[:120]


def test_faces_spread_as_far_as_asked() -> None:
    assert torch.equal(builtin_identity(3, 2.0), 2.0 * builtin_identity(3))
    narrow, wide = (
        np.stack([identity_of(replace(random_look(n, spread=spread), shift=())) for n in range(40)])
        for spread in (0.5, 1.5)
    )
    np.testing.assert_allclose(wide, 3.0 * narrow, rtol=1e-5)
    look = random_look(4)
    nose = list(IDENTITY_SHAPES).index("nose_length")
    moved = identity_of(look)[nose] - identity_of(replace(look, shift=()))[nose]
    assert moved == pytest.approx(dict(look.shift)["nose_length"], abs=1e-5)


def test_the_plain_person_looks_as_ever() -> None:
    styles: dict[int, HairStyle] = {0: "short", 1: "long", 3: "none"}
    for seed, style in styles.items():
        look = plain_look(seed, style)
        assert not look.fast and look.spread == 1.0 and look.glasses == "none"
        np.testing.assert_array_equal(identity_of(look), builtin_identity(seed + 1).numpy())
        assert look.skin == SkinLook(look.skin.tone, look.skin.lips)
        assert look.beard.shade == (0.0 if style == "long" else 0.22)
    assert plain_look(2, "short", "blond").hair.color == (0.420, 0.290, 0.140)


@pytest.mark.parametrize("end", [-30.0, -110.0])
def test_long_hair_reaches_down_to_its_end_and_no_farther(end: float) -> None:
    line = grown(HairLook("long", BROWN, 245.0, 245.0, end=end))
    tips = line[:, -1, 1]
    assert np.median(tips) == pytest.approx(end, abs=9.0)
    assert tips.min() > end - 25.0
    assert line[..., 1].max() < 165.0


def test_strands_start_in_the_scalp_and_stay_outside_the_head() -> None:
    scalp = builtin_head().regions.vertices("scalp").numpy()
    low = 1e3 * mean_head()[scalp, 1].min()
    styles = [
        HairLook(kind, BROWN, 40.0, 20.0, end=-60.0, fringe=60.0 if kind == "fringe" else None, wave=wave)
        for kind in KINDS
        if kind != "none"
        for wave in (0.0, 3.0)
    ]
    for hair in styles:
        line = grown(replace(hair, length=230.0) if KINDS[hair.kind].hangs else hair)
        assert len(line) > 100, hair.kind
        assert np.abs(head_distance(line[:, 0])).max() < 3.0, hair.kind
        assert line[:, 0, 1].min() > low - 8.0
        inside = head_distance(line[:, 2:].reshape(-1, 3))
        assert np.quantile(inside, 0.01) > -1.5, hair.kind


def test_a_fringe_covers_the_forehead_and_not_the_eyes() -> None:
    line = grown(HairLook("fringe", BROWN, 235.0, 235.0, end=-60.0, fringe=62.0))
    front = line[(line[:, -1, 2] > 35.0) & (np.abs(line[:, -1, 0]) < 40.0)]
    assert len(front) > 16
    assert np.median(front[:, -1, 1]) == pytest.approx(62.0, abs=8.0)
    assert front[..., 1].min() > 50.0
    bare = grown(HairLook("long", BROWN, 235.0, 235.0, end=-60.0))
    assert ((bare[:, -1, 2] > 35.0) & (np.abs(bare[:, -1, 0]) < 30.0) & (bare[:, -1, 1] > 40.0)).mean() < 0.02


def test_bald_heads_have_no_hair_on_top() -> None:
    model, shape = builtin_head(), np.zeros(300, dtype=np.float32)
    shaved = replace(plain_look(1), hair=HairLook("none", BROWN, 0.0, 0.0), fast=True)
    assert grow_hair(model, shape, shaved, 1.0) == ()
    roots = {amount: grown(HairLook("buzz", BROWN, 10.0, 10.0, recession=amount))[:, 0] for amount in (0.0, 0.4, 1.0)}
    assert (roots[0.0][:, 1] > 100.0).mean() > 0.2
    assert (roots[1.0][:, 1] > 92.0).mean() < 0.01
    assert len(roots[1.0]) > 100
    temples = [((np.abs(r[:, 0]) > 35.0) & (r[:, 2] > 15.0) & (r[:, 1] > 84.0)).mean() for r in roots.values()]
    assert temples[1] < 0.3 * temples[0]
    points = 1e3 * mean_head()
    np.testing.assert_array_equal(hair_cover(HairLook("buzz", BROWN, 1.0, 1.0), points), 1.0)
    cover = hair_cover(HairLook("buzz", BROWN, 1.0, 1.0, recession=1.0), points)
    assert cover[points[:, 1] > 110.0].max() < 0.05


def test_tied_hair_lies_close_and_ends_in_a_tail_or_a_bun() -> None:
    model, shape = builtin_head(), np.zeros(300, dtype=np.float32)
    for tail, lowest, highest in (("tail", -125.0, -55.0), ("bun", 0.0, 40.0)):
        hair = HairLook("tied", BROWN, 230.0, 0.0, end=-80.0, tail=tail)
        tied, rest = (
            lines(each) for each in grow_hair(model, shape, replace(plain_look(1), hair=hair, fast=True), 0.1)
        )
        assert np.quantile(head_distance(tied.reshape(-1, 3)), 0.9) < 9.0
        assert rest[..., 2].max() < -70.0, "in front of the back of the head"
        assert lowest < rest[..., 1].min() < highest
    with pytest.raises(KeyError):
        grow_hair(model, shape, replace(plain_look(1), hair=replace(hair, tail="plait"), fast=True), 0.1)


@pytest.mark.parametrize("kind", ["moustache", "goatee", "full"])
def test_beards_grow_below_the_nose_and_not_on_the_lips(kind: str) -> None:
    model, shape = builtin_head(), np.zeros(300, dtype=np.float32)
    look = replace(plain_look(1), beard=BeardLook(BROWN, kind, 12.0))
    (strands,) = grow_beard(model, shape, look, 0.2)
    line = lines(strands)
    roots = line[:, 0]
    x, y, z = np.abs(roots[:, 0]), roots[:, 1], roots[:, 2]
    assert len(roots) > 60
    assert y[z > 30.0].max() < -12.0
    between = np.abs(y - mouth_line(x))
    assert not ((between < 4.0) & (x < 18.0) & (z > 45.0)).any()
    assert (z > -20.0).all() and (y > -110.0).all()
    if kind == "moustache":
        assert y.min() > -54.0
    else:
        assert ((y < -60.0) & (x < 10.0)).any(), "chin"
    assert ((x > 50.0).any()) == (kind == "full")
    assert grow_beard(model, shape, replace(look, beard=BeardLook(BROWN, shade=0.3)), 0.2) == ()


def test_beards_are_painted_where_strands_grow() -> None:
    points = 1e3 * mean_head()
    assert beard_cover("none", points).max() == 0.0
    full, moustache = beard_cover("full", points), beard_cover("moustache", points)
    assert (full >= moustache).all() and full.sum() > 3.0 * moustache.sum() > 0.0
    assert full[points[:, 1] > 25.0].max() < 1e-6


def test_brows_have_the_asked_number_of_hairs_and_height() -> None:
    model, shape, look = builtin_head(), np.zeros(300, dtype=np.float32), plain_look(0)
    few = replace(look, brows=replace(look.brows, num_hairs=100))
    high = replace(look, brows=replace(look.brows, raised=3.0))
    usual, fewer, higher = (lines(grow_brows_and_lashes(model, shape, each)) for each in (look, few, high))
    assert len(usual) - len(fewer) == 2 * 90
    rise = higher[:190, 0, 1] - usual[:190, 0, 1]
    np.testing.assert_allclose(rise, 3.0, atol=1e-3)


def test_glasses_ride_with_the_skull() -> None:
    model, shape = builtin_head(), builtin_identity(3).numpy()
    (frame,) = make_glasses(model, shape, replace(plain_look(3), glasses="square"))

    def posed(**changes: torch.Tensor) -> np.ndarray:
        vertices = pose_vertices(model, replace(FlameParams.neutral(model), shape=torch.from_numpy(shape), **changes))
        return 1e3 * frame.posed(vertices[0].double().numpy(), model.triangles.numpy())[0]

    calm = posed()
    assert 120.0 < np.ptp(calm[..., 0]) < 190.0
    face = expression_row(model, {"brow_outer_raise": 1.0, "mouth_smile": 1.0, "squint": 1.0})
    grimace = torch.from_numpy(face).float()[None]
    moved = posed(jaw_pose=torch.tensor([[0.3, 0.0, 0.0]]), expr=grimace)
    np.testing.assert_allclose(moved, calm, atol=0.05)
    turned = posed(rotation=torch.tensor([[0.0, 0.4, 0.0]]))
    assert np.abs(turned - calm).max() > 20.0
    assert make_glasses(model, shape, plain_look(3)) == ()


def test_old_skin_has_wrinkles_folds_and_bags() -> None:
    q = 1e3 * mean_head()
    creases = crease_depths(q)
    look = plain_look(0).skin
    assert np.abs(wrinkle_depth(q, creases, look, 1)).max() == 0.0
    assert np.abs(sagging_depth(q, look)).max() == 0.0
    old = replace(look, wrinkles=1.0, sagging=1.0)
    depth, half = wrinkle_depth(q, creases, old, 1), wrinkle_depth(q, creases, replace(old, wrinkles=0.5), 1)
    np.testing.assert_allclose(half, 0.5 * depth)
    assert 0.5 < depth.max() < 3.0
    sag = sagging_depth(q, old)
    jowl = np.argmin(np.linalg.norm(q - (37, -58, 25), axis=-1))
    hollow = np.argmin(np.linalg.norm(q - (44, -20, 36), axis=-1))
    assert sag[jowl] < -1.0 and sag[hollow] > 0.8
    assert crease_shade(np.array([0.0, 5.0])).tolist() == [1.0, pytest.approx(0.78)]


def test_tables_agree_with_what_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    points = 1e3 * mean_head()[builtin_head().regions.vertices("scalp").numpy()]
    points = points[rng.choice(len(points), 300)] * rng.uniform(1.0, 1.3, size=(300, 1))
    skull = tabled_skull()
    np.testing.assert_allclose(skull.distance(points), head_distance(points), atol=0.2)
    shape = builtin_identity(9, 1.5).numpy()
    exact = identity_displacements(points, np.zeros(300)).transpose(0, 2, 1) @ shape[: len(IDENTITY_SHAPES)]
    np.testing.assert_allclose(displacement_table(shape)(points), exact, atol=0.15)


def test_grey_hair_and_fewer_points() -> None:
    colors = pigments(BROWN, 0.25, 4000, 1)
    assert (colors[:, 0] > 0.4).mean() == pytest.approx(0.25, abs=0.03)
    assert (pigments(BROWN, 0.0, 10, 1) == BROWN).all()
    line = np.arange(2 * 20 * 3, dtype=float).reshape(2, 20, 3)
    thin = fewer_points(line, 8)
    assert thin.shape == (2, 8, 3)
    np.testing.assert_array_equal(thin[:, [0, -1]], line[:, [0, -1]])


def test_strands_are_cut_at_their_height() -> None:
    line = np.zeros((2, 5, 3))
    line[:, :, 1] = [10.0, 0.0, -10.0, -20.0, -30.0]
    height = np.array([-14.0, -99.0])
    assert cut(line, height, exactly=True)[:, -1, 1].tolist() == [pytest.approx(-14.0), -30.0]
    assert cut(line, height)[:, -1, 1].tolist() == [-20.0, -30.0]
    np.testing.assert_allclose(cut(line, height, exactly=True)[0, :, 1], np.linspace(10.0, -14.0, 5))
