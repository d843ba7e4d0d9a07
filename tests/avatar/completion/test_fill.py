"""Completing a head from one picture: what is hair, how thick it is, and what the unseen side looks like."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.avatar.completion.fill import Filled, fill
from sage_ns.avatar.completion.hair import USUAL, Thickness, thickness_at_outline
from sage_ns.avatar.completion.photo import Photo
from sage_ns.capture.shot import Shot
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig import FlameParams, HeadModel
from tests.tiny import tiny_head_model

SKIN, HAIR, WHITE = torch.tensor([0.8, 0.6, 0.5]), torch.tensor([0.2, 0.15, 0.1]), torch.ones(3)
THICK = 0.02


def camera(width: int = 120, height: int = 150, turned: float = 0.0) -> PinholeCamera:
    """One metre in front of the head, turned about the vertical axis by degrees."""
    angle = torch.deg2rad(torch.tensor(turned))
    cos, sin = float(angle.cos()), float(angle.sin())
    pose = torch.tensor([[cos, 0, sin, sin], [0, 1.0, 0, 0], [-sin, 0, cos, cos]])
    return PinholeCamera.from_opengl(pose, 3.0 * width, 3.0 * width, width / 2, height / 2, width, height)


def picture(model: HeadModel, view: PinholeCamera, hair: bool = True) -> Shot:
    """The head as a smooth ellipsoid with a cap of hair, 2 cm thick, over the upper half; colours vary by noise."""
    origins, directions = pixel_rays(view)
    generator = torch.Generator().manual_seed(0)

    def met(thick: float) -> tuple[Tensor, Tensor]:
        axes = torch.tensor([0.08, 0.11, 0.09]) + thick
        o, d = origins / axes, directions / axes
        a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
        root = b * b - a * c
        at = origins + ((-b - root.clamp_min(0).sqrt()) / a)[..., None] * directions
        return root > 0, at

    hits, at = met(0.0)
    color = torch.where(hits[..., None], SKIN + 0.05 * at[..., :1] / 0.08, WHITE)
    if hair:
        capped, where = met(THICK)
        capped &= where[..., 1] > 0.045
        color, hits = torch.where(capped[..., None], HAIR, color), hits | capped
        brow = hits & ((at[..., 0].abs() - 0.03).abs() < 0.012) & ((at[..., 1] - 0.02).abs() < 0.005)
        color = torch.where(brow[..., None], HAIR, color)
    noise = 0.02 * torch.randn(color.shape, generator=generator)
    return Shot(view, torch.where(hits[..., None], color + noise, WHITE).clamp(0, 1), hits[..., None].float())


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return tiny_head_model()


def completed(model: HeadModel, shot: Shot, reach: float = 0.08, num: int = 4000) -> Filled:
    motion = FlameParams.neutral(model).motion_vector()[0]
    return fill(model, motion, model.v_template, shot, num, reach, 0, torch.Generator().manual_seed(0))


def places(filled: Filled, model: HeadModel) -> Tensor:
    return filled.surfels.centers(triangle_frames(model.v_template, model.triangles)).detach()


def colors(filled: Filled) -> Tensor:
    return (0.5 + C0 * filled.surfels.sh_dc[:, 0]).detach()


def test_hair_is_told_from_skin_by_its_colour_and_brows_are_none(model: HeadModel) -> None:
    shot = picture(model, camera())
    found = Photo(shot, model, model.v_template).is_hair
    dark = (shot.picture - HAIR).norm(dim=-1) < 0.15
    upper = torch.arange(shot.camera.height)[:, None] < 60
    assert (found == (dark & upper)).float().mean() > 0.99
    assert int((dark & ~upper).sum()) > 20, "the picture has brows"
    assert not (found & ~upper).any()


def test_a_shaved_head_has_no_hair(model: HeadModel) -> None:
    shot = picture(model, camera(), hair=False)
    assert not Photo(shot, model, model.v_template).is_hair.any()
    filled = completed(model, shot)
    assert (colors(filled) - SKIN).abs().amax(dim=-1).quantile(0.99) < 0.2


def test_thickness_is_that_of_the_outline_on_both_sides(model: HeadModel) -> None:
    frames = triangle_frames(model.v_template, model.triangles)
    hair = frames.origin[:, 1] > 0.055
    shot = picture(model, camera())
    found = thickness_at_outline(frames.origin, frames.normal, hair, frames.origin, shot)
    assert len(found.values) > 0
    everywhere = found.at(frames.origin[hair])
    # The tiny head is a polyhedron inside of the ellipsoid: its triangles lie up to a centimetre deep.
    assert float(everywhere.min()) > THICK - 0.003 and float(everywhere.max()) < THICK + 0.013
    flipped = frames.origin[hair] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(found.at(flipped), everywhere)


def test_without_an_outline_hair_is_as_thick_as_usual() -> None:
    nothing = Thickness(torch.zeros(0, 3), torch.zeros(0))
    assert nothing.at(torch.zeros(2, 3)).tolist() == pytest.approx([USUAL, USUAL])


def test_hair_stays_within_its_reach_and_the_silhouette(model: HeadModel) -> None:
    shot = picture(model, camera())
    frames = triangle_frames(model.v_template, model.triangles)
    for reach in (0.005, 0.08):
        filled = completed(model, shot, reach)
        triangle = filled.surfels.triangle
        height = ((places(filled, model) - frames.origin[triangle]) * frames.normal[triangle]).sum(dim=-1)
        assert float(height.max()) < min(reach, THICK + 0.013) + 1e-4
    forehead = places(filled, model)
    assert float(forehead[:, 2].max()) < 0.09 + THICK + 0.005, "no hair stands before the face"


def test_the_back_of_the_head_is_hair_and_the_neck_is_skin(model: HeadModel) -> None:
    filled = completed(model, picture(model, camera()))
    at, seen = places(filled, model), colors(filled)
    back = (at[:, 2] < -0.05) & (at[:, 1] > 0.05)
    neck = (at[:, 2] < -0.02) & (at[:, 1] < -0.085)
    assert (seen[back] - HAIR).norm(dim=-1).mean() < 0.1
    assert (seen[neck] - SKIN).norm(dim=-1).mean() < 0.15


def test_the_unseen_side_mirrors_the_seen_one(model: HeadModel) -> None:
    shot = picture(model, camera(turned=50.0), hair=False)
    height, width = shot.camera.height, shot.camera.width
    stripes = (torch.arange(height) // 12 % 2).float()[:, None, None].expand(height, width, 1)
    shot = replace(
        shot, picture=torch.where(shot.foreground > 0.5, 0.3 + 0.4 * stripes.expand(-1, -1, 3), shot.picture)
    )
    filled = completed(model, shot)
    at, found = places(filled, model), colors(filled)[:, 0]
    unseen = (~filled.seen & (at[:, 0] < -0.05) & (at[:, 2] > 0.0)).nonzero()[:, 0]
    assert len(unseen) > 50
    seen = filled.seen.nonzero()[:, 0]
    apart, nearest = torch.cdist(at[unseen] * torch.tensor([-1.0, 1.0, 1.0]), at[seen]).min(dim=1)
    across = found[seen][nearest]
    alike = (apart < 0.004) & ((across - 0.3).abs().minimum((across - 0.7).abs()) < 0.05)
    correlation = torch.corrcoef(torch.stack([found[unseen][alike], across[alike]]))[0, 1]
    assert float(correlation) > 0.7


def test_colours_of_seen_places_are_those_of_the_picture(model: HeadModel) -> None:
    shot = picture(model, camera(), hair=False)
    filled = completed(model, shot)
    at = places(filled, model)[filled.seen]
    assert 0.2 < filled.seen.float().mean() < 0.7
    truth = SKIN + 0.05 * at[:, :1] / 0.08
    assert (colors(filled)[filled.seen] - truth).abs().mean() < 0.03


def test_a_picture_that_shows_nothing_gives_grey(model: HeadModel) -> None:
    shot = picture(model, camera())
    empty = replace(shot, mask=torch.zeros_like(F.relu(shot.foreground)))
    filled = completed(model, empty)
    assert not filled.seen.any()
    assert torch.allclose(colors(filled), torch.full((), 0.5))
