"""Kernels of `sh_colors` for 1, 4, 9 or 16 coefficients. Constants as in `sage_ns.geometry.spherical_harmonics`."""

from __future__ import annotations

import math

import numpy as np

from sage_ns.system.compiled import njit

C0 = np.float32(0.28209479177387814)
C1 = np.float32(0.4886025119029199)
C20, C22 = np.float32(1.0925484305920792), np.float32(0.31539156525252005)
C24 = np.float32(0.5462742152960396)
C30, C31, C32 = np.float32(0.5900435899266435), np.float32(2.890611442640554), np.float32(0.4570457994644658)
C33, C35 = np.float32(0.3731763325901154), np.float32(1.445305721320277)
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
TWO, THREE, FOUR, SIX, EIGHT = np.float32(2.0), np.float32(3.0), np.float32(4.0), np.float32(6.0), np.float32(8.0)
TINY = np.float32(1e-12)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _basis(x, y, z, num, basis):
    """Write the values of the first `num` harmonics in a unit direction to `basis`."""
    basis[0] = C0
    if num > 1:
        basis[1], basis[2], basis[3] = -C1 * y, C1 * z, -C1 * x
    if num > 4:
        xx, yy, zz = x * x, y * y, z * z
        basis[4], basis[5], basis[6] = C20 * x * y, -C20 * y * z, C22 * (TWO * zz - xx - yy)
        basis[7], basis[8] = -C20 * x * z, C24 * (xx - yy)
        if num > 9:
            ring = FOUR * zz - xx - yy
            basis[9], basis[10] = -C30 * y * (THREE * xx - yy), C31 * x * y * z
            basis[11], basis[12] = -C32 * y * ring, C33 * z * (TWO * zz - THREE * (xx + yy))
            basis[13], basis[14] = -C32 * x * ring, C35 * z * (xx - yy)
            basis[15] = -C30 * x * (xx - THREE * yy)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _slope(x, y, z, num, b):
    """Return the gradient of sum_k b[k] * harmonic_k with respect to the direction, which need not stay unit."""
    if num <= 1:
        return ZERO, ZERO, ZERO
    dx, dy, dz = -C1 * b[3], -C1 * b[1], C1 * b[2]
    if num > 4:
        dx += C20 * (y * b[4] - z * b[7]) - TWO * C22 * x * b[6] + TWO * C24 * x * b[8]
        dy += C20 * (x * b[4] - z * b[5]) - TWO * C22 * y * b[6] - TWO * C24 * y * b[8]
        dz += -C20 * (y * b[5] + x * b[7]) + FOUR * C22 * z * b[6]
    if num > 9:
        xx, yy, zz, xy, xz, yz = x * x, y * y, z * z, x * y, x * z, y * z
        ring = FOUR * zz - xx - yy
        dx += -SIX * C30 * xy * b[9] + C31 * yz * b[10] + TWO * C32 * xy * b[11] - SIX * C33 * xz * b[12]
        dx += -C32 * (ring - TWO * xx) * b[13] + TWO * C35 * xz * b[14] - THREE * C30 * (xx - yy) * b[15]
        dy += -THREE * C30 * (xx - yy) * b[9] + C31 * xz * b[10] - C32 * (ring - TWO * yy) * b[11]
        dy += -SIX * C33 * yz * b[12] + TWO * C32 * xy * b[13] - TWO * C35 * yz * b[14] + SIX * C30 * xy * b[15]
        dz += C31 * xy * b[10] - EIGHT * C32 * (yz * b[11] + xz * b[13])
        dz += C33 * (SIX * zz - THREE * (xx + yy)) * b[12] + C35 * (xx - yy) * b[14]
    return dx, dy, dz


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def colors(start, stop, coefficients, higher, means, center, result):
    """Write the colours of points start..stop; `higher` continues `coefficients` along the second axis."""
    split = np.uint64(coefficients.shape[1])
    num = split + np.uint64(higher.shape[1])
    basis = np.zeros(16, np.float32)
    for i in range(np.uint64(start), np.uint64(stop)):
        x, y, z = means[i, 0] - center[0], means[i, 1] - center[1], means[i, 2] - center[2]
        share = ONE / max(math.sqrt(x * x + y * y + z * z), TINY)
        _basis(x * share, y * share, z * share, num, basis)
        red = green = blue = HALF
        for k in range(split):
            red += basis[k] * coefficients[i, k, 0]
            green += basis[k] * coefficients[i, k, 1]
            blue += basis[k] * coefficients[i, k, 2]
        for k in range(split, num):
            red += basis[k] * higher[i, k - split, 0]
            green += basis[k] * higher[i, k - split, 1]
            blue += basis[k] * higher[i, k - split, 2]
        result[i, 0], result[i, 1], result[i, 2] = max(red, ZERO), max(green, ZERO), max(blue, ZERO)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def colors_backward(
    start, stop, coefficients, higher, means, center, result, grad, grad_coefficients, grad_higher, grad_means
):
    """Write the gradients of points start..stop; a channel that was clamped at 0 has gradient 0."""
    split = np.uint64(coefficients.shape[1])
    num = split + np.uint64(higher.shape[1])
    basis, pull = np.zeros(16, np.float32), np.zeros(16, np.float32)
    for i in range(np.uint64(start), np.uint64(stop)):
        x, y, z = means[i, 0] - center[0], means[i, 1] - center[1], means[i, 2] - center[2]
        share = ONE / max(math.sqrt(x * x + y * y + z * z), TINY)
        x, y, z = x * share, y * share, z * share
        _basis(x, y, z, num, basis)
        red = grad[i, 0] if result[i, 0] > ZERO else ZERO
        green = grad[i, 1] if result[i, 1] > ZERO else ZERO
        blue = grad[i, 2] if result[i, 2] > ZERO else ZERO
        for k in range(split):
            value = basis[k]
            grad_coefficients[i, k, 0], grad_coefficients[i, k, 1] = value * red, value * green
            grad_coefficients[i, k, 2] = value * blue
            pull[k] = red * coefficients[i, k, 0] + green * coefficients[i, k, 1] + blue * coefficients[i, k, 2]
        for k in range(split, num):
            j = k - split
            value = basis[k]
            grad_higher[i, j, 0], grad_higher[i, j, 1] = value * red, value * green
            grad_higher[i, j, 2] = value * blue
            pull[k] = red * higher[i, j, 0] + green * higher[i, j, 1] + blue * higher[i, j, 2]
        dx, dy, dz = _slope(x, y, z, num, pull)
        radial = dx * x + dy * y + dz * z
        grad_means[i, 0], grad_means[i, 1] = (dx - radial * x) * share, (dy - radial * y) * share
        grad_means[i, 2] = (dz - radial * z) * share
