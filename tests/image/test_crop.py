"""Turned squares in pictures: places and pixels."""

from __future__ import annotations

import math

import torch

from sage_ns.image.crop import Crop, around, sampled


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_corners_go_round_the_centre():
    crop = Crop((10.0, 20.0), 4.0, math.pi / 2)
    found = crop.to_picture(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5]]))
    torch.testing.assert_close(found, torch.tensor([[12.0, 18.0], [12.0, 22.0], [10.0, 20.0]]))


def test_a_crop_of_whole_pixels_is_those_pixels():
    whole = picture(12, 9)
    found = sampled(whole, Crop((5.0, 7.0), 4.0), 4, "zeros")
    torch.testing.assert_close(found, whole[5:9, 3:7] / 255)


def test_a_quarter_turn_turns_the_pixels():
    whole = picture(8, 8)
    found = sampled(whole, Crop((4.0, 4.0), 8.0, math.pi / 2), 8, "zeros")
    torch.testing.assert_close(found, torch.rot90(whole, 1) / 255, atol=1e-5, rtol=0)


def test_what_is_beyond_the_picture_is_black_or_its_border():
    whole = picture(6, 6)
    crop = Crop((0.0, 3.0), 6.0)
    black, border = (sampled(whole, crop, 6, beyond) for beyond in ("zeros", "border"))
    assert float(black[:, :3].max()) < 1e-5
    torch.testing.assert_close(border[:, 0], whole[:, 0] / 255)
    torch.testing.assert_close(border[:, 3:], whole[:, :3] / 255)
    assert not sampled(whole, Crop((-500.0, -500.0), 6.0), 6, "zeros").any()


def test_a_much_finer_picture_is_averaged():
    whole = picture(64, 64)
    found = sampled(whole, Crop((32.0, 32.0), 64.0), 8, "zeros")
    expected = (whole / 255).reshape(8, 8, 8, 8, 3).mean((1, 3))
    torch.testing.assert_close(found, expected)


def test_a_ramp_stays_where_it_is_at_every_scale_and_angle():
    height, width = 300, 400
    x = (torch.arange(width) + 0.5)[None].expand(height, width)
    y = (torch.arange(height) + 0.5)[:, None].expand(height, width)
    whole = torch.stack([x / 2, y / 2, x * 0], -1).round().to(torch.uint8)
    for side, angle in ((20.0, 0.3), (90.0, -2.0), (180.0, 1.0)):
        crop = Crop((200.0, 150.0), side, angle)
        found = sampled(whole, crop, 32, "border") * 255 * 2
        steps = (torch.arange(32) + 0.5) / 32
        places = crop.to_picture(torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1))
        assert float((found[..., :2] - places).mean((0, 1)).abs().max()) < 0.6  # bytes are rounded to even ones


def test_a_crop_around_points_turns_with_the_axis():
    points = torch.tensor([[10.0, 10.0], [30.0, 10.0], [20.0, 16.0]])
    crop = around(points, torch.tensor([[10.0, 10.0], [20.0, 20.0]]), 1.5)
    assert crop.centre == (20.0, 13.0)
    assert math.isclose(crop.side, 30.0) and math.isclose(crop.angle, math.pi / 4, rel_tol=1e-6)
