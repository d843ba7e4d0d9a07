"""Kernels of `SurfelCorrection` for carried surfels: `triangle_deformations`, blending, `transported_disc`."""

from __future__ import annotations

import math

import numpy as np

from sage_ns.geometry._numba_rotations import matrix_quaternion
from sage_ns.system.compiled import njit

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
TINY = np.float32(1e-30)


@njit(nogil=True, inline="always", error_model="numpy")
def multiply(a, b):
    """Return the Hamilton product of two quaternions (wxyz)."""
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


@njit(nogil=True, inline="always", error_model="numpy")
def turned(q, x, y, z):
    """Rotate a vector by a unit quaternion."""
    tx, ty, tz = TWO * (q[2] * z - q[3] * y), TWO * (q[3] * x - q[1] * z), TWO * (q[1] * y - q[2] * x)
    return (
        x + q[0] * tx + q[2] * tz - q[3] * ty,
        y + q[0] * ty + q[3] * tx - q[1] * tz,
        z + q[0] * tz + q[1] * ty - q[2] * tx,
    )


@njit(nogil=True, inline="always", error_model="numpy")
def bounded_principal(m00, m01, m11, low, high):
    """Return clamped eigenvalues, the first nearer to the first axis, and cosine and sine of twice the turn to them."""
    mean, half = HALF * (m00 + m11), HALF * (m00 - m11)
    radius = math.sqrt(half * half + m01 * m01)
    cosine, sine = ONE, ZERO
    if radius > TINY:
        cosine, sine = abs(half) / radius, m01 / radius
    if half < 0:
        radius, sine = -radius, -sine
    return min(max(mean + radius, low), high), min(max(mean - radius, low), high), cosine, sine


@njit(nogil=True, cache=True, error_model="numpy")
def deform_triangles(
    start, stop, vertices, triangles, sides, canonical, canonical_quaternion, canonical_scale, rotation, scale,
    flat_below, largest, table, relative,
):  # fmt: skip
    """Write rotation (4) and squared stretch (6) of triangles start..stop, and the turn of their frames."""
    low, high = ONE / (largest * largest), largest * largest
    for t in range(start, stop):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ratio = scale[t] / canonical_scale[t]
        posed_base, posed_foot, posed_height = ZERO, ZERO, ZERO
        for c in range(3):
            first, second = vertices[j, c] - vertices[i, c], vertices[k, c] - vertices[i, c]
            posed_base += first * rotation[t, c, 0]
            posed_foot += second * rotation[t, c, 0]
            posed_height -= second * rotation[t, c, 2]
        base, foot, height = sides[t, 0], sides[t, 1], sides[t, 2]
        along, across, shear = ONE, ONE, ZERO
        if height > flat_below * base and posed_base > 0:
            along, across = posed_base / base / ratio, posed_height / height / ratio
            shear = (foot * along - posed_foot / ratio) / height
        first, second, cosine, sine = bounded_principal(
            along * along, along * shear, shear * shear + across * across, low, high
        )
        through = math.sqrt(first * second)
        mean, half = HALF * (first + second), HALF * (first - second)
        squared = ratio * ratio
        ee, ea, aa = squared * (mean + half * cosine), squared * half * sine, squared * (mean - half * cosine)
        through *= squared
        axes, entry = canonical[t], 4
        for row in range(3):
            with_edge = ee * axes[row, 0] + ea * axes[row, 2]
            with_away = ea * axes[row, 0] + aa * axes[row, 2]
            for column in range(row + 1):
                table[t, entry] = (
                    with_edge * axes[column, 0] + with_away * axes[column, 2] + through * axes[row, 1] * axes[column, 1]
                )
                entry += 1
        length = max(math.sqrt(shear * shear + (along + across) * (along + across)), TINY)
        half_cosine = math.sqrt(HALF * (ONE + (along + across) / length))
        about_normal = (half_cosine, ZERO, HALF * shear / length / half_cosine, ZERO)
        posed = matrix_quaternion(rotation[t])
        was = canonical_quaternion[t]
        back = (was[0], -was[1], -was[2], -was[3])
        whole = multiply(multiply(posed, about_normal), back)
        frame = multiply(posed, back)
        for c in range(4):
            table[t, c], relative[t, c] = whole[c], frame[c]


@njit(nogil=True, cache=True, error_model="numpy")
def blend_vertices(start, stop, table, mean, offsets, around, shares, result):
    """Write means over the triangles around vertices start..stop; quaternions get the sign nearer to ``mean``."""
    for v in range(start, stop):
        result[v] = ZERO
        for n in range(offsets[v], offsets[v + 1]):
            t, share = around[n], shares[n]
            dot = ZERO
            for c in range(4):
                dot += mean[c] * table[t, c]
            signed = -share if dot < 0 else share
            for c in range(4):
                result[v, c] += signed * table[t, c]
            for c in range(4, 10):
                result[v, c] += share * table[t, c]


@njit(nogil=True, cache=True, error_model="numpy")
def deform_surfels(
    start, stop, blended, vertices, corners, barycentric, triangle, relative, origin, scale, canonical_scale,
    from_anchor, to_canonical, rotation, stretch, ratios, pivot, zoom, target,
):  # fmt: skip
    """Write the fields of `SurfelDeformation` for surfels start..stop."""
    mixed = np.empty(10, np.float32)
    for i in range(start, stop):
        t = triangle[i]
        mixed[:] = ZERO
        ax, ay, az = ZERO, ZERO, ZERO
        for corner in range(3):
            v, weight = corners[i, corner], barycentric[i, corner]
            ax += weight * vertices[v, 0]
            ay += weight * vertices[v, 1]
            az += weight * vertices[v, 2]
            for c in range(10):
                mixed[c] += weight * blended[v, c]
        norm = ONE / max(math.sqrt(mixed[0] ** 2 + mixed[1] ** 2 + mixed[2] ** 2 + mixed[3] ** 2), TINY)
        q = (mixed[0] * norm, mixed[1] * norm, mixed[2] * norm, mixed[3] * norm)
        back = (relative[t, 0], -relative[t, 1], -relative[t, 2], -relative[t, 3])
        placed_to_corrected = multiply(q, back)
        ratio = scale[t] / canonical_scale[t]
        size = math.sqrt((mixed[4] + mixed[6] + mixed[9]) / np.float32(3.0))
        ox, oy, oz = turned(q, from_anchor[i, 0], from_anchor[i, 1], from_anchor[i, 2])
        for c in range(4):
            to_canonical[i, c], rotation[i, c] = back[c], placed_to_corrected[c]
        share, entry = ONE / (ratio * ratio), 4
        for row in range(3):
            pivot[i, row] = origin[t, row]
            for column in range(row + 1):
                stretch[i, row, column] = stretch[i, column, row] = share * mixed[entry]
                entry += 1
        ratios[i, 0], zoom[i, 0] = ratio, size / ratio
        target[i, 0], target[i, 1], target[i, 2] = ax + size * ox, ay + size * oy, az + size * oz


@njit(nogil=True, cache=True, error_model="numpy")
def correct(
    start, stop, corrected, means, quaternions, scales, to_canonical, rotation, stretch, pivot, zoom, target, largest,
    new_means, new_quaternions, new_scales, factors, in_plane,
):  # fmt: skip
    """Write corrected means, quaternions and scales of surfels start..stop, and inputs of `correct_backward`."""
    low, high = ONE / (largest * largest), largest * largest
    for i in range(start, stop):
        if not corrected[i]:
            new_means[i], new_quaternions[i], new_scales[i] = means[i], quaternions[i], scales[i]
            continue
        q = (quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3])
        p = multiply(to_canonical[i], q)
        unit = ONE / max(p[0] * p[0] + p[1] * p[1] + p[2] * p[2] + p[3] * p[3], TINY)
        u = (
            ONE - TWO * unit * (p[2] * p[2] + p[3] * p[3]),
            TWO * unit * (p[1] * p[2] + p[0] * p[3]),
            TWO * unit * (p[1] * p[3] - p[0] * p[2]),
        )
        v = (
            TWO * unit * (p[1] * p[2] - p[0] * p[3]),
            ONE - TWO * unit * (p[1] * p[1] + p[3] * p[3]),
            TWO * unit * (p[2] * p[3] + p[0] * p[1]),
        )
        m00, m01, m11 = ZERO, ZERO, ZERO
        for row in range(3):
            with_u = stretch[i, row, 0] * u[0] + stretch[i, row, 1] * u[1] + stretch[i, row, 2] * u[2]
            with_v = stretch[i, row, 0] * v[0] + stretch[i, row, 1] * v[1] + stretch[i, row, 2] * v[2]
            m00 += u[row] * with_u
            m01 += u[row] * with_v
            m11 += v[row] * with_v
        first, second, cosine, sine = bounded_principal(m00, m01, m11, low, high)
        first, second = math.sqrt(first), math.sqrt(second)
        mean, half = HALF * (first + second), HALF * (first - second)
        u00, u01, u11 = mean + half * cosine, half * sine, mean - half * cosine
        longest = max(scales[i, 0], scales[i, 1])
        su, sv = scales[i, 0] / longest, scales[i, 1] / longest
        c00, c11 = (u00 * su) ** 2 + (u01 * sv) ** 2, (u01 * su) ** 2 + (u11 * sv) ** 2
        c01 = u01 * (u00 * su * su + u11 * sv * sv)
        mean, half = HALF * (c00 + c11), HALF * (c00 - c11)
        radius = math.sqrt(half * half + c01 * c01)
        more = mean + radius
        area = (u00 * u11 - u01 * u01) * su * sv
        less = area * area / more
        if half < 0:
            factors[i, 0], factors[i, 1] = math.sqrt(less) / su, math.sqrt(more) / sv
            turn = HALF * math.atan2(-c01, -half)
        else:
            factors[i, 0], factors[i, 1] = math.sqrt(more) / su, math.sqrt(less) / sv
            turn = HALF * math.atan2(c01, half)
        in_plane[i, 0], in_plane[i, 1] = math.cos(HALF * turn), math.sin(HALF * turn)
        new_scales[i, 0], new_scales[i, 1] = scales[i, 0] * factors[i, 0], scales[i, 1] * factors[i, 1]
        result = multiply(multiply(rotation[i], q), (in_plane[i, 0], ZERO, ZERO, in_plane[i, 1]))
        for c in range(4):
            new_quaternions[i, c] = result[c]
        x, y, z = turned(rotation[i], means[i, 0] - pivot[i, 0], means[i, 1] - pivot[i, 1], means[i, 2] - pivot[i, 2])
        new_means[i, 0], new_means[i, 1] = zoom[i, 0] * x + target[i, 0], zoom[i, 0] * y + target[i, 1]
        new_means[i, 2] = zoom[i, 0] * z + target[i, 2]


@njit(nogil=True, cache=True, error_model="numpy")
def correct_backward(
    start, stop, corrected, rotation, zoom, factors, in_plane, grad_means, grad_quaternions, grad_scales,
    to_means, to_quaternions, to_scales,
):  # fmt: skip
    """Write gradients of surfels start..stop; factors and turns are constants."""
    for i in range(start, stop):
        if not corrected[i]:
            to_means[i], to_quaternions[i], to_scales[i] = grad_means[i], grad_quaternions[i], grad_scales[i]
            continue
        # Multiplying by a unit quaternion is an orthogonal map: its transpose multiplies by the conjugate.
        back = (rotation[i, 0], -rotation[i, 1], -rotation[i, 2], -rotation[i, 3])
        x, y, z = turned(back, grad_means[i, 0], grad_means[i, 1], grad_means[i, 2])
        to_means[i, 0], to_means[i, 1], to_means[i, 2] = zoom[i, 0] * x, zoom[i, 0] * y, zoom[i, 0] * z
        result = multiply(multiply(back, grad_quaternions[i]), (in_plane[i, 0], ZERO, ZERO, -in_plane[i, 1]))
        for c in range(4):
            to_quaternions[i, c] = result[c]
        to_scales[i, 0], to_scales[i, 1] = factors[i, 0] * grad_scales[i, 0], factors[i, 1] * grad_scales[i, 1]
