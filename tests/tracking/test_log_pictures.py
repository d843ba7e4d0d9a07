"""Pictures as logarithms: values and gradients at pixels of the whole picture, at every size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sage_ns.tracking.log_pictures import LogPictures
from sage_ns.tracking.window import Window

DARK = 0.03


def ramp(height: int, width: int) -> np.ndarray:
    """Levels whose logarithm rises by 0.01 per pixel to the right and by 0.005 downwards."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    levels = 255 * (np.exp(-2 + 0.01 * columns + 0.005 * rows) - DARK)
    return np.repeat(levels[..., None], 3, axis=2)


def test_values_and_gradients_are_those_of_the_whole_picture_at_every_size() -> None:
    window = Window(8, 4, 80, 64, 1)
    pixels = torch.tensor([[[30.0, 20.0], [61.5, 40.25]]], dtype=torch.float64)
    for share in (1.0, 0.5, 0.25):
        pictures = LogPictures.of([ramp(90, 120)], window, 40.0, 40.0 * share)
        values, gradients, inside = pictures.at(pixels)
        wanted = -2 + 0.01 * pixels[..., 0] + 0.005 * pixels[..., 1]
        assert torch.allclose(values, wanted[..., None].expand(-1, -1, 3), atol=2e-3)
        assert torch.allclose(gradients[..., 0], torch.full_like(values, 0.01), atol=3e-4)
        assert torch.allclose(gradients[..., 1], torch.full_like(values, 0.005), atol=3e-4)
        assert inside.tolist() == [[1.0, 1.0]]
    assert LogPictures.of([ramp(90, 120)], window, 40.0, 400.0).values.shape == (1, 3, 64, 80)


def test_smaller_pictures_keep_the_pixels_of_the_whole_picture() -> None:
    pictures = LogPictures.of([ramp(90, 120)], Window(8, 4, 80, 64, 1), 40.0, 40.0)
    pixels = torch.tensor([[[33.0, 28.0]]], dtype=torch.float64)
    small = pictures.smaller(0.5)
    assert small.values.shape == (1, 3, 32, 40)
    assert torch.allclose(small.at(pixels)[0], pictures.at(pixels)[0], atol=2e-3)
    assert torch.allclose(small.at(pixels)[1], pictures.at(pixels)[1], atol=3e-4)


@pytest.mark.parametrize("pixel", [(7.0, 20.0), (89.0, 20.0), (30.0, 3.0), (30.0, 69.0)])
def test_outside_of_the_window_nothing_is_seen(pixel: tuple[float, float]) -> None:
    pictures = LogPictures.of([ramp(90, 120)], Window(8, 4, 80, 64, 1), 40.0, 40.0)
    assert pictures.at(torch.tensor([[pixel]], dtype=torch.float64))[2].item() == 0.0
