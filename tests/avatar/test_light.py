"""Light that stays in the room: its factors, its normals, and avatars lit by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.light import RoomLight, light_factors, plain_light, smooth_normals
from sage_ns.exchange.splats import splats_of
from sage_ns.geometry.spherical_harmonics import C1
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

UP, LEFT = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])


def from_the_left(strength: float = 0.5) -> RoomLight:
    """Red light that is ``strength`` stronger from the left (+x), and weaker from the right."""
    light = RoomLight()
    with torch.no_grad():
        light.coefficients[2, 0] = -strength / C1  # the third harmonic of degree 1 is -C1 x
    return light


def lit(light: RoomLight | None, head: str = "tiny") -> Avatar:
    avatar = tiny_avatar(tiny_head_model() if head == "tiny" else builtin_head())
    avatar.light = light
    avatar.look = replace(avatar.look, wrinkles=0.0, dark_interior=False)
    return avatar


def test_without_coefficients_there_is_no_light() -> None:
    assert torch.equal(RoomLight()(torch.stack([UP, LEFT])), torch.ones(2, 3))


def test_light_from_the_left_brightens_what_faces_left() -> None:
    factor = from_the_left()(torch.stack([LEFT, UP, -LEFT]))
    torch.testing.assert_close(factor, torch.tensor([[1.5, 1, 1], [1, 1, 1], [0.5, 1, 1]]))


def test_no_side_is_black_and_none_is_negative() -> None:
    assert from_the_left(5.0)(-LEFT[None])[0, 0].item() == pytest.approx(0.05)


def test_gradients_against_finite_differences() -> None:
    light = RoomLight().double()
    with torch.no_grad():
        light.coefficients.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    normals = torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    weights = torch.randn(6, 3, generator=torch.Generator().manual_seed(2)).double()

    def total(coefficients: Tensor) -> Tensor:
        return (weights * torch.func.functional_call(light, {"coefficients": coefficients}, normals.double())).sum()

    assert torch.autograd.gradcheck(total, light.coefficients.detach().requires_grad_())


def test_normals_have_no_facets() -> None:
    from trimesh.creation import icosphere

    mesh = icosphere(subdivisions=3, radius=0.1)
    vertices, triangles = torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long()
    centers = torch.nn.functional.normalize(vertices[triangles].mean(dim=1), dim=-1)
    assert ((smooth_normals(vertices, triangles) * centers).sum(dim=-1) > 0.9999).all()


def test_the_light_stays_when_the_head_turns_by_half_a_turn() -> None:
    avatar = lit(from_the_left())
    canonical = avatar.motion.canonical()
    turned = canonical.clone()
    turned[FlameParams.ROTATION] = torch.tensor([0.0, torch.pi, 0.0])
    far = torch.tensor([0.0, 0.0, 50.0])

    def red(motion: Tensor, light: str) -> Tensor:
        dark, own = lit(None), replace(avatar.look, light=light)  # type: ignore[arg-type]
        return (avatar.place(far, motion, own).colors / dark.place(far, motion, own).colors)[:, 0]

    rest = avatar.poses.at(canonical).smooth_normals[avatar.surfels.triangle]
    room, head = red(turned, "room"), red(turned, "head")
    flipped = avatar.poses.at(turned).smooth_normals[avatar.surfels.triangle]
    torch.testing.assert_close(head, red(canonical, "room"))
    torch.testing.assert_close(room, (1 + 0.5 * flipped[:, 0]).detach(), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(rest, flipped, atol=0.5)


def test_lit_surfels_show_the_canonical_moment_as_it_is() -> None:
    avatar = lit(from_the_left())
    baked = lit(None)
    baked.surfels = avatar.lit_surfels()
    there = torch.tensor([0.1, 0.2, 1.0])
    expected = avatar.place(there, avatar.motion.canonical()).colors
    found = baked.place(there, baked.motion.canonical()).colors
    bright = expected.detach().amin(dim=-1) > 0.02  # colours below 0 are cut before the light, and after it
    torch.testing.assert_close(found[bright], expected[bright], atol=1e-4, rtol=1e-4)


def test_splats_of_a_moment_have_its_light() -> None:
    avatar, dark = lit(from_the_left(), "builtin"), lit(None, "builtin")
    moment = avatar.motion.motion[3]
    lit_up, plain = (splats_of(each, moment).colors[: avatar.surfels.num_surfels] for each in (avatar, dark))
    normals = avatar.poses.at(moment).smooth_normals[avatar.surfels.triangle]
    inside = ((plain > 0.05) & (plain < 0.6)).all(dim=-1)
    factor = (lit_up / plain)[inside][:, 0]
    torch.testing.assert_close(factor, 1 + 0.5 * normals[inside][:, 0].detach(), atol=1e-3, rtol=1e-3)


def test_the_mouth_gets_as_much_more_light_as_the_skin_around_it() -> None:
    avatar = lit(from_the_left(), "builtin")
    turned = avatar.motion.canonical().clone()
    turned[FlameParams.ROTATION] = torch.tensor([0.0, 0.9, 0.0])
    look = avatar.look
    factor = avatar.mouth_light(avatar.poses.at(turned), look)
    assert factor[0] > 1.2 and torch.allclose(factor[1:], torch.ones(2))
    assert torch.equal(avatar.mouth_light(avatar.poses.at(turned), replace(look, light="head")), torch.ones(3))


def test_an_avatar_file_keeps_the_light(tmp_path) -> None:
    avatar = lit(from_the_left())
    avatar.look = replace(avatar.look, light="head")
    avatar.save(tmp_path / "a.npz")
    loaded = Avatar.load(tmp_path / "a.npz")
    assert loaded.light is not None and avatar.light is not None
    assert torch.equal(loaded.light.coefficients, avatar.light.coefficients)
    assert loaded.look.light == "head"
    tiny_avatar(tiny_head_model()).save(tmp_path / "b.npz")
    assert Avatar.load(tmp_path / "b.npz").light is None


def test_the_plain_light_changes_no_colour_and_twice_of_it_doubles_them() -> None:
    normals = torch.nn.functional.normalize(torch.randn(3, 9, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    light = plain_light().expand(3, 9, 3)
    torch.testing.assert_close(light_factors(light, normals), torch.ones(3, 9, 3))
    torch.testing.assert_close(light_factors(2 * light, normals), torch.full((3, 9, 3), 2.0))


def test_light_from_one_side_is_never_below_zero() -> None:
    light = torch.zeros(9, 3)
    light[2] = 1.0  # the harmonic that grows with z
    above, below = light_factors(light, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    assert float(above[0]) == pytest.approx((3 / (4 * torch.pi)) ** 0.5, rel=1e-5) and not below.any()
