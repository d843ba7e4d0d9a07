"""Kernels that sort surfels by depth and assign them to the tiles of the image. Tiles are 8 x 8 pixels."""

from __future__ import annotations

import numpy as np

from sage_ns.system.compiled import njit


@njit(nogil=True, cache=True)
def depth_order(keys, num_tiles, order, other, slots):
    """Sort the indices of visible surfels front to back, ties by index: radix sort of the bits of positive depths.

    `keys` are the float32 depths read as uint32 (positive floats sort like their bits). `slots` receives each surfel's
    first place in the list of (surfel, tile) pairs ordered by surfel. Returns the numbers of surfels and pairs.
    """
    count = np.uint64(0)
    pairs = np.int64(0)
    histogram = np.zeros((3, 2048), np.int64)
    for i in range(np.uint64(len(keys))):
        slots[i] = pairs
        pairs += num_tiles[i]
        if num_tiles[i] > 0:
            order[count] = i
            count += np.uint64(1)
            key = keys[i]
            histogram[0, key & np.uint32(2047)] += 1
            histogram[1, (key >> np.uint32(11)) & np.uint32(2047)] += 1
            histogram[2, key >> np.uint32(22)] += 1
    for digit in range(3):
        below = np.int64(0)
        for value in range(2048):
            here = histogram[digit, value]
            histogram[digit, value] = below
            below += here
    source, target = order, other
    for digit in range(3):
        shift = np.uint32(11 * digit)
        for k in range(count):
            i = source[k]
            value = (keys[np.uint64(i)] >> shift) & np.uint32(2047)
            place = histogram[digit, value]
            histogram[digit, value] = place + 1
            target[np.uint64(place)] = i
        source, target = target, source
    # Three passes end in `other`.
    for k in range(count):
        order[k] = other[k]
    return np.int64(count), pairs


@njit(nogil=True, cache=True)
def count_pairs(start, stop, order, boxes, tiles_x, counts):
    """Count the surfels in every tile of tile rows start..stop."""
    counts[start * tiles_x : stop * tiles_x] = 0
    for k in range(np.uint64(len(order))):
        i = np.uint64(order[k])
        for row in range(max(boxes[i, 2] >> 3, start), min(((boxes[i, 3] - 1) >> 3) + 1, stop)):
            for column in range(boxes[i, 0] >> 3, ((boxes[i, 1] - 1) >> 3) + 1):
                counts[row * tiles_x + column] += 1


@njit(nogil=True, cache=True)
def fill_pairs(start, stop, order, boxes, slots, tiles_x, offsets, pair_surfel, pair_slot):
    """List, for every tile of tile rows start..stop, its surfels front to back and the slots of their gradient sums."""
    cursor = offsets[start * tiles_x : stop * tiles_x].copy()
    for k in range(np.uint64(len(order))):
        i = np.uint64(order[k])
        first_row, last_row = boxes[i, 2] >> 3, (boxes[i, 3] - 1) >> 3
        first, last = boxes[i, 0] >> 3, (boxes[i, 1] - 1) >> 3
        for row in range(max(first_row, start), min(last_row + 1, stop)):
            slot = slots[i] + (row - first_row) * (last - first + 1)
            for column in range(first, last + 1):
                tile = np.uint64((row - start) * tiles_x + column)
                place = np.uint64(cursor[tile])
                cursor[tile] += 1
                pair_surfel[place] = i
                pair_slot[place] = slot
                slot += 1
