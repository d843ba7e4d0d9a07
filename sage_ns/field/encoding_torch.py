"""The definition of the grid encoding in plain torch: any floating-point type and device, any order of derivative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sage_ns.field.grid_layout import PRIMES, GridLayout


def encode_torch(
    x: Float[Tensor, "num_points 3"],
    table: Float[Tensor, "num_entries features_per_level"],
    layout: GridLayout,
    weights: Sequence[float],
) -> Float[Tensor, "num_points num_features"]:
    """Compute the features of all levels side by side, coarse to fine, trilinear within each cell.

    Args:
        x: points of the unit cube; others are clamped to it.
        table: all levels' entries, see `GridLayout.offsets`.
        layout: geometry of the levels.
        weights: factor of each level; 0 closes it.
    """
    x = x.clamp(0.0, 1.0)
    features = []
    for level, weight in enumerate(weights):
        if weight == 0.0:
            features.append(x.new_zeros(len(x), table.shape[1]))
            continue
        place = x * layout.scales[level] + 0.5
        cell = place.detach().floor()
        entries = table[corner_entries(cell.long(), layout, level)]
        features.append(weight * (_corner_weights(place - cell)[..., None] * entries).sum(dim=1))
    return torch.cat(features, dim=1)


def corner_entries(
    cell: Int64[Tensor, "num_points 3"], layout: GridLayout, level: int
) -> Int64[Tensor, "num_points 8"]:
    """Return the rows of the table that hold a cell's eight corners, x fastest."""
    corner = torch.arange(8, device=cell.device)
    x, y, z = (cell[:, None, axis] + (corner >> axis & 1) for axis in range(3))
    size, resolution = layout.sizes[level], layout.resolutions[level]
    if layout.hashed[level]:
        entry = x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]
    else:
        entry = x + resolution * (y + resolution * z)
    return layout.offsets[level] + entry % size


def _corner_weights(fraction: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 8"]:
    sides = torch.stack((1.0 - fraction, fraction), dim=-1)
    along_x, along_y, along_z = sides.unbind(dim=1)
    return (along_z[:, :, None, None] * along_y[:, None, :, None] * along_x[:, None, None, :]).flatten(1)
