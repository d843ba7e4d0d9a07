"""Kernels of the field's network: two small layers over blocks of points that stay in the cache.

Arrays are [rows, points]. All sizes of matrices are padded with zeros to multiples of 4, blocks of points to BLOCK, so
that the vectoriser sees only loops of fixed length. The backward pass recomputes the hidden values, which is cheaper
than storing them. Gradients of weights are summed per piece of PIECE points, on any thread; pieces are then added in
order.
"""

from __future__ import annotations

import numpy as np

from sage_ns.system.compiled import njit

BLOCK = 256
PIECE = 1024
# A literal copy of `sage_ns.field.network.SHARPNESS`: numba's cache does not notice changes there.
SHARPNESS = np.float32(100.0)
SMOOTHNESS = np.float32(0.01)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
# exp(-y) on [0, 0.5], error 1.5e-10; squared five times it is exp on [0, 16]. Beyond, exp(-y) counts as 0.
END, SHRINK = np.float32(16.0), np.float32(1.0 / 32.0)
E1, E2, E3 = np.float32(-0.9999999704588707), np.float32(0.49999904855197885), np.float32(-0.16665514521805475)
E4, E5, E6 = np.float32(0.041599925532782), np.float32(-0.008133053286483791), np.float32(0.0010840845507602134)
# log(1 + t) / t on [0, 1], error 2e-7.
L0, L1, L2 = np.float32(0.9999998102178245), np.float32(-0.4999744938474881), np.float32(0.3327617657057752)
L3, L4, L5 = np.float32(-0.24499611720099104), np.float32(0.17757023981437525), np.float32(-0.10785367902971754)
L6, L7 = np.float32(0.04421419224346031), np.float32(-0.008574676179569734)
FAST = {"contract", "reassoc", "nsz"}


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _load(source, begin, block):
    """Copy the points from `begin` on into a block; zeros beyond the last row and the last point."""
    begin = np.uint64(begin)
    count = min(np.uint64(BLOCK), np.uint64(source.shape[1]) - begin)
    for row in range(np.uint64(len(source))):
        for i in range(count):
            block[row, i] = source[row, begin + i]
        for i in range(count, np.uint64(BLOCK)):
            block[row, i] = ZERO
    for row in range(np.uint64(len(source)), np.uint64(len(block))):
        for i in range(np.uint64(BLOCK)):
            block[row, i] = ZERO


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _store(block, begin, target):
    begin = np.uint64(begin)
    count = min(np.uint64(BLOCK), np.uint64(target.shape[1]) - begin)
    for row in range(np.uint64(len(target))):
        for i in range(count):
            target[row, begin + i] = block[row, i]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _multiply(matrix, bias, block, result):
    """result = matrix @ block + bias."""
    for m in range(np.uint64(0), np.uint64(len(matrix)), np.uint64(2)):
        n = m + np.uint64(1)
        first, second = bias[m], bias[n]
        for i in range(np.uint64(BLOCK)):
            result[m, i] = first
            result[n, i] = second
        for k in range(np.uint64(0), np.uint64(matrix.shape[1]), np.uint64(4)):
            k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
            a0, a1, a2, a3 = matrix[m, k], matrix[m, k1], matrix[m, k2], matrix[m, k3]
            b0, b1, b2, b3 = matrix[n, k], matrix[n, k1], matrix[n, k2], matrix[n, k3]
            for i in range(np.uint64(BLOCK)):
                x0, x1, x2, x3 = block[k, i], block[k1, i], block[k2, i], block[k3, i]
                result[m, i] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                result[n, i] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_products(left, right, result):
    """result += left @ right^T, sums over the block's points."""
    for m in range(np.uint64(0), np.uint64(len(left)), np.uint64(2)):
        n = m + np.uint64(1)
        for k in range(np.uint64(0), np.uint64(len(right)), np.uint64(4)):
            k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
            a0, a1, a2, a3 = ZERO, ZERO, ZERO, ZERO
            b0, b1, b2, b3 = ZERO, ZERO, ZERO, ZERO
            for i in range(np.uint64(BLOCK)):
                a, b = left[m, i], left[n, i]
                x0, x1, x2, x3 = right[k, i], right[k1, i], right[k2, i], right[k3, i]
                a0 += a * x0
                a1 += a * x1
                a2 += a * x2
                a3 += a * x3
                b0 += b * x0
                b1 += b * x1
                b2 += b * x2
                b3 += b * x3
            result[m, k] += a0
            result[m, k1] += a1
            result[m, k2] += a2
            result[m, k3] += a3
            result[n, k] += b0
            result[n, k1] += b1
            result[n, k2] += b2
            result[n, k3] += b3


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_sums(block, result):
    for row in range(np.uint64(len(block))):
        total = ZERO
        for i in range(np.uint64(BLOCK)):
            total += block[row, i]
        result[row] += total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _activate(hidden, slope):
    """Softplus in place, and its slope."""
    for row in range(np.uint64(len(hidden))):
        for i in range(np.uint64(BLOCK)):
            h = hidden[row, i]
            size = SHARPNESS * abs(h)
            y = min(size, END) * SHRINK
            t = ONE + y * (E1 + y * (E2 + y * (E3 + y * (E4 + y * (E5 + y * E6)))))
            t = t * t
            t = t * t
            t = t * t
            t = t * t
            t = t * t
            t = t if size < END else ZERO
            logarithm = t * (L0 + t * (L1 + t * (L2 + t * (L3 + t * (L4 + t * (L5 + t * (L6 + t * L7)))))))
            hidden[row, i] = max(h, ZERO) + SMOOTHNESS * logarithm
            slope[row, i] = (ONE if h >= ZERO else t) / (ONE + t)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def forward(start, stop, x, weight_1, bias_1, weight_2, bias_2, weight_slope, y, u):
    """y = weight_2 @ softplus(weight_1 @ x + bias_1) + bias_2 and u = weight_slope @ slope, for pieces start..stop.

    `u` is not computed if it has no rows.
    """
    num_hidden, num_input = weight_1.shape
    inputs, outputs = np.empty((num_input, BLOCK), np.float32), np.empty((len(weight_2), BLOCK), np.float32)
    hidden, slope = np.empty((num_hidden, BLOCK), np.float32), np.empty((num_hidden, BLOCK), np.float32)
    nothing = np.zeros(num_input, np.float32)
    for begin in range(start * PIECE, min(stop * PIECE, x.shape[1]), BLOCK):
        _load(x, begin, inputs)
        _multiply(weight_1, bias_1, inputs, hidden)
        _activate(hidden, slope)
        _multiply(weight_2, bias_2, hidden, outputs)
        _store(outputs, begin, y)
        if len(u) > 0:
            _multiply(weight_slope, nothing, slope, inputs)
            _store(inputs, begin, u)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_slope_gradients(weight, slope, to_slope, to_hidden, carried, to_weight):
    """Add the gradients that come through u = weight_1^T @ (weight * slope); `to_slope` is weight_1 @ gradient of u."""
    for row in range(np.uint64(len(slope))):
        factor, total = weight[row], ZERO
        bend = SHARPNESS * factor
        for i in range(np.uint64(BLOCK)):
            s, g = slope[row, i], to_slope[row, i]
            total += g * s
            to_hidden[row, i] += bend * g * s * (ONE - s)
            carried[row, i] = factor * s
        to_weight[row] += total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def backward(
    start,
    stop,
    x,
    weight_1,
    bias_1,
    transposed_1,
    transposed_2,
    weight_distance,
    to_y,
    to_u,
    to_x,
    to_weight_1,
    to_bias_1,
    to_weight_2,
    to_bias_2,
):
    """Compute gradients from those of y and, if they have rows, of u; those of weights and biases per piece."""
    num_hidden, num_input = weight_1.shape
    num_output = transposed_2.shape[1]
    inputs, outputs = np.empty((num_input, BLOCK), np.float32), np.empty((num_output, BLOCK), np.float32)
    hidden, slope = np.empty((num_hidden, BLOCK), np.float32), np.empty((num_hidden, BLOCK), np.float32)
    to_hidden, directions = np.empty((num_hidden, BLOCK), np.float32), np.empty((num_input, BLOCK), np.float32)
    nothing = np.zeros(max(num_input, num_hidden), np.float32)
    for piece in range(start, stop):
        for begin in range(piece * PIECE, min((piece + 1) * PIECE, x.shape[1]), BLOCK):
            _load(x, begin, inputs)
            _load(to_y, begin, outputs)
            _multiply(weight_1, bias_1, inputs, hidden)
            _activate(hidden, slope)
            _add_products(outputs, hidden, to_weight_2[piece])
            _add_sums(outputs, to_bias_2[piece])
            _multiply(transposed_2, nothing, outputs, to_hidden)
            for row in range(np.uint64(num_hidden)):
                for i in range(np.uint64(BLOCK)):
                    to_hidden[row, i] *= slope[row, i]
            if len(to_u) > 0:
                _load(to_u, begin, directions)
                _multiply(weight_1, nothing, directions, hidden)
                _add_slope_gradients(weight_distance, slope, hidden, to_hidden, hidden, to_weight_2[piece, 0])
                _add_products(hidden, directions, to_weight_1[piece])
            _add_products(to_hidden, inputs, to_weight_1[piece])
            _add_sums(to_hidden, to_bias_1[piece])
            if len(to_x) > 0:
                _multiply(transposed_1, nothing, to_hidden, inputs)
                _store(inputs, begin, to_x)
