"""Avatars as splats: the placed surfels, without effects that depend on the camera."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.mouth import joined
from sage_ns.exchange.splats import THICKNESS, Splats, splats_of, with_thickness
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.geometry.spherical_harmonics import sh_colors
from sage_ns.raster import Surfels
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from tests.exchange.bound_avatars import small_avatar
from tests.tiny import tiny_head_model

EYE = torch.tensor([0.3, 0.2, 1.0])


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return small_avatar(tiny_head_model(), sh_degree=2)


def seen(splats: Splats) -> Surfels:
    colors = sh_colors(splats.sh, splats.means, EYE)
    return Surfels(splats.means, splats.quaternions, splats.log_scales.exp(), splats.opacity_logits.sigmoid(), colors)


def assert_same(splats: Splats, expected: Surfels) -> None:
    found = seen(splats)
    for name in ("means", "scales", "opacities"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=2e-5, rtol=1e-4)
    # Placing colours surfels at their positions before the correction, which moves them by millimetres.
    torch.testing.assert_close(found.colors, expected.colors, atol=3e-3, rtol=0)
    turned = quaternion_to_matrix(found.quaternions) - quaternion_to_matrix(expected.quaternions)
    assert turned.abs().max() < 1e-5


@pytest.mark.parametrize("row", [1, 3])
def test_splats_agree_with_placed_surfels_including_wrinkles_and_correction(avatar: Avatar, row: int) -> None:
    motion = avatar.motion.motion[row]
    with torch.no_grad():
        placed = avatar.place(EYE, motion, replace(avatar.look, dark_interior=False))
        smooth = avatar.place(EYE, motion, replace(avatar.look, dark_interior=False, wrinkles=0.0))
    assert_same(splats_of(avatar, motion), placed)
    assert bool((placed.colors - smooth.colors).abs().max() > 0.02) == (row == 3), "wrinkles show away from rest"


def test_the_mouth_is_included_with_its_shading() -> None:
    avatar = small_avatar(builtin_head(2), sh_degree=0, mouth=True, num_surfels=50)
    assert avatar.mouth is not None
    motion = avatar.motion.canonical().clone()
    motion[FlameParams.JAW][0] = 0.35
    look = replace(avatar.look, surfel_size=1.5)
    with torch.no_grad():
        head = avatar.place(EYE, motion, replace(look, mouth=False, dark_interior=False))
        mouth = avatar.mouth.place(motion, EYE)
        expected = joined(head, replace(mouth, scales=1.5 * mouth.scales))
    splats = splats_of(avatar, motion, look)
    assert splats.degree == 1, "the mouth's, which the head's is filled up to"
    assert_same(splats, expected)
    assert len(splats_of(avatar, motion, replace(look, mouth=False)).means) == 50


def test_half_a_turn_turns_places_discs_and_the_colours_of_directions(avatar: Avatar) -> None:
    splats = splats_of(avatar, avatar.motion.canonical()).of_degree(3)
    splats = replace(splats, sh=0.2 * torch.randn(splats.sh.shape, generator=torch.Generator().manual_seed(1)))
    turned = splats.upside_down()
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    torch.testing.assert_close(turned.means, splats.means @ half_turn)
    axes, turned_axes = quaternion_to_matrix(splats.quaternions), quaternion_to_matrix(turned.quaternions)
    torch.testing.assert_close(turned_axes, half_turn @ axes, atol=1e-6, rtol=0)
    colors = sh_colors(turned.sh, turned.means, half_turn @ EYE)
    torch.testing.assert_close(colors, sh_colors(splats.sh, splats.means, EYE), atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.upside_down().sh, splats.sh)


def test_the_third_scale_is_a_small_part_of_the_smaller_one() -> None:
    scales = with_thickness(torch.tensor([[2.0, 0.5], [1.0, 4.0]]).log()).exp()
    torch.testing.assert_close(scales[:, 2], THICKNESS * torch.tensor([0.5, 1.0]))


def test_gaussians_keep_their_three_scales_and_become_discs_for_programs_that_have_discs_only(avatar: Avatar) -> None:
    flat = splats_of(avatar, avatar.motion.canonical())
    third = torch.linspace(-2.0, 2.0, len(flat.means))[:, None] + flat.log_scales[:, :1]
    solid = replace(flat, log_scales=torch.cat([flat.log_scales, third], dim=1))
    assert torch.equal(solid.ellipsoid_log_scales, solid.log_scales)
    assert flat.as_discs() is flat
    discs = solid.as_discs()
    expected = solid.log_scales.sort(dim=1).values
    assert torch.equal(discs.log_scales.sort(dim=1).values, expected[:, 1:])
    axes = quaternion_to_matrix(discs.quaternions)
    given = quaternion_to_matrix(solid.quaternions)
    shortest = solid.log_scales.argmin(dim=1)
    along = (axes[..., 2] * given[torch.arange(len(given)), :, shortest]).sum(dim=-1).abs()
    torch.testing.assert_close(along, torch.ones_like(along))
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones_like(along))
