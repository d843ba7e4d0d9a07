"""Apply a function to a picture tile by tile, with overlaps that are blended: memory does not grow with the picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

TILE, OVERLAP = 192, 32
"""Side of a tile and smallest overlap of neighbours, in pixels of the input."""
MARGIN = 8
"""Pixels at the inner borders of a tile that do not count: there, a network sees a border that the picture has not."""


def tiled(
    function: Callable[[Float[Tensor, "h w channels"]], Float[Tensor, "big_h big_w channels"]],
    image: Float[Tensor, "h w channels"],
    scale: int,
    tile: int = TILE,
    overlap: int = OVERLAP,
    margin: int = MARGIN,
) -> Float[Tensor, "big_h big_w channels"]:
    """Return ``function(image)``, computed on overlapping tiles.

    From the margin on, a tile's weight rises linearly over the overlap; weights are divided by their sum.

    Args:
        function: enlarges any picture of at most ``tile`` x ``tile`` pixels by ``scale``.
        image: the picture; one tile suffices if it is small.
        scale: whole number.
        tile: largest side of a tile.
        overlap: smallest overlap of neighbouring tiles, more than twice the margin and less than ``tile``.
        margin: pixels at inner borders whose weight is zero.

    Raises:
        ValueError: the overlap does not fit tile and margin.
    """
    if not 2 * margin < overlap < tile:
        raise ValueError(f"overlap {overlap} must be more than twice the margin {margin} and less than the tile {tile}")
    rows, columns = (_starts(size, tile, overlap) for size in image.shape[:2])
    if len(rows) * len(columns) == 1:
        return function(image)
    total = image.new_zeros(image.shape[0] * scale, image.shape[1] * scale, image.shape[2])
    weight = image.new_zeros(image.shape[0] * scale, image.shape[1] * scale, 1)
    for top in rows:
        for left in columns:
            part = image[top : top + tile, left : left + tile]
            along = _window(top, part.shape[0], image.shape[0], scale, overlap, margin)
            across = _window(left, part.shape[1], image.shape[1], scale, overlap, margin)
            window = (along[:, None] * across)[..., None].to(image)
            where = (
                slice(top * scale, (top + part.shape[0]) * scale),
                slice(left * scale, (left + part.shape[1]) * scale),
            )
            total[where] += window * function(part)
            weight[where] += window
    return total / weight


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles start along an axis: as few as possible, evenly spaced, the last one ends with the picture."""
    if size <= tile:
        return [0]
    count = math.ceil((size - overlap) / (tile - overlap))
    return [round(index * (size - tile) / (count - 1)) for index in range(count)]


def _window(start: int, length: int, size: int, scale: int, overlap: int, margin: int) -> Float[Tensor, "big_length"]:
    """Return the weight of a tile along an axis; borders of the picture itself have full weight."""
    position = (torch.arange(length * scale) + 0.5) / scale
    inner = torch.full_like(position, math.inf)
    if start > 0:
        inner = torch.minimum(inner, position)
    if start + length < size:
        inner = torch.minimum(inner, length - position)
    return ((inner - margin) / (overlap - 2 * margin)).clamp(0, 1)
