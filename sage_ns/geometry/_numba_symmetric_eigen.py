"""Kernels of `symmetric_eigen`: closed form in double precision, one matrix at a time.

The kernel solves the characteristic cubic for the eigenvalue that is farthest from the other two; its eigenvector is
well conditioned for every matrix. One rotation in the plane orthogonal to it gives the other two, which is exact for
equal eigenvalues (after Eberly, "A robust eigensolver for 3x3 symmetric matrices").
"""

from __future__ import annotations

import math

import numpy as np

from sage_ns.geometry._numba_rotations import matrix_quaternion
from sage_ns.system.compiled import njit

HALF, TWO = np.float32(0.5), np.float32(2.0)
ROOT_3 = math.sqrt(3.0)
NEGLIGIBLE = 1e-30
"""Squared relative spread of the eigenvalues below which a matrix counts as a multiple of the identity."""


@njit(nogil=True, cache=True, error_model="numpy")
def _root(height):
    """Return the largest root of b^3 - 3 b = 2 height for height in 0..1: Newton's method, started within 0.005."""
    b = ROOT_3 + height * (1.0 / 3.0 + (2.0 - ROOT_3 - 1.0 / 3.0) * height)
    for _ in range(3):
        b = (2.0 * b * b * b + 2.0 * height) / (3.0 * b * b - 3.0)
    return b


@njit(nogil=True, cache=True, error_model="numpy")
def _kernel_of(xx, xy, xz, yy, yz, zz):
    """Return the unit vector orthogonal to the rows of a symmetric rank-2 matrix: their longest cross product."""
    ax, ay, az = xy * yz - xz * yy, xz * xy - xx * yz, xx * yy - xy * xy
    bx, by, bz = xy * zz - xz * yz, xz * xz - xx * zz, xx * yz - xy * xz
    cx, cy, cz = yy * zz - yz * yz, yz * xz - xy * zz, xy * yz - yy * xz
    a, b, c = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz, cx * cx + cy * cy + cz * cz
    if b > a:
        a, ax, ay, az = b, bx, by, bz
    if c > a:
        a, ax, ay, az = c, cx, cy, cz
    share = 1.0 / math.sqrt(a)
    return ax * share, ay * share, az * share


@njit(nogil=True, cache=True, error_model="numpy")
def _eigenpairs(m00, m10, m11, m20, m21, m22):
    """Return three tuples (eigenvalue, x, y, z) in no particular order."""
    mean = (m00 + m11 + m22) / 3.0
    xx, yy, zz = m00 - mean, m11 - mean, m22 - mean
    spread = (xx * xx + yy * yy + zz * zz + 2.0 * (m10 * m10 + m20 * m20 + m21 * m21)) / 6.0
    if not spread > NEGLIGIBLE * mean * mean:
        return (mean, 1.0, 0.0, 0.0), (mean, 0.0, 1.0, 0.0), (mean, 0.0, 0.0, 1.0)
    radius = math.sqrt(spread)
    determinant = xx * (yy * zz - m21 * m21) - m10 * (m10 * zz - m21 * m20) + m20 * (m10 * m21 - yy * m20)
    height = determinant / (2.0 * spread * radius)
    apart = math.copysign(radius * _root(min(abs(height), 1.0)), height)
    x, y, z = _kernel_of(xx - apart, m10, m20, yy - apart, m21, zz - apart)
    if abs(x) > abs(y):
        share = 1.0 / math.sqrt(x * x + z * z)
        ux, uy, uz = -z * share, 0.0, x * share
    else:
        share = 1.0 / math.sqrt(y * y + z * z)
        ux, uy, uz = 0.0, z * share, -y * share
    wx, wy, wz = y * uz - z * uy, z * ux - x * uz, x * uy - y * ux
    px, py, pz = xx * ux + m10 * uy + m20 * uz, m10 * ux + yy * uy + m21 * uz, m20 * ux + m21 * uy + zz * uz
    uu, uw = ux * px + uy * py + uz * pz, wx * px + wy * py + wz * pz
    ww = -apart - uu  # the trace is 0
    tangent = 0.0
    if uw != 0.0:
        cotangent = (ww - uu) / (2.0 * uw)
        tangent = math.copysign(1.0 / (abs(cotangent) + math.sqrt(1.0 + cotangent * cotangent)), cotangent)
    c = 1.0 / math.sqrt(1.0 + tangent * tangent)
    s = tangent * c
    return (
        (mean + apart, x, y, z),
        (mean + uu - tangent * uw, c * ux - s * wx, c * uy - s * wy, c * uz - s * wz),
        (mean + ww + tangent * uw, s * ux + c * wx, s * uy + c * wy, s * uz + c * wz),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _signed(x, y, z):
    """Return the vector, negated if its component of largest magnitude is negative."""
    largest = x
    if abs(y) > abs(largest):
        largest = y
    if abs(z) > abs(largest):
        largest = z
    return (-x, -y, -z) if largest < 0.0 else (x, y, z)


@njit(nogil=True, cache=True, error_model="numpy")
def decompose(start, stop, lower, values, vectors, quaternions):
    """Write eigenvalues, eigenvectors and (unless `quaternions` is empty) quaternions of matrices start..stop."""
    for i in range(np.uint64(start), np.uint64(stop)):
        first, middle, last = _eigenpairs(
            np.float64(lower[i, 0]), np.float64(lower[i, 1]), np.float64(lower[i, 2]),
            np.float64(lower[i, 3]), np.float64(lower[i, 4]), np.float64(lower[i, 5]),
        )  # fmt: skip
        if abs(first[0]) < abs(middle[0]):
            first, middle = middle, first
        if abs(middle[0]) < abs(last[0]):
            middle, last = last, middle
            if abs(first[0]) < abs(middle[0]):
                first, middle = middle, first
        values[i, 0], values[i, 1], values[i, 2] = first[0], middle[0], last[0]
        ax, ay, az = _signed(first[1], first[2], first[3])
        cx, cy, cz = _signed(last[1], last[2], last[3])
        v = vectors[i]
        v[0, 0], v[1, 0], v[2, 0] = ax, ay, az
        v[0, 1], v[1, 1], v[2, 1] = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
        v[0, 2], v[1, 2], v[2, 2] = cx, cy, cz
        if len(quaternions) > 0:
            quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3] = matrix_quaternion(v)


@njit(nogil=True, cache=True, error_model="numpy")
def _pull(values, v, grad_values, turn_x, turn_y, turn_z, broadening, floor, result):
    """Write the gradient of the lower triangle, from the gradient of a small turn about each eigenvector."""
    width = broadening * (abs(values[0]) + floor)
    x, y, z = values[1] - values[2], values[2] - values[0], values[0] - values[1]
    x = HALF * turn_x * x / (x * x + width * width)
    y = HALF * turn_y * y / (y * y + width * width)
    z = HALF * turn_z * z / (z * z + width * width)
    a, b, c = grad_values[0], grad_values[1], grad_values[2]
    for row in range(3):
        # Row of V G, where G is the gradient in the basis of the eigenvectors.
        first = v[row, 0] * a + v[row, 1] * z + v[row, 2] * y
        second = v[row, 0] * z + v[row, 1] * b + v[row, 2] * x
        third = v[row, 0] * y + v[row, 1] * x + v[row, 2] * c
        for column in range(row + 1):
            entry = first * v[column, 0] + second * v[column, 1] + third * v[column, 2]
            # Each off-diagonal number is two entries of the matrix.
            result[row * (row + 1) // 2 + column] = entry if column == row else TWO * entry


@njit(nogil=True, cache=True, error_model="numpy")
def pull_vectors(start, stop, values, vectors, grad_values, grad_vectors, broadening, floor, to_lower):
    """Write the gradients of matrices start..stop from those of eigenvalues and eigenvectors."""
    for i in range(np.uint64(start), np.uint64(stop)):
        v, g = vectors[i], grad_vectors[i]
        x = y = z = np.float32(0.0)
        for row in range(3):
            x += v[row, 2] * g[row, 1] - v[row, 1] * g[row, 2]
            y += v[row, 0] * g[row, 2] - v[row, 2] * g[row, 0]
            z += v[row, 1] * g[row, 0] - v[row, 0] * g[row, 1]
        _pull(values[i], v, grad_values[i], x, y, z, broadening, floor, to_lower[i])


@njit(nogil=True, cache=True, error_model="numpy")
def pull_quaternions(
    start, stop, values, vectors, quaternions, grad_values, grad_quaternions, broadening, floor, to_lower
):
    """Write the gradients of matrices start..stop from those of eigenvalues and quaternions."""
    for i in range(np.uint64(start), np.uint64(stop)):
        # A small turn about the rotation's own axes changes q by q (0, turn) / 2.
        w, x, y, z = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
        g = grad_quaternions[i]
        turn_x = HALF * (w * g[1] - x * g[0] + z * g[2] - y * g[3])
        turn_y = HALF * (w * g[2] - y * g[0] + x * g[3] - z * g[1])
        turn_z = HALF * (w * g[3] - z * g[0] + y * g[1] - x * g[2])
        _pull(values[i], vectors[i], grad_values[i], turn_x, turn_y, turn_z, broadening, floor, to_lower[i])
