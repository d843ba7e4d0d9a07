"""Pictures computed by tiles: equal to the whole, without seams, whatever the size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.image.tiles import tiled


def picture(height: int, width: int) -> Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(height + width), dtype=torch.float64)


def convolved(image: Tensor) -> Tensor:
    """Enlarges by two and blurs over 7 pixels: at its borders it sees zeros, as networks do."""
    kernel = torch.ones(3, 1, 7, 7, dtype=image.dtype) / 49
    planes = F.conv2d(image.permute(2, 0, 1)[None], kernel, padding=3, groups=3)
    return F.interpolate(planes, scale_factor=2, mode="nearest")[0].permute(1, 2, 0)


@pytest.mark.parametrize(("height", "width"), [(20, 24), (24, 25), (57, 91), (24, 200), (130, 20)])
def test_tiles_equal_the_whole(height: int, width: int) -> None:
    """The network's reach is within the margin: what a tile's inner border changes does not count."""
    image = picture(height, width)
    sizes: list[tuple[int, int]] = []

    def function(part: Tensor) -> Tensor:
        sizes.append((part.shape[0], part.shape[1]))
        return convolved(part)

    result = tiled(function, image, 2, tile=24, overlap=10, margin=4)
    torch.testing.assert_close(result, convolved(image), rtol=1e-12, atol=1e-12)
    assert max(map(max, sizes)) <= 24 and (len(sizes) == 1) == (max(height, width) <= 24)


def test_neighbours_that_disagree_are_blended() -> None:
    """Two tiles with values 0 and 1: between them the result rises steadily, without a step."""
    values = iter((0.0, 1.0))

    def function(part: Tensor) -> Tensor:
        return torch.full_like(part, next(values)).repeat(2, 2, 1)

    result = tiled(function, torch.zeros(8, 60, 1), 2, tile=40, overlap=20, margin=4)[0, :, 0]
    steps = result.diff()
    assert float(result[0]) == 0 and float(result[-1]) == 1
    assert float(steps.min()) >= 0 and float(steps.max()) <= 1 / 24 + 1e-6  # 12 pixels of ramp at twice the size


def test_overlaps_that_do_not_fit_are_refused() -> None:
    for overlap in (8, 24, 40):
        with pytest.raises(ValueError, match="overlap"):
            tiled(lambda part: part, torch.zeros(50, 50, 3), 1, tile=24, overlap=overlap, margin=4)
