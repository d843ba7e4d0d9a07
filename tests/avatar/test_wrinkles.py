from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.avatar.wrinkles import with_rendered_wrinkles, wrinkle_shade
from sage_ns.raster import Buffers

SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
TRIANGLES = torch.tensor([[0, 1, 2], [0, 2, 3], [1, 1, 2]])
SKIN = torch.ones(3, dtype=torch.bool)


def test_skin_that_loses_a_third_of_its_area_darkens_by_a_third_of_the_strength() -> None:
    pushed = SQUARE * torch.tensor([2 / 3, 1.0, 1.0])
    shade = wrinkle_shade(SQUARE, pushed, TRIANGLES, SKIN, 0.3)
    torch.testing.assert_close(shade[:2], torch.full((2,), 0.9))
    assert shade[2] == 1.0, "a triangle without area keeps its colour"


def test_stretched_resting_and_other_skin_keep_their_colour() -> None:
    assert (wrinkle_shade(SQUARE, 1.5 * SQUARE, TRIANGLES, SKIN, 0.3) == 1).all()
    assert (wrinkle_shade(SQUARE, SQUARE, TRIANGLES, SKIN, 0.3) == 1).all()
    assert (wrinkle_shade(SQUARE, 0.5 * SQUARE, TRIANGLES, ~SKIN, 0.3) == 1).all()
    assert (wrinkle_shade(SQUARE, 0.5 * SQUARE, TRIANGLES, SKIN, 0.0) == 1).all()


def rendering(angles: Tensor, distortion: Tensor, alpha: float = 0.8) -> Buffers:
    """A row of pixels whose surfels are turned from the surface by ``angles`` [rad]."""
    num = len(angles)
    surface = torch.tensor([0.0, 0.0, 1.0]).repeat(1, num, 1)
    normal = alpha * torch.stack([angles.sin(), torch.zeros(num), angles.cos()], dim=-1)[None]
    ones = torch.ones(1, num, 1)
    color = alpha * torch.tensor([0.9, 0.5, 0.2]).repeat(1, num, 1)
    return Buffers(color, alpha * ones, ones, ones, normal, surface, alpha**2 * distortion.reshape(1, num, 1))


def test_surfels_that_turn_from_the_rendered_surface_are_darkened() -> None:
    buffers = rendering(torch.tensor([0.0, torch.pi / 3, torch.pi / 2]), torch.zeros(3))
    found = with_rendered_wrinkles(buffers, 0.4, 0.7)
    # Errors of 0, 1/2 and 1; their mean is 1/2.
    expected = buffers.color * torch.tensor([1.0, 1.0, 1 - 0.4 * 0.5])[None, :, None]
    torch.testing.assert_close(found.color, expected)
    assert found.alpha is buffers.alpha and found.normal is buffers.normal


def test_surfels_that_are_apart_are_dimmed_up_to_a_centimetre() -> None:
    buffers = rendering(torch.zeros(4), torch.tensor([0.0, 0.001, 0.010, 0.001]))
    found = with_rendered_wrinkles(buffers, 0.4, 0.2)
    torch.testing.assert_close(found.color, buffers.color * torch.tensor([1.0, 1.0, 0.86, 1.0])[None, :, None])
    far = rendering(torch.zeros(3), torch.tensor([0.0, 0.0, 0.5]))
    torch.testing.assert_close(
        with_rendered_wrinkles(far, 0.4, 0.2).color, far.color * torch.tensor([1.0, 1.0, 0.8])[None, :, None]
    )
    assert torch.equal(with_rendered_wrinkles(buffers, 0.4, 0.0).color, buffers.color)


def test_a_head_that_is_wrong_everywhere_is_not_darkened() -> None:
    buffers = rendering(torch.full((3,), 1.0), torch.full((3,), 0.05))
    torch.testing.assert_close(with_rendered_wrinkles(buffers, 0.5, 0.5).color, buffers.color)


def test_pixels_without_a_surface_keep_their_colour() -> None:
    buffers = rendering(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.01, 0.01, 0.0]))
    buffers.normal_from_depth[:, 1] = 0.0
    found = with_rendered_wrinkles(buffers, 0.5, 0.5).color
    assert torch.equal(found[:, 1], buffers.color[:, 1]) and (found[:, 0] < buffers.color[:, 0]).all()
    assert with_rendered_wrinkles(rendering(torch.zeros(0), torch.zeros(0)), 0.5, 0.5).color.shape == (1, 0, 3)
