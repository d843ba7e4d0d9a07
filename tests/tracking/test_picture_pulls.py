"""Closed forms of what a refinement consists of: pictures of one resolution, pulls at places, moving places, light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sage_ns.geometry.spherical_harmonics import sh_basis
from sage_ns.raster.cameras import project
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.lit_person import Drawing, fitted_light, plain_light
from sage_ns.tracking.picture_level import PictureLevel, picture_level
from sage_ns.tracking.picture_pulls import PictureNoise, differences, pulls, robust_sum, shown_places
from sage_ns.tracking.window import Window
from tests.tracking.known_head import random_embedding, seen_head

NOISE = PictureNoise(color=10.0, coverage=10.0)


def smooth(shift: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
    """A picture of waves that is moved by `shift` pixels to the right and down."""
    rows, columns = torch.meshgrid(torch.arange(40.0) - shift[1], torch.arange(40.0) - shift[0], indexing="ij")
    waves = [torch.sin(0.2 * columns + k) + torch.cos(0.15 * rows - k) for k in range(3)]
    return 0.5 + 0.2 * torch.stack(waves, dim=-1)


def level_of(picture: torch.Tensor) -> PictureLevel:
    ones = torch.ones_like(picture[..., :1])
    zero = torch.zeros(2, dtype=torch.float64)
    return PictureLevel(picture, ones, zero, zero + 1, zero + 20, 40.0, ones[..., 0])


def test_the_pull_at_a_place_is_its_displacement() -> None:
    moved, level = (0.6, -0.4), level_of(smooth((0.6, -0.4)))
    drawing = Drawing(smooth(), torch.ones(40, 40, 1))
    weight = torch.zeros(40, 40)
    weight[3:-3, 3:-3] = 1.0
    nearest = (torch.arange(40) >= 20).long()[None].expand(40, 40).contiguous()
    found = pulls(drawing, level, nearest, weight, 2, NOISE)
    step = torch.linalg.solve(found.tensor, found.pull)
    torch.testing.assert_close(step, torch.tensor(moved).double().expand(2, 2), atol=0.02, rtol=0)
    normal, slope = found.normal_equations(torch.eye(2, dtype=torch.float64).expand(2, 2, 2))
    together = torch.linalg.solve(normal, slope)
    torch.testing.assert_close(together, torch.tensor(moved).double(), atol=0.02, rtol=0)


def test_what_no_person_has_hardly_pulls_and_equal_pictures_do_not() -> None:
    level = level_of(smooth())
    drawing = Drawing(smooth(), torch.ones(40, 40, 1))
    weight, nearest = torch.ones(40, 40), torch.zeros(40, 40, dtype=torch.int64)
    noise = PictureNoise(color=0.02)
    assert robust_sum(differences(drawing, level, noise), weight) == 0.0
    assert not pulls(drawing, level, nearest, weight, 1, noise).pull.any()
    hidden = level.picture.clone()
    hidden[:, :8] = 0.0
    found = pulls(drawing, replace(level, picture=hidden), nearest, weight, 1, noise)
    assert float(torch.linalg.solve(found.tensor, found.pull[..., None]).norm()) < 0.1


def test_pixels_belong_to_the_nearest_place_within_reach() -> None:
    nearest, near = shown_places(torch.tensor([[2.5, 1.5], [7.5, 1.5]]), (3, 20), 4.0)
    assert nearest[1, :10].tolist() == [0] * 5 + [1] * 5
    assert near[1, 10] and not near[1, 15]


def test_a_level_has_the_camera_of_the_photo() -> None:
    window = Window(30, 20, 40, 60, 2)
    level = picture_level(np.zeros((60, 40, 3)), np.ones((60, 40)), window, (200, 240), 80.0, 20.0)
    assert level.size == (30, 20) and level.face_width == pytest.approx(20.0)
    point = torch.tensor([[0.03, 0.05, -0.6]])
    in_photo = project(point, Window(0, 0, 200, 240, 1).camera(500.0, (200, 240))).pixels.double()
    found = project(point, level.camera(500.0)).pixels.double()
    torch.testing.assert_close(found, level.pixels(in_photo), atol=1e-4, rtol=0)
    whole = picture_level(np.zeros((60, 40, 3)), np.ones((60, 40)), window, (200, 240), 80.0, 1000.0)
    assert whole.size == (60, 40)


def test_unknowns_and_parameters_are_inverse() -> None:
    model = builtin_head()
    rig = LandmarkRig(model, random_embedding(model), (300.0, 400.0))
    x = seen_head(rig, 5)
    torch.testing.assert_close(
        rig.unknowns_of(rig.whole(x, model), float(x[rig.unknowns.focal].exp())), x, atol=1e-6, rtol=0
    )


def test_the_light_of_a_picture_is_found_despite_what_is_hidden() -> None:
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(30, 30, 3, generator=generator), dim=-1)
    normals[..., 2].abs_()
    color = 0.3 + 0.2 * torch.rand(30, 30, 3, generator=generator)
    basis = sh_basis(normals.reshape(-1, 3), 9).T.reshape(9, 30, 30, 1) * color
    light = plain_light()
    light[0] *= torch.tensor([1.2, 0.9, 0.8])
    light[3] += 0.15
    truth = torch.einsum("khwc,kc->hwc", basis, light)
    picture = truth.clone()
    picture[:5] = 0.0
    alpha, weight = torch.ones(30, 30, 1), torch.ones(30, 30)
    found = fitted_light(basis, alpha, picture, weight, 0.02, 1e-6)
    torch.testing.assert_close(torch.einsum("khwc,kc->hwc", basis, found), truth, atol=0.02, rtol=0)
    assert float((found[0] - light[0]).abs().max()) < 0.3
    stiff = fitted_light(basis, alpha, picture, weight, 0.02, 1e3)
    assert float(stiff[1:].abs().max()) < 0.01
    torch.testing.assert_close(fitted_light(basis, 0 * alpha, picture, weight, 0.02, 1e-6), plain_light())
