"""Kernels of structural similarity: separable blur of five products, the similarity map, and the gradient.

Images are [height, width * channels]; `step` is the number of channels, the distance between horizontal neighbours.
Blurred planes have `PAD` zero rows above and below, which are the zero padding of the vertical pass.
"""

from __future__ import annotations

import numpy as np

from sage_ns.system.compiled import njit

PAD = 5
TAPS = 11
C1 = np.float32(0.01**2)
C2 = np.float32(0.03**2)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
ZERO = np.float32(0.0)
# exp(-x^2 / (2 1.5^2)) at 0..5 pixels, normalised to a sum of 1 over -5..5.
W0, W1, W2 = np.float32(0.26601172486179436), np.float32(0.2130055377112537), np.float32(0.10936068950970002)
W3, W4, W5 = np.float32(0.03600077212843083), np.float32(0.007598758135239185), np.float32(0.0010283800844791092)
FAST = {"contract"}


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _blur_line(source, length, step, target):
    """Blur a line that carries PAD * step zeros on both sides."""
    s = np.uint64(step)
    for i in range(np.uint64(length)):
        value = W0 * source[i + np.uint64(5) * s]
        value += W1 * (source[i + np.uint64(4) * s] + source[i + np.uint64(6) * s])
        value += W2 * (source[i + np.uint64(3) * s] + source[i + np.uint64(7) * s])
        value += W3 * (source[i + np.uint64(2) * s] + source[i + np.uint64(8) * s])
        value += W4 * (source[i + s] + source[i + np.uint64(9) * s])
        value += W5 * (source[i] + source[i + np.uint64(10) * s])
        target[i] = value


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _blur_column(rows, target):
    """Weighted sum of 11 rows."""
    for i in range(np.uint64(len(target))):
        value = W0 * rows[np.uint64(5), i]
        value += W1 * (rows[np.uint64(4), i] + rows[np.uint64(6), i])
        value += W2 * (rows[np.uint64(3), i] + rows[np.uint64(7), i])
        value += W3 * (rows[np.uint64(2), i] + rows[np.uint64(8), i])
        value += W4 * (rows[np.uint64(1), i] + rows[np.uint64(9), i])
        value += W5 * (rows[np.uint64(0), i] + rows[np.uint64(10), i])
        target[i] = value


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def blur_products(start, stop, a, b, step, planes):
    """Blur a, b, a a, b b and a b horizontally into planes [5, height + 2 PAD, width * channels]."""
    length = a.shape[1]
    pad = np.uint64(PAD * step)
    lines = np.zeros((5, length + 2 * PAD * step), np.float32)
    for y in range(start, stop):
        for i in range(np.uint64(length)):
            p, q = a[y, i], b[y, i]
            lines[0, i + pad] = p
            lines[1, i + pad] = q
            lines[2, i + pad] = p * p
            lines[3, i + pad] = q * q
            lines[4, i + pad] = p * q
        for k in range(5):
            _blur_line(lines[k], length, step, planes[k, y + PAD])


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def similarity(start, stop, planes, row_sums, partials):
    """Compute the row sums of the similarity map, and its derivatives to the means of a and b, to E[a a] and E[a b].

    `partials` is [4, height, width * channels]. E[b b] has the derivative of E[a a].
    """
    length = planes.shape[2]
    blurred = np.empty((5, length), np.float32)
    line = np.empty(length, np.float32)
    for y in range(start, stop):
        for k in range(5):
            _blur_column(planes[k, y : y + TAPS], blurred[k])
        for i in range(np.uint64(length)):
            mean_a, mean_b = blurred[np.uint64(0), i], blurred[np.uint64(1), i]
            square_a, square_b, product = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
            inverse_1 = ONE / (square_a + square_b + C1)
            inverse_2 = ONE / ((blurred[np.uint64(2), i] - square_a) + (blurred[np.uint64(3), i] - square_b) + C2)
            luminance = (TWO * product + C1) * inverse_1
            structure = (TWO * (blurred[np.uint64(4), i] - product) + C2) * inverse_2
            value = luminance * structure
            line[i] = value
            to_square, to_product = -value * inverse_2, TWO * luminance * inverse_2
            common = TWO * structure * inverse_1
            partials[np.uint64(0), y, i] = (
                common * (mean_b - mean_a * luminance) - TWO * mean_a * to_square - mean_b * to_product
            )
            partials[np.uint64(1), y, i] = (
                common * (mean_a - mean_b * luminance) - TWO * mean_b * to_square - mean_a * to_product
            )
            partials[np.uint64(2), y, i] = to_square
            partials[np.uint64(3), y, i] = to_product
        total = 0.0
        for i in range(length):
            total += line[i]
        row_sums[y] = total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def blur_partials(start, stop, partials, chosen, step, planes):
    """Blur the chosen partials horizontally into planes [len(chosen), height + 2 PAD, width * channels]."""
    length = partials.shape[2]
    pad = PAD * step
    line = np.zeros(length + 2 * pad, np.float32)
    for y in range(start, stop):
        for k in range(len(chosen)):
            line[pad : pad + length] = partials[chosen[k], y]
            _blur_line(line, length, step, planes[k, y + PAD])


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def gradient(start, stop, planes, image, other, scale, result):
    """Compute the gradient to `image`: scale * (blur(d mean) + 2 image blur(d square) + other blur(d product))."""
    length = image.shape[1]
    blurred = np.empty((3, length), np.float32)
    for y in range(start, stop):
        for k in range(3):
            _blur_column(planes[k, y : y + TAPS], blurred[k])
        for i in range(np.uint64(length)):
            result[y, i] = scale * (
                blurred[np.uint64(0), i]
                + TWO * image[y, i] * blurred[np.uint64(1), i]
                + other[y, i] * blurred[np.uint64(2), i]
            )
