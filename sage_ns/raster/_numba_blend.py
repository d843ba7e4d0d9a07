"""Kernels per tile of 8 x 8 pixels: blending front to back.

Written for the vectoriser: the code handles one surfel at a time, for all pixels ("lanes") of the tile's rows that it
touches; the state of the lanes is in one flat scratch array at constant offsets; every index is unsigned; every
constant is float32.
All constants here are literal copies of `sage_ns.raster.constants`: numba's cache does not notice changes there.
"""

from __future__ import annotations

import numpy as np

from sage_ns.system.compiled import njit

RECORD = 20
ALPHA_MIN = np.float32(1.0 / 255.0)
ALPHA_MAX = np.float32(0.999)
TRANSMITTANCE_MIN = np.float32(1e-4)
INVERSE_DEPTH_MIN = np.float32(1e-3)
NEVER = np.float32(1e9)
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)

# exp(-y) on [0, 0.375], relative error 1e-9; squared four times it is exp on [0, 6]. Beyond 6 alpha < ALPHA_MIN.
FALLOFF_END = np.float32(6.0)
SIXTEENTH = np.float32(0.0625)
E1, E2, E3 = np.float32(-0.999999995981368), np.float32(0.49999978263343936), np.float32(-0.1666628875173737)
E4, E5, E6 = np.float32(0.04163679270829182), np.float32(-0.008213870756650185), np.float32(0.001150488569788827)

# Offsets into the scratch array, 64 lanes each. STOP is the position, in
# the tile's order, of the surfel at which a pixel was finished.
COLUMN, ROW, LIGHT, STOP, OPACITY, RELATIVE = range(0, 384, 64)
RED, GREEN, BLUE, INVERSE, NORMAL_X, NORMAL_Y, NORMAL_Z, DEPTH, DISTORTION, MEDIAN = range(384, 1024, 64)
# Sums of the distortion over hits: weights times offsets of inverse depth from that of a pixel's first hit.
FIRST, SECOND, REFERENCE = range(1024, 1216, 64)
SCRATCH = 1216
FAST = {"contract", "reassoc", "nsz"}


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def blend(
    start,
    stop,
    records,
    boxes,
    offsets,
    pair_surfel,
    width,
    height,
    tiles_x,
    low_pass,
    color,
    alpha,
    depth,
    median,
    normal,
    distortion,
    state,
):
    """Draw tiles start..stop. `records` is flat; `state` [tiles, 4, 64] stores values for the backward pass.

    A state [tiles, 7, 64] requests the distortion over the depths of hits in place of those of centres.
    """
    over_hits = state.shape[1] > 4
    s = np.empty(SCRATCH, np.float32)
    for i in range(np.uint64(64)):
        s[np.uint64(COLUMN) + i] = np.float32(i & np.uint64(7)) + HALF
        s[np.uint64(ROW) + i] = np.float32(i >> np.uint64(3)) + HALF
    for tile in range(start, stop):
        origin_y, origin_x = (tile // tiles_x) * 8, (tile % tiles_x) * 8
        for i in range(np.uint64(64)):
            inside = origin_x + (i & np.uint64(7)) < width and origin_y + (i >> np.uint64(3)) < height
            s[np.uint64(LIGHT) + i] = ONE
            s[np.uint64(STOP) + i] = NEVER if inside else -ONE
        s[RED:SCRATCH] = ZERO
        first = offsets[tile]
        for pair in range(first, offsets[tile + 1]):
            k = np.float32(pair - first)
            surfel = np.uint64(pair_surfel[np.uint64(pair)])
            a = np.uint64(max(boxes[surfel, np.uint64(2)] - origin_y, 0) * 8)
            b = np.uint64(min(boxes[surfel, np.uint64(3)] - origin_y, 8) * 8)
            base = surfel * np.uint64(RECORD)
            if _opacities(s, a, b, k, records, base, np.float32(origin_x), np.float32(origin_y), low_pass) == ZERO:
                continue
            if over_hits:
                _add_offsets(s, a, b, records, base)
            _blend_surfel(s, a, b, k, records, base)
            if (pair - first) & 15 == 15:
                alive = ZERO
                for i in range(np.uint64(64)):
                    alive += ONE if s[np.uint64(STOP) + i] > k else ZERO
                if alive == ZERO:
                    break
        _store(tile, s, origin_x, origin_y, width, height, color, alpha, depth, median, normal, distortion, state)


@njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _opacities(s, a, b, k, records, base, origin_x, origin_y, low_pass):
    """Store a surfel's opacity (0: not drawn) and relative inverse depth at lanes a..b; return the sum of opacities."""
    cx, cy = origin_x - records[base], origin_y - records[base + np.uint64(1)]
    ux, uy = records[base + np.uint64(2)], records[base + np.uint64(3)]
    vx, vy = records[base + np.uint64(4)], records[base + np.uint64(5)]
    gx, gy = records[base + np.uint64(6)], records[base + np.uint64(7)]
    ex, ey = origin_x - records[base + np.uint64(8)], origin_y - records[base + np.uint64(9)]
    opacity = records[base + np.uint64(10)]
    total = ZERO
    for i in range(a, b):
        column, row = s[np.uint64(COLUMN) + i], s[np.uint64(ROW) + i]
        dx, dy = column + cx, row + cy
        relative = gx * dx + gy * dy
        scale = ONE / (ONE + relative)
        u, v = (ux * dx + uy * dy) * scale, (vx * dx + vy * dy) * scale
        squared = u * u + v * v
        px, py = column + ex, row + ey
        faded = low_pass * (px * px + py * py)
        distance = squared if squared < faded else faded
        y = HALF * distance
        y = (y if y < FALLOFF_END else FALLOFF_END) * SIXTEENTH
        e = ONE + y * (E1 + y * (E2 + y * (E3 + y * (E4 + y * (E5 + y * E6)))))
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        value = opacity * e
        value = value if value < ALPHA_MAX else ALPHA_MAX
        value = value if value >= ALPHA_MIN else ZERO
        value = value if s[np.uint64(STOP) + i] > k else ZERO
        s[np.uint64(OPACITY) + i] = value
        s[np.uint64(RELATIVE) + i] = relative
        total += value
    return total


@njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _add_offsets(s, a, b, records, base):
    """Add a surfel to the sums of offsets of inverse depth at lanes a..b, before it is blended."""
    inverse, slope = records[base + np.uint64(17)], records[base + np.uint64(18)]
    for i in range(a, b):
        value, light = s[np.uint64(OPACITY) + i], s[np.uint64(LIGHT) + i]
        weight = value * light if light * (ONE - value) > TRANSMITTANCE_MIN else ZERO
        hit = inverse + slope * s[np.uint64(RELATIVE) + i]
        # All light is left until the first hit.
        reference = hit if light == ONE else s[np.uint64(REFERENCE) + i]
        s[np.uint64(REFERENCE) + i] = reference
        offset = weight * (hit - reference)
        s[np.uint64(FIRST) + i] += offset
        s[np.uint64(SECOND) + i] += offset * (hit - reference)


@njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _blend_surfel(s, a, b, k, records, base):
    """Blend a surfel into the lanes: colour, inverse depth, normal, depth, distortion and median depth."""
    red, green = records[base + np.uint64(11)], records[base + np.uint64(12)]
    blue, nx = records[base + np.uint64(13)], records[base + np.uint64(14)]
    ny, nz = records[base + np.uint64(15)], records[base + np.uint64(16)]
    inverse, slope = records[base + np.uint64(17)], records[base + np.uint64(18)]
    z = records[base + np.uint64(19)]
    for i in range(a, b):
        value, light = s[np.uint64(OPACITY) + i], s[np.uint64(LIGHT) + i]
        ends, old_median = s[np.uint64(STOP) + i], s[np.uint64(MEDIAN) + i]
        remaining = light * (ONE - value)
        goes_on = remaining > TRANSMITTANCE_MIN
        weight = value * light if goes_on else ZERO
        s[np.uint64(STOP) + i] = ends if goes_on else k
        s[np.uint64(LIGHT) + i] = remaining if goes_on else light
        s[np.uint64(RED) + i] += weight * red
        s[np.uint64(GREEN) + i] += weight * green
        s[np.uint64(BLUE) + i] += weight * blue
        s[np.uint64(INVERSE) + i] += weight * (inverse + slope * s[np.uint64(RELATIVE) + i])
        s[np.uint64(NORMAL_X) + i] += weight * nx
        s[np.uint64(NORMAL_Y) + i] += weight * ny
        s[np.uint64(NORMAL_Z) + i] += weight * nz
        before = s[np.uint64(DEPTH) + i]
        s[np.uint64(DISTORTION) + i] += TWO * weight * (z * (ONE - light) - before)
        s[np.uint64(DEPTH) + i] = before + weight * z
        half = light if weight > ZERO else ZERO
        s[np.uint64(MEDIAN) + i] = z if half > HALF else old_median


@njit(nogil=True, cache=True, error_model="numpy")
def _store(tile, s, origin_x, origin_y, width, height, color, alpha, depth, median, normal, distortion, state):
    """Write a finished tile into the images; its light left, STOP, inverse and centre depth into the state."""
    over_hits = state.shape[1] > 4
    for i in range(64):
        state[tile, 0, i] = s[LIGHT + i]
        state[tile, 1, i] = s[STOP + i]
        state[tile, 2, i] = s[INVERSE + i]
        state[tile, 3, i] = s[DEPTH + i]
        if over_hits:
            state[tile, 4, i], state[tile, 5, i] = s[FIRST + i], s[SECOND + i]
            state[tile, 6, i] = s[REFERENCE + i]
        x, y = origin_x + (i & 7), origin_y + (i >> 3)
        if x >= width or y >= height:
            continue
        opaque = ONE - s[LIGHT + i]
        alpha[y, x, 0] = opaque
        depth[y, x, 0] = opaque / max(s[INVERSE + i], INVERSE_DEPTH_MIN * opaque) if opaque > ZERO else ZERO
        median[y, x, 0] = s[MEDIAN + i]
        distortion[y, x, 0] = s[DISTORTION + i]
        if over_hits:
            distortion[y, x, 0] = TWO * (opaque * s[SECOND + i] - s[FIRST + i] * s[FIRST + i])
        color[y, x, 0], color[y, x, 1], color[y, x, 2] = s[RED + i], s[GREEN + i], s[BLUE + i]
        normal[y, x, 0], normal[y, x, 1], normal[y, x, 2] = s[NORMAL_X + i], s[NORMAL_Y + i], s[NORMAL_Z + i]
