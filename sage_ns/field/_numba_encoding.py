"""Kernels of the grid encoding with two features per vertex: gather, scatter, and the derivatives to the points.

Features are stored as [features, points], so that each level writes to its own memory. Points are handled in
blocks: first the indices of all corners' entries and their factors (vectorised), then the entries. `levels` is a table
of the open levels with columns LEVEL, RESOLUTION, SIZE, FIRST (entry), HASHED; `factors` has the columns SCALE, WEIGHT.
"""

from __future__ import annotations

import numpy as np

from sage_ns.system.compiled import njit

BLOCK = 256
LEVEL, RESOLUTION, SIZE, FIRST, HASHED = range(5)
SCALE, WEIGHT = range(2)
PRIME_Y, PRIME_Z = np.uint64(2654435761), np.uint64(805459861)
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
FAST = {"contract"}


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _locate(x, begin, count, level, scale, entries, fractions):
    """Entries [8, BLOCK] of the corners of the points' cells, x fastest, and the place [3, BLOCK] within the cell."""
    resolution, size, first = np.uint64(level[RESOLUTION]), np.uint64(level[SIZE]), np.uint64(level[FIRST])
    begin = np.uint64(begin)
    for axis in range(3):
        for i in range(np.uint64(count)):
            place = x[begin + i, axis]
            # NaN becomes 0 as well, instead of an index outside the table.
            place = place if place > ZERO else ZERO
            place = place if place < ONE else ONE
            place = place * scale + HALF
            cell = np.int32(place)
            fractions[axis, i] = place - np.float32(cell)
            entries[axis, i] = np.uint32(cell)
    if level[HASHED] != 0:
        mask = size - np.uint64(1)
        for i in range(np.uint64(count)):
            x0, y0, z0 = np.uint64(entries[0, i]), np.uint64(entries[1, i]), np.uint64(entries[2, i])
            x1 = x0 + np.uint64(1)
            y1, z1 = (y0 + np.uint64(1)) * PRIME_Y, (z0 + np.uint64(1)) * PRIME_Z
            y0, z0 = y0 * PRIME_Y, z0 * PRIME_Z
            entries[0, i] = np.uint32(first + ((x0 ^ y0 ^ z0) & mask))
            entries[1, i] = np.uint32(first + ((x1 ^ y0 ^ z0) & mask))
            entries[2, i] = np.uint32(first + ((x0 ^ y1 ^ z0) & mask))
            entries[3, i] = np.uint32(first + ((x1 ^ y1 ^ z0) & mask))
            entries[4, i] = np.uint32(first + ((x0 ^ y0 ^ z1) & mask))
            entries[5, i] = np.uint32(first + ((x1 ^ y0 ^ z1) & mask))
            entries[6, i] = np.uint32(first + ((x0 ^ y1 ^ z1) & mask))
            entries[7, i] = np.uint32(first + ((x1 ^ y1 ^ z1) & mask))
    else:
        for i in range(np.uint64(count)):
            corner = np.uint64(entries[0, i]) + resolution * (entries[1, i] + resolution * entries[2, i])
            for c in range(8):
                entry = (
                    corner + np.uint64(c & 1) + resolution * (np.uint64(c >> 1 & 1) + resolution * np.uint64(c >> 2))
                )
                # Indices beyond the last vertex of the last row wrap around, as in the definition.
                entries[c, i] = np.uint32(first + (entry if entry < size else entry - size))


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _interpolate(count, fractions, weight, factors):
    """Factors [8, BLOCK] of the corners: trilinear, times the level's weight."""
    for i in range(np.uint64(count)):
        x, y, z = fractions[0, i], fractions[1, i], fractions[2, i]
        low, high = weight * (ONE - z), weight * z
        low_0, low_1, high_0, high_1 = low * (ONE - y), low * y, high * (ONE - y), high * y
        factors[0, i], factors[1, i] = low_0 * (ONE - x), low_0 * x
        factors[2, i], factors[3, i] = low_1 * (ONE - x), low_1 * x
        factors[4, i], factors[5, i] = high_0 * (ONE - x), high_0 * x
        factors[6, i], factors[7, i] = high_1 * (ONE - x), high_1 * x


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _reach(x, begin, count, step, reaches):
    """The step [3, BLOCK] along each axis; 0 along one on which the point is outside the cube."""
    begin = np.uint64(begin)
    for axis in range(3):
        for i in range(np.uint64(count)):
            place = x[begin + i, axis]
            reaches[axis, i] = step if place >= ZERO and place <= ONE else ZERO


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _advance(x, begin, count, direction, scale, advances):
    """Directions in cells [3, BLOCK]; 0 along an axis on which the point is outside the cube."""
    _reach(x, begin, count, scale, advances)
    begin = np.uint64(begin)
    for axis in range(3):
        for i in range(np.uint64(count)):
            advances[axis, i] *= direction[begin + i, axis]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _differentiate(count, fractions, advances, weight, factors):
    """Derivatives [8, BLOCK] of the corners' factors along the advances."""
    for i in range(np.uint64(count)):
        x, y, z = fractions[0, i], fractions[1, i], fractions[2, i]
        dx, dy, dz = weight * advances[0, i], weight * advances[1, i], weight * advances[2, i]
        x0, y0, z0 = ONE - x, ONE - y, ONE - z
        factors[0, i] = -dx * y0 * z0 - dy * x0 * z0 - dz * x0 * y0
        factors[1, i] = dx * y0 * z0 - dy * x * z0 - dz * x * y0
        factors[2, i] = -dx * y * z0 + dy * x0 * z0 - dz * x0 * y
        factors[3, i] = dx * y * z0 + dy * x * z0 - dz * x * y
        factors[4, i] = -dx * y0 * z - dy * x0 * z + dz * x0 * y0
        factors[5, i] = dx * y0 * z - dy * x * z + dz * x * y0
        factors[6, i] = -dx * y * z + dy * x0 * z + dz * x0 * y
        factors[7, i] = dx * y * z + dy * x * z + dz * x * y


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _project(begin, count, table, level, gradients, entries, products):
    """Scalar products [8, BLOCK] of the corners' features and the gradients to the level's features."""
    begin, row = np.uint64(begin), np.uint64(2 * level[LEVEL])
    for i in range(np.uint64(count)):
        first, second = gradients[row, begin + i], gradients[row + np.uint64(1), begin + i]
        for c in range(np.uint64(8)):
            entry = entries[c, i]
            products[c, i] = first * table[entry, 0] + second * table[entry, 1]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def gather(start, stop, x, table, levels, factors, direction, result):
    """Write features of the open levels to result [features, points]; items are (open level, block), blocks fastest.

    If there is a direction for each point, write the features' derivatives along the directions instead.
    """
    num = len(x)
    blocks = (num + BLOCK - 1) // BLOCK
    entries, corners = np.empty((8, BLOCK), np.uint32), np.empty((8, BLOCK), np.float32)
    fractions, advances = np.empty((3, BLOCK), np.float32), np.empty((3, BLOCK), np.float32)
    for item in range(start, stop):
        level, (scale, weight) = levels[item // blocks], factors[item // blocks]
        begin = (item % blocks) * BLOCK
        count = min(BLOCK, num - begin)
        _locate(x, begin, count, level, scale, entries, fractions)
        if len(direction) == 0:
            _interpolate(count, fractions, weight, corners)
        else:
            _advance(x, begin, count, direction, scale, advances)
            _differentiate(count, fractions, advances, weight, corners)
        row, at = np.uint64(2 * level[LEVEL]), np.uint64(begin)
        for i in range(np.uint64(count)):
            first, second = ZERO, ZERO
            for c in range(np.uint64(8)):
                entry, corner = entries[c, i], corners[c, i]
                first += corner * table[entry, 0]
                second += corner * table[entry, 1]
            result[row, at + i] = first
            result[row + np.uint64(1), at + i] = second


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def scatter(start, stop, x, levels, factors, direction, gradients, result):
    """Compute the table's gradient from that of the features [features, points]; items are open levels.

    If there is a direction for each point, start from the gradient of the features' derivatives along the directions.
    The thread that fills a level also clears its entries, while they are in its cache.
    """
    num = len(x)
    entries, corners = np.empty((8, BLOCK), np.uint32), np.empty((8, BLOCK), np.float32)
    fractions, advances = np.empty((3, BLOCK), np.float32), np.empty((3, BLOCK), np.float32)
    for item in range(start, stop):
        level, (scale, weight) = levels[item], factors[item]
        row = np.uint64(2 * level[LEVEL])
        result[level[FIRST] : level[FIRST] + level[SIZE]] = ZERO
        for begin in range(0, num, BLOCK):
            count = min(BLOCK, num - begin)
            _locate(x, begin, count, level, scale, entries, fractions)
            if len(direction) == 0:
                _interpolate(count, fractions, weight, corners)
            else:
                _advance(x, begin, count, direction, scale, advances)
                _differentiate(count, fractions, advances, weight, corners)
            at = np.uint64(begin)
            for i in range(np.uint64(count)):
                first, second = gradients[row, at + i], gradients[row + np.uint64(1), at + i]
                for c in range(np.uint64(8)):
                    entry, corner = entries[c, i], corners[c, i]
                    result[entry, 0] += corner * first
                    result[entry, 1] += corner * second


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def slopes(start, stop, x, table, levels, factors, gradients, result):
    """Compute the gradient [points, 3] to the points from that of the features [features, points]; items are blocks."""
    num = len(x)
    entries, products = np.empty((8, BLOCK), np.uint32), np.empty((8, BLOCK), np.float32)
    fractions, steps = np.empty((3, BLOCK), np.float32), np.empty((3, BLOCK), np.float32)
    sums = np.empty((3, BLOCK), np.float32)
    for item in range(start, stop):
        begin = item * BLOCK
        count = min(BLOCK, num - begin)
        at = np.uint64(begin)
        sums[:] = ZERO
        for k in range(len(levels)):
            _locate(x, begin, count, levels[k], factors[k, SCALE], entries, fractions)
            _project(begin, count, table, levels[k], gradients, entries, products)
            _reach(x, begin, count, factors[k, SCALE] * factors[k, WEIGHT], steps)
            for i in range(np.uint64(count)):
                fx, fy, fz = fractions[0, i], fractions[1, i], fractions[2, i]
                x0, y0, z0 = ONE - fx, ONE - fy, ONE - fz
                p0, p1, p2, p3 = products[0, i], products[1, i], products[2, i], products[3, i]
                p4, p5, p6, p7 = products[4, i], products[5, i], products[6, i], products[7, i]
                along_x = z0 * (y0 * (p1 - p0) + fy * (p3 - p2)) + fz * (y0 * (p5 - p4) + fy * (p7 - p6))
                along_y = z0 * (x0 * (p2 - p0) + fx * (p3 - p1)) + fz * (x0 * (p6 - p4) + fx * (p7 - p5))
                along_z = y0 * (x0 * (p4 - p0) + fx * (p5 - p1)) + fy * (x0 * (p6 - p2) + fx * (p7 - p3))
                sums[0, i] += steps[0, i] * along_x
                sums[1, i] += steps[1, i] * along_y
                sums[2, i] += steps[2, i] * along_z
        for i in range(np.uint64(count)):
            result[at + i, 0], result[at + i, 1], result[at + i, 2] = sums[0, i], sums[1, i], sums[2, i]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def bends(start, stop, x, table, levels, factors, direction, gradients, result):
    """Compute the points' gradient [points, 3] from that of the features' directional derivatives; items are blocks.

    Within a cell a feature is linear along each axis, so only mixed second derivatives are left.
    """
    num = len(x)
    entries, products = np.empty((8, BLOCK), np.uint32), np.empty((8, BLOCK), np.float32)
    fractions, steps = np.empty((3, BLOCK), np.float32), np.empty((3, BLOCK), np.float32)
    sums = np.empty((3, BLOCK), np.float32)
    advances = np.empty((3, BLOCK), np.float32)
    for item in range(start, stop):
        begin = item * BLOCK
        count = min(BLOCK, num - begin)
        at = np.uint64(begin)
        sums[:] = ZERO
        for k in range(len(levels)):
            _locate(x, begin, count, levels[k], factors[k, SCALE], entries, fractions)
            _project(begin, count, table, levels[k], gradients, entries, products)
            _advance(x, begin, count, direction, factors[k, SCALE], advances)
            _reach(x, begin, count, factors[k, SCALE] * factors[k, WEIGHT], steps)
            for i in range(np.uint64(count)):
                fx, fy, fz = fractions[0, i], fractions[1, i], fractions[2, i]
                p0, p1, p2, p3 = products[0, i], products[1, i], products[2, i], products[3, i]
                p4, p5, p6, p7 = products[4, i], products[5, i], products[6, i], products[7, i]
                xy = (ONE - fz) * (p3 - p2 - p1 + p0) + fz * (p7 - p6 - p5 + p4)
                xz = (ONE - fy) * (p5 - p4 - p1 + p0) + fy * (p7 - p6 - p3 + p2)
                yz = (ONE - fx) * (p6 - p4 - p2 + p0) + fx * (p7 - p5 - p3 + p1)
                sums[0, i] += steps[0, i] * (xy * advances[1, i] + xz * advances[2, i])
                sums[1, i] += steps[1, i] * (xy * advances[0, i] + yz * advances[2, i])
                sums[2, i] += steps[2, i] * (xz * advances[0, i] + yz * advances[1, i])
        for i in range(np.uint64(count)):
            result[at + i, 0], result[at + i, 1], result[at + i, 2] = sums[0, i], sums[1, i], sums[2, i]
