"""Layout of a multi-resolution grid: the table entries of each level's vertices.

Mueller et al. 2022, "Instant neural graphics primitives", with the conventions of tiny-cuda-nn, so that one table of
features serves every backend: a level of `scale` s places x in 0..1 at s x + 1/2 (in cells); its vertices are
numbered with x fastest if all of them fit into the table, and hashed otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIMES = (1, 2654435761, 805459861)
"""Factors of a vertex's three coordinates in the spatial hash."""

_MULTIPLE = 8


@dataclass(frozen=True)
class GridLayout:
    """Geometry of all levels, coarse to fine.

    Attributes:
        scales: cells over the unit cube's edge, a float32 value.
        resolutions: vertices along an edge.
        sizes: entries in the table; fewer than vertices if hashed.
        hashed: whether vertices share entries.
        log2_table_size: entries of a hashed level, as an exponent of 2.
    """

    scales: tuple[float, ...]
    resolutions: tuple[int, ...]
    sizes: tuple[int, ...]
    hashed: tuple[bool, ...]
    log2_table_size: int

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.scales)

    @property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each level, and the number of all entries."""
        return (0, *np.cumsum(self.sizes).tolist())


def grid_layout(num_levels: int, log2_table_size: int, coarsest: int, finest: int) -> GridLayout:
    """Build levels whose resolutions grow geometrically from `coarsest` to `finest` vertices along an edge.

    Raises:
        ValueError: a number out of range.
    """
    if num_levels < 1:
        raise ValueError(f"a grid of {num_levels} levels: give at least 1")
    if not 2 <= coarsest <= finest <= 2**14:
        raise ValueError(f"resolutions from {coarsest} to {finest}: need 2 <= coarsest <= finest <= 16384")
    if not 3 <= log2_table_size <= 24:
        raise ValueError(f"a table of 2^{log2_table_size} entries: give an exponent in 3..24")
    growth = np.log2(np.float32(finest / coarsest)) / np.float32(max(num_levels - 1, 1))
    scales = np.exp2(np.arange(num_levels, dtype=np.float32) * growth) * np.float32(coarsest) - np.float32(1.0)
    resolutions = [int(np.ceil(scale)) + 1 for scale in scales]
    full = [-(-(resolution**3) // _MULTIPLE) * _MULTIPLE for resolution in resolutions]
    sizes = [min(size, 2**log2_table_size) for size in full]
    hashed = [resolution**3 > size for resolution, size in zip(resolutions, sizes, strict=True)]
    return GridLayout(tuple(scales.tolist()), tuple(resolutions), tuple(sizes), tuple(hashed), log2_table_size)
