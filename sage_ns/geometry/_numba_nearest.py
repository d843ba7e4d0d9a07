"""Kernel of :mod:`sage_ns.geometry.nearest_points`: rings of cells around each place, until nothing nearer can come."""

from __future__ import annotations

import math

import numpy as np

from sage_ns.system.compiled import njit


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _scan(i, x, y, z, begin, end, points, original, index, distance):
    """Sort points begin..end into the nearest ones of place i; ``distance`` is squared."""
    last = distance.shape[1] - 1
    limit = distance[i, last]
    for j in range(begin, end):
        dx, dy, dz = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
        apart = dx * dx + dy * dy + dz * dz
        if apart < limit:
            place = last
            while place > 0 and distance[i, place - 1] > apart:
                distance[i, place], index[i, place] = distance[i, place - 1], index[i, place - 1]
                place -= 1
            distance[i, place], index[i, place] = apart, original[j]
            limit = distance[i, last]


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def nearest(start, stop, places, points, original, first, start_ring, low, cell, rings, reach, index, distance):
    """Write the nearest points of places start..stop: their indices (0: none) and distances (infinite: none).

    ``points`` are sorted by cell, z fastest; those of cell c are first[c]..first[c + 1], and ``original`` are their
    indices. ``start_ring`` is, of each cell, how many cells away the first point is, or ``rings`` + 1. ``low`` is the
    corner of the grid.
    """
    last, beyond = distance.shape[1] - 1, reach * reach
    size = start_ring.shape
    for i in range(start, stop):
        x, y, z = places[i, 0], places[i, 1], places[i, 2]
        for k in range(last + 1):
            index[i, k], distance[i, k] = 0, beyond
        fx, fy, fz = (x - low[0]) / cell, (y - low[1]) / cell, (z - low[2]) / cell
        cx, cy, cz = math.floor(fx), math.floor(fy), math.floor(fz)
        inset = min(min(fx - cx, cx + 1 - fx), min(fy - cy, cy + 1 - fy), min(fz - cz, cz + 1 - fz))
        outside = min(cx, cy, cz) < 0 or cx >= size[0] or cy >= size[1] or cz >= size[2]
        for ring in range(rings + 1 if outside else start_ring[cx, cy, cz], rings + 1):
            least = (ring - 1 + inset) * cell
            if ring > 0 and least * least >= distance[i, last]:
                break
            bottom, top = max(cz - ring, 0), min(cz + ring, size[2] - 1)
            for ix in range(max(cx - ring, 0), min(cx + ring, size[0] - 1) + 1):
                for iy in range(max(cy - ring, 0), min(cy + ring, size[1] - 1) + 1):
                    column = (ix * size[1] + iy) * size[2]
                    if abs(ix - cx) == ring or abs(iy - cy) == ring:
                        if bottom <= top:  # neighbours along z are neighbours in memory
                            begin, end = first[column + bottom], first[column + top + 1]
                            _scan(i, x, y, z, begin, end, points, original, index, distance)
                        continue
                    for iz in (cz - ring, cz + ring):
                        if 0 <= iz < size[2]:
                            begin, end = first[column + iz], first[column + iz + 1]
                            _scan(i, x, y, z, begin, end, points, original, index, distance)
        for k in range(last + 1):
            distance[i, k] = math.sqrt(distance[i, k]) if distance[i, k] < beyond else np.inf
