"""Kernels per tile of 8 x 8 pixels: the gradient of blending, back to front.

Written for the vectoriser: the code handles one surfel at a time, for all pixels ("lanes") of the tile's rows that it
touches; the state of the lanes is in one flat scratch array at constant offsets; every index is unsigned; every
constant is float32.
All constants here are literal copies of `sage_ns.raster.constants`: numba's cache does not notice changes there.
"""

from __future__ import annotations

import numpy as np

from sage_ns.system.compiled import njit

RECORD = 20
SUMS = 21
ALPHA_MIN = np.float32(1.0 / 255.0)
ALPHA_MAX = np.float32(0.999)
INVERSE_DEPTH_MIN = np.float32(1e-3)
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
FOUR = np.float32(4.0)

# exp(-y) on [0, 0.375], relative error 1e-9; squared four times it is exp on [0, 6]. Beyond 6 alpha < ALPHA_MIN.
FALLOFF_END = np.float32(6.0)
SIXTEENTH = np.float32(0.0625)
E1, E2, E3 = np.float32(-0.999999995981368), np.float32(0.49999978263343936), np.float32(-0.1666628875173737)
E4, E5, E6 = np.float32(0.04163679270829182), np.float32(-0.008213870756650185), np.float32(0.001150488569788827)

# Offsets into the scratch array, 64 lanes each: values of one surfel, ...
COLUMN, ROW, LIGHT, STOP, OPACITY, RELATIVE = range(0, 384, 64)
FALLOFF, HIT_U, HIT_V, SCALE, LOW_X, LOW_Y = range(384, 768, 64)
# ... gradients of the loss to the blended values, and sums over the surfels behind.
TO_RED, TO_GREEN, TO_BLUE, TO_NX, TO_NY, TO_NZ, TO_INVERSE, TO_ALPHA, TO_DISTORTION = range(768, 1344, 64)
LAST, BEHIND, BEHIND_DEPTH, ALL_DEPTH = range(1344, 1600, 64)
# Distortion over hits: its sums, its gradient, and the gradients to alpha and inverse depth that do not come from it.
FIRST, SECOND, REFERENCE, TO_SPREAD, ALONE_TO_ALPHA, ALONE_TO_INVERSE = range(1600, 1984, 64)
SCRATCH = 1984
FAST = {"contract", "reassoc", "nsz"}


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def blend_backward(
    start,
    stop,
    records,
    boxes,
    offsets,
    pair_surfel,
    pair_slot,
    width,
    height,
    tiles_x,
    low_pass,
    state,
    grad_color,
    grad_alpha,
    grad_depth,
    grad_normal,
    grad_distortion,
    sums,
):
    """Write the gradient sums of every (surfel, tile) pair of tiles start..stop into `sums` (flat [pairs, SUMS]).

    `state` is that of `blend`; its shape tells which distortion the gradient belongs to.
    """
    over_hits = state.shape[1] > 4
    s = np.empty(SCRATCH, np.float32)
    for i in range(np.uint64(64)):
        s[np.uint64(COLUMN) + i] = np.float32(i & np.uint64(7)) + HALF
        s[np.uint64(ROW) + i] = np.float32(i >> np.uint64(3)) + HALF
    for tile in range(start, stop):
        origin_y, origin_x = (tile // tiles_x) * 8, (tile % tiles_x) * 8
        first, last = offsets[tile], offsets[tile + 1] - 1
        if last < first:
            continue
        gradients = (grad_color, grad_alpha, grad_depth, grad_normal, grad_distortion)
        _load(tile, s, origin_x, origin_y, width, height, state, gradients)
        for pair in range(last, first - 1, -1):
            k = np.float32(pair - first)
            surfel = np.uint64(pair_surfel[np.uint64(pair)])
            out = np.uint64(pair_slot[np.uint64(pair)]) * np.uint64(SUMS)
            a = np.uint64(max(boxes[surfel, np.uint64(2)] - origin_y, 0) * 8)
            b = np.uint64(min(boxes[surfel, np.uint64(3)] - origin_y, 8) * 8)
            base = surfel * np.uint64(RECORD)
            fx0, fy0 = np.float32(origin_x), np.float32(origin_y)
            if _opacities(s, a, b, k, records, base, fx0, fy0, low_pass) == ZERO:
                for j in range(np.uint64(SUMS)):
                    sums[out + j] = ZERO
                continue
            if over_hits:
                _add_spread_gradients(s, a, b, records, base)
            cx, cy = fx0 - records[base], fy0 - records[base + np.uint64(1)]
            _sum_gradients(s, a, b, records, base, cx, cy, low_pass, sums, out)


@njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _opacities(s, a, b, k, records, base, origin_x, origin_y, low_pass):
    """Recompute a surfel's opacity at lanes a..b and where the rays meet it; return the sum of the opacities.

    HIT_U, HIT_V, SCALE are zero where the low-pass disc decides the opacity, LOW_X, LOW_Y where the surfel does.
    """
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
        hit = squared < faded
        distance = squared if hit else faded
        y = HALF * distance
        y = (y if y < FALLOFF_END else FALLOFF_END) * SIXTEENTH
        e = ONE + y * (E1 + y * (E2 + y * (E3 + y * (E4 + y * (E5 + y * E6)))))
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        value = opacity * e
        value = value if value >= ALPHA_MIN else ZERO
        value = value if s[np.uint64(STOP) + i] > k else ZERO
        s[np.uint64(OPACITY) + i] = value
        s[np.uint64(RELATIVE) + i] = relative
        s[np.uint64(FALLOFF) + i] = e
        s[np.uint64(HIT_U) + i] = u if hit else ZERO
        s[np.uint64(HIT_V) + i] = v if hit else ZERO
        s[np.uint64(SCALE) + i] = scale if hit else ZERO
        s[np.uint64(LOW_X) + i] = ZERO if hit else px
        s[np.uint64(LOW_Y) + i] = ZERO if hit else py
        total += value
    return total


@njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _add_spread_gradients(s, a, b, records, base):
    """Set the gradients to alpha and inverse depth at lanes a..b to those of a surfel, distortion over hits included.

    With m = q - q_0 of the surfel, A = alpha and D = 2 (A S_2 - S_1^2): dD/dw = 2 (S_2 + m (A m - 2 S_1)) and
    dD/dq = 4 w (A m - S_1). The caller multiplies the gradient to inverse depth with w for dq, and with q for dw; the
    second product is taken away here.
    """
    inverse, slope = records[base + np.uint64(17)], records[base + np.uint64(18)]
    for i in range(a, b):
        hit = inverse + slope * s[np.uint64(RELATIVE) + i]
        offset = hit - s[np.uint64(REFERENCE) + i]
        first, to_spread = s[np.uint64(FIRST) + i], s[np.uint64(TO_SPREAD) + i]
        # Sum of all weights times the offset, minus the sum of the weighted offsets.
        apart = (ONE - s[np.uint64(LAST) + i]) * offset - first
        pull = FOUR * to_spread * apart
        to_weight = TWO * to_spread * (s[np.uint64(SECOND) + i] + offset * (apart - first))
        s[np.uint64(TO_INVERSE) + i] = s[np.uint64(ALONE_TO_INVERSE) + i] + pull
        s[np.uint64(TO_ALPHA) + i] = s[np.uint64(ALONE_TO_ALPHA) + i] + to_weight - pull * hit


@njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _sum_gradients(s, a, b, records, base, cx, cy, low_pass, sums, out):
    """Undo the blending of a surfel; sum its gradients over lanes a..b. (cx, cy) goes from its centre to the tile."""
    red, green = records[base + np.uint64(11)], records[base + np.uint64(12)]
    blue, nx = records[base + np.uint64(13)], records[base + np.uint64(14)]
    ny, nz = records[base + np.uint64(15)], records[base + np.uint64(16)]
    inverse, slope = records[base + np.uint64(17)], records[base + np.uint64(18)]
    z = records[base + np.uint64(19)]
    sum_u = sum_v = sum_w = sum_ux = sum_uy = sum_vx = sum_vy = sum_wx = sum_wy = ZERO
    sum_px = sum_py = sum_opacity = sum_red = sum_green = sum_blue = ZERO
    sum_nx = sum_ny = sum_nz = sum_inverse = sum_slope = sum_z = ZERO
    for i in range(a, b):
        value, after = s[np.uint64(OPACITY) + i], s[np.uint64(LIGHT) + i]
        clamped = value if value < ALPHA_MAX else ALPHA_MAX
        regain = ONE / (ONE - clamped)
        light = after * regain
        weight = clamped * light
        s[np.uint64(LIGHT) + i] = light
        relative = s[np.uint64(RELATIVE) + i]
        d_red, d_green = s[np.uint64(TO_RED) + i], s[np.uint64(TO_GREEN) + i]
        d_blue, d_nx = s[np.uint64(TO_BLUE) + i], s[np.uint64(TO_NX) + i]
        d_ny, d_nz = s[np.uint64(TO_NY) + i], s[np.uint64(TO_NZ) + i]
        d_inverse, d_distortion = s[np.uint64(TO_INVERSE) + i], s[np.uint64(TO_DISTORTION) + i]
        behind, behind_depth = s[np.uint64(BEHIND) + i], s[np.uint64(BEHIND_DEPTH) + i]
        # Share of light spent in front of this surfel minus that behind it; the same for depth.
        spent = (ONE - light) - (after - s[np.uint64(LAST) + i])
        spent_depth = TWO * behind_depth + weight * z - s[np.uint64(ALL_DEPTH) + i]
        d_weight = (
            s[np.uint64(TO_ALPHA) + i]
            + d_red * red
            + d_green * green
            + d_blue * blue
            + d_nx * nx
            + d_ny * ny
            + d_nz * nz
            + d_inverse * (inverse + slope * relative)
            + TWO * d_distortion * (z * spent + spent_depth)
        )
        d_alpha = light * d_weight - behind * regain
        s[np.uint64(BEHIND) + i] = behind + weight * d_weight
        s[np.uint64(BEHIND_DEPTH) + i] = behind_depth + weight * z
        d_alpha = d_alpha if value > ZERO else ZERO
        d_alpha = d_alpha if value <= ALPHA_MAX else ZERO
        sum_red += weight * d_red
        sum_green += weight * d_green
        sum_blue += weight * d_blue
        sum_nx += weight * d_nx
        sum_ny += weight * d_ny
        sum_nz += weight * d_nz
        blended = weight * d_inverse
        sum_inverse += blended
        sum_slope += blended * relative
        sum_z += TWO * weight * spent * d_distortion
        sum_opacity += d_alpha * s[np.uint64(FALLOFF) + i]
        pull = -d_alpha * value
        u, v, scale = s[np.uint64(HIT_U) + i], s[np.uint64(HIT_V) + i], s[np.uint64(SCALE) + i]
        d_u, d_v = pull * u * scale, pull * v * scale
        d_w = slope * blended - (u * d_u + v * d_v)
        dx, dy = s[np.uint64(COLUMN) + i] + cx, s[np.uint64(ROW) + i] + cy
        sum_u += d_u
        sum_v += d_v
        sum_w += d_w
        sum_ux += d_u * dx
        sum_uy += d_u * dy
        sum_vx += d_v * dx
        sum_vy += d_v * dy
        sum_wx += d_w * dx
        sum_wy += d_w * dy
        sum_px += pull * s[np.uint64(LOW_X) + i]
        sum_py += pull * s[np.uint64(LOW_Y) + i]
    sums[out], sums[out + np.uint64(1)], sums[out + np.uint64(2)] = sum_u, sum_v, sum_w
    sums[out + np.uint64(3)], sums[out + np.uint64(4)] = sum_ux, sum_uy
    sums[out + np.uint64(5)], sums[out + np.uint64(6)] = sum_vx, sum_vy
    sums[out + np.uint64(7)], sums[out + np.uint64(8)] = sum_wx, sum_wy
    sums[out + np.uint64(9)], sums[out + np.uint64(10)] = low_pass * sum_px, low_pass * sum_py
    sums[out + np.uint64(11)], sums[out + np.uint64(12)] = sum_opacity, sum_red
    sums[out + np.uint64(13)], sums[out + np.uint64(14)] = sum_green, sum_blue
    sums[out + np.uint64(15)], sums[out + np.uint64(16)] = sum_nx, sum_ny
    sums[out + np.uint64(17)], sums[out + np.uint64(18)] = sum_nz, sum_inverse
    sums[out + np.uint64(19)], sums[out + np.uint64(20)] = sum_slope, sum_z


@njit(nogil=True, cache=True, error_model="numpy")
def _load(tile, s, origin_x, origin_y, width, height, state, gradients):
    """Set up a tile: state after the last surfel, and gradients of the loss to the blended values."""
    grad_color, grad_alpha, grad_depth, grad_normal, grad_distortion = gradients
    over_hits = state.shape[1] > 4
    for i in range(64):
        light, inverse = state[tile, 0, i], state[tile, 2, i]
        s[LIGHT + i] = s[LAST + i] = light
        s[STOP + i] = state[tile, 1, i]
        s[ALL_DEPTH + i] = state[tile, 3, i]
        s[BEHIND + i] = s[BEHIND_DEPTH + i] = ZERO
        for k in range(9):
            s[TO_RED + 64 * k + i] = ZERO
        s[TO_SPREAD + i] = s[ALONE_TO_ALPHA + i] = s[ALONE_TO_INVERSE + i] = ZERO
        if over_hits:
            s[FIRST + i], s[SECOND + i], s[REFERENCE + i] = state[tile, 4, i], state[tile, 5, i], state[tile, 6, i]
        x, y = origin_x + (i & 7), origin_y + (i >> 3)
        if x >= width or y >= height:
            continue
        for k in range(3):
            s[TO_RED + 64 * k + i] = grad_color[y, x, k]
            s[TO_NX + 64 * k + i] = grad_normal[y, x, k]
        opaque = ONE - light
        to_alpha = grad_alpha[y, x, 0]
        if inverse > INVERSE_DEPTH_MIN * opaque:
            # Blended depth is alpha over inverse depth.
            to_alpha += grad_depth[y, x, 0] / inverse
            s[TO_INVERSE + i] = -grad_depth[y, x, 0] * opaque / (inverse * inverse)
        s[TO_ALPHA + i] = to_alpha
        if over_hits:
            s[ALONE_TO_ALPHA + i], s[ALONE_TO_INVERSE + i] = to_alpha, s[TO_INVERSE + i]
            s[TO_SPREAD + i] = grad_distortion[y, x, 0]
        else:
            s[TO_DISTORTION + i] = grad_distortion[y, x, 0]
