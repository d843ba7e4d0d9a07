"""The few nearest of many points, within a reach: compiled on the CPU, sorted distances on other devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from sage_ns.system.parallel import even_bounds, run_chunks

_RINGS = 3
"""Cells of the grid within the reach."""
_MIN_CHUNK = 1024
"""Smallest number of places for which a thread is worth its start."""
_ROWS = 4096
"""Places whose distances to all points are in memory at once."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest points of every place, nearest first."""

    index: Int64[Tensor, "num_places count"]
    """0 where there is none within reach."""
    distance: Float[Tensor, "num_places count"]
    """Metres; infinite where there is none within reach."""


class NearestPoints:
    """Finds the ``count`` nearest points of places, without gradients; on CUDA, nothing waits for the device.

    On the CPU, in float32, a kernel visits rings of cells around each place. On other devices, the distances to all
    points are sorted.

    Args:
        points: metres, finite.
        count: how many to find.
        reach: metres; points farther away are not found.

    Raises:
        ValueError: fewer points than ``count``.
    """

    def __init__(self, points: Float[Tensor, "num_points 3"], count: int, reach: float) -> None:
        if len(points) < count:
            raise ValueError(f"NearestPoints: found {len(points)} points, expected at least {count}")
        self.points = points.detach()
        self.count = count
        self.reach = reach
        if points.device.type == "cpu":
            self._sort_into_cells()

    def _sort_into_cells(self) -> None:
        self._cell = np.float32(self.reach / _RINGS)
        points = self.points.float().numpy()
        self._low = points.min(axis=0) - _RINGS * self._cell
        cells = np.floor((points - self._low) / self._cell).astype(np.int64)
        size = tuple(cells.max(axis=0) + 1 + _RINGS)
        cell = np.ravel_multi_index(tuple(cells.T), size)
        self._original = np.argsort(cell, kind="stable")
        self._sorted = points[self._original]
        counts = np.bincount(cell, minlength=int(np.prod(size)))
        self._first = np.concatenate([[0], counts.cumsum()])
        within = torch.from_numpy(counts > 0).float().reshape(1, *size)
        start_ring = (1 + _RINGS) - within
        for _ in range(_RINGS):
            within = F.max_pool3d(within, 3, stride=1, padding=1)
            start_ring = start_ring - within
        self._start_ring = start_ring[0].to(torch.int8).numpy()

    @torch.no_grad()
    def __call__(self, places: Float[Tensor, "num_places 3"]) -> Nearest:
        """Return the nearest points of ``places`` [metres]."""
        if places.device.type != "cpu":
            return self.by_all_distances(places)
        from sage_ns.geometry._numba_nearest import nearest

        index = torch.empty(len(places), self.count, dtype=torch.int64)
        distance = torch.empty(len(places), self.count)
        grid = self._sorted, self._original, self._first, self._start_ring, self._low, self._cell, _RINGS
        results = np.float32(self.reach), index.numpy(), distance.numpy()
        where = places.detach().float().contiguous().numpy()
        run_chunks(nearest, even_bounds(len(places), _MIN_CHUNK), where, *grid, *results)
        return Nearest(index, distance.to(places.dtype))

    @torch.no_grad()
    def by_all_distances(self, places: Float[Tensor, "num_places 3"]) -> Nearest:
        """Return the same by the definition, on any device."""
        index, distance = [places.new_zeros(0, self.count).long()], [places.new_zeros(0, self.count)]
        for some in places.split(_ROWS):
            # Not through a product of matrices, whose rounding error is a tenth of a millimetre.
            apart = torch.cdist(some, self.points.to(some), compute_mode="donot_use_mm_for_euclid_dist")
            found = apart.topk(self.count, largest=False)
            within = found.values <= self.reach
            index.append(torch.where(within, found.indices, 0))
            distance.append(torch.where(within, found.values, torch.inf))
        return Nearest(torch.cat(index), torch.cat(distance))
