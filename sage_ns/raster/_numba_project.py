"""Kernels per surfel: world to screen record and its gradient.

A record holds the 20 floats of a surfel that a pixel needs. With d = pixel - center, the ray through the pixel meets
the surfel's plane at (u, v) = (U . d, V . d) / (1 + g . d) standard deviations; U, V, g are constants of the surfel:

    g = z (n_x / fx, n_y / fy) / (n . m)                 slope of relative inverse depth, cf. ProjectedSurfels
    U = (z (t_x / fx, t_y / fy) - (t . m) g) / s         and V alike, with t = tangent, s = its scale, m = center

All constants here are literal copies of `sage_ns.raster.constants`: numba's cache does not notice changes there.
"""

from __future__ import annotations

import math

import numpy as np

from sage_ns.system.compiled import njit

CENTER_X, CENTER_Y, U_X, U_Y, V_X, V_Y, G_X, G_Y, DISC_X, DISC_Y = range(10)
OPACITY, RED, GREEN, BLUE, NORMAL_X, NORMAL_Y, NORMAL_Z, INVERSE_DEPTH, INVERSE_SLOPE, DEPTH = range(10, 20)
RECORD = 20

# Gradient sums of one surfel in one tile: of the numerators U . d, V . d and the denominator, with their moments ...
SUM_U, SUM_V, SUM_W, SUM_UX, SUM_UY, SUM_VX, SUM_VY, SUM_WX, SUM_WY, SUM_DISC_X, SUM_DISC_Y = range(11)
# ... and of the blended values.
SUM_OPACITY, SUM_RED, SUM_NORMAL, SUM_INVERSE_DEPTH, SUM_INVERSE_SLOPE, SUM_DEPTH = 11, 12, 15, 18, 19, 20
SUMS = 21

NEAR_PLANE = np.float32(0.01)
ALPHA_MAX_INVERSE = np.float32(255.0)
COSINE_EDGE_ON = np.float32(1e-6)
COSINE_GRAZING = np.float32(0.2)
MARGIN = np.float32(1e-3)
ZERO = np.float32(0.0)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
HALF = np.float32(0.5)


INLINE = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}
KERNEL = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", "cache": True}


@njit(**INLINE)
def _unit_quaternion(quaternions, i):
    w, x, y, z = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
    share = ONE / max(math.sqrt(w * w + x * x + y * y + z * z), np.float32(1e-12))
    return w * share, x * share, y * share, z * share, share


@njit(**INLINE)
def _axes(w, x, y, z):
    """Columns of the rotation of a unit quaternion: two tangents and the normal."""
    return (
        (ONE - TWO * (y * y + z * z), TWO * (x * y + w * z), TWO * (x * z - w * y)),
        (TWO * (x * y - w * z), ONE - TWO * (x * x + z * z), TWO * (y * z + w * x)),
        (TWO * (x * z + w * y), TWO * (y * z - w * x), ONE - TWO * (x * x + y * y)),
    )


@njit(**INLINE)
def _to_camera(camera, vector):
    x, y, z = vector
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = camera[:9]
    return r00 * x + r01 * y + r02 * z, r10 * x + r11 * y + r12 * z, r20 * x + r21 * y + r22 * z


@njit(**INLINE)
def _to_world(camera, vector):
    x, y, z = vector
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = camera[:9]
    return r00 * x + r10 * y + r20 * z, r01 * x + r11 * y + r21 * z, r02 * x + r12 * y + r22 * z


@njit(**INLINE)
def _center(camera, means, i):
    x, y, z = _to_camera(camera, (means[i, 0], means[i, 1], means[i, 2]))
    return x + camera[9], y + camera[10], z + camera[11]


@njit(**INLINE)
def _facing(n, m):
    """Return normal . centre, kept away from 0; the sign that turns the normal towards the camera; and |centre|."""
    dot = n[0] * m[0] + n[1] * m[1] + n[2] * m[2]
    toward = ONE if dot < ZERO else -ONE
    length = math.sqrt(m[0] * m[0] + m[1] * m[1] + m[2] * m[2])
    return max(abs(dot), COSINE_EDGE_ON * length) * -toward, toward, length


@njit(**INLINE)
def _pixel_interval(center, disc, reach, offset, half, size):
    """Return the first and last + 1 pixel of the union of ellipse and low-pass disc along one image axis."""
    low = max(ZERO, min(center + offset - half, disc - reach) - MARGIN)
    high = min(np.float32(size), max(center + offset + half, disc + reach) + MARGIN)
    # Written so that NaN gives an empty interval.
    if not high > low:
        return np.int32(0), np.int32(0)
    return np.int32(math.ceil(low - HALF)), min(np.int32(math.floor(high - HALF)) + np.int32(1), np.int32(size))


@njit(**KERNEL)
def project(
    start,
    stop,
    means,
    quaternions,
    scales,
    opacities,
    colors,
    camera,
    low_pass,
    width,
    height,
    records,
    boxes,
    keys,
    num_tiles,
):
    """Fill records, pixel boxes (x0, x1, y0, y1), sort keys and tile counts of surfels start..stop.

    `camera` is 16 floats: rotation row by row, translation, fx, fy, cx, cy. Invisible surfels get 0 tiles.
    """
    fx, fy, cx, cy = camera[12:16]
    for i in range(start, stop):
        num_tiles[i] = 0
        m = _center(camera, means, i)
        mx, my, mz = m
        opacity = opacities[i]
        # Written so that NaN anywhere means invisible.
        if not (mz > NEAR_PLANE and opacity * ALPHA_MAX_INVERSE >= ONE):
            continue
        su, sv = scales[i, 0], scales[i, 1]
        su2, sv2 = su * su, sv * sv
        qw, qx, qy, qz, _ = _unit_quaternion(quaternions, i)
        tangent_u, tangent_v, normal = _axes(qw, qx, qy, qz)
        ux, uy, uz = _to_camera(camera, tangent_u)
        vx, vy, vz = _to_camera(camera, tangent_v)
        n = _to_camera(camera, normal)
        sxz, syz = su2 * ux * uz + sv2 * vx * vz, su2 * uy * uz + sv2 * vy * vz
        szz = su2 * uz * uz + sv2 * vz * vz
        if not mz * mz > szz:
            continue
        inverse = ONE / mz
        x, y = mx * inverse, my * inverse
        shrink = ONE / (mz * mz - szz)
        center_x, center_y = fx * x + cx, fy * y + cy
        disc_x, disc_y = center_x - fx * (sxz - x * szz) * shrink, center_y - fy * (syz - y * szz) * shrink

        # Box around the region where opacity >= ALPHA_MIN: projected ellipse of squared radius 2 ln(255 o), and disc.
        cut = TWO * math.log(opacity * ALPHA_MAX_INVERSE)
        reach = math.sqrt(cut / low_pass)
        apart = mz * mz - cut * szz
        off_x = off_y = ZERO
        half_x = half_y = np.float32(1e9)
        if apart > np.float32(1e-3) * mz * mz:
            share = cut / apart
            off_x, off_y = -fx * share * (sxz - x * szz), -fy * share * (syz - y * szz)
            sxx, syy = su2 * ux * ux + sv2 * vx * vx, su2 * uy * uy + sv2 * vy * vy
            half_x = math.sqrt(max(off_x * off_x + fx * fx * share * (sxx - TWO * x * sxz + x * x * szz), ZERO))
            half_y = math.sqrt(max(off_y * off_y + fy * fy * share * (syy - TWO * y * syz + y * y * szz), ZERO))
        x0, x1 = _pixel_interval(center_x, disc_x, reach, off_x, half_x, width)
        y0, y1 = _pixel_interval(center_y, disc_y, reach, off_y, half_y, height)
        if x1 <= x0 or y1 <= y0:
            continue
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x0, x1, y0, y1
        num_tiles[i] = (((x1 - 1) >> 3) - (x0 >> 3) + 1) * (((y1 - 1) >> 3) - (y0 >> 3) + 1)
        keys[i] = mz

        facing, toward, length = _facing(n, m)
        gx, gy = mz * n[0] / (fx * facing), mz * n[1] / (fy * facing)
        hu, hv = ux * mx + uy * my + uz * mz, vx * mx + vy * my + vz * mz
        grazing = facing / (COSINE_GRAZING * length)
        r = records[i]
        r[CENTER_X], r[CENTER_Y], r[DISC_X], r[DISC_Y] = center_x, center_y, disc_x, disc_y
        r[U_X], r[U_Y] = (mz * ux / fx - hu * gx) / su, (mz * uy / fy - hu * gy) / su
        r[V_X], r[V_Y] = (mz * vx / fx - hv * gx) / sv, (mz * vy / fy - hv * gy) / sv
        r[G_X], r[G_Y], r[OPACITY], r[DEPTH] = gx, gy, opacity, mz
        r[RED], r[GREEN], r[BLUE] = colors[i, 0], colors[i, 1], colors[i, 2]
        r[NORMAL_X], r[NORMAL_Y], r[NORMAL_Z] = toward * normal[0], toward * normal[1], toward * normal[2]
        r[INVERSE_DEPTH], r[INVERSE_SLOPE] = inverse, inverse * min(ONE, grazing * grazing)


@njit(**INLINE)
def _screen_gradients(m, u, v, n, su, sv, fx, fy, record, total):
    """Compute gradients to centre, tangents, normal (in camera space) and scales from the gradients to the record."""
    mx, my, mz = m
    ux, uy, uz = u
    vx, vy, vz = v
    gx, gy, inverse = record[G_X], record[G_Y], record[INVERSE_DEPTH]
    u_x, u_y, v_x, v_y = record[U_X], record[U_Y], record[V_X], record[V_Y]
    x, y = mx * inverse, my * inverse
    hu, hv = ux * mx + uy * my + uz * mz, vx * mx + vy * my + vz * mz
    facing, _, length = _facing(n, m)

    # Low-pass disc: its offset from the projected centre follows from the second moments with depth.
    d_disc_x, d_disc_y = -total[SUM_DISC_X], -total[SUM_DISC_Y]
    su2, sv2 = su * su, sv * sv
    sxz, syz = su2 * ux * uz + sv2 * vx * vz, su2 * uy * uz + sv2 * vy * vz
    szz = su2 * uz * uz + sv2 * vz * vz
    shrink = ONE / (mz * mz - szz)
    d_sxz, d_syz = -d_disc_x * fx * shrink, -d_disc_y * fy * shrink
    d_gap = -(d_sxz * (sxz - x * szz) + d_syz * (syz - y * szz)) * shrink
    d_szz = -d_sxz * x - d_syz * y - d_gap
    share_u, share_v = d_sxz * ux + d_syz * uy + d_szz * uz, d_sxz * vx + d_syz * vy + d_szz * vz

    # Projected centre.
    d_center_x = d_disc_x - (u_x * total[SUM_U] + v_x * total[SUM_V] + gx * total[SUM_W])
    d_center_y = d_disc_y - (u_y * total[SUM_U] + v_y * total[SUM_V] + gy * total[SUM_W])
    d_x, d_y = fx * d_center_x - d_sxz * szz, fy * d_center_y - d_syz * szz

    # Depth of the centre, its inverse, and the slope of inverse depth over the pixels.
    d_slope = total[SUM_INVERSE_SLOPE]
    grazing = facing / (COSINE_GRAZING * length)
    flat = min(ONE, grazing * grazing)
    d_inverse = total[SUM_INVERSE_DEPTH] + d_slope * flat
    d_grazing = TWO * grazing * d_slope * inverse if flat < ONE else ZERO
    pull = -d_grazing * grazing / (length * length)

    # Where the ray meets the plane.
    c_ux, c_uy, c_vx, c_vy = total[SUM_UX] / su, total[SUM_UY] / su, total[SUM_VX] / sv, total[SUM_VY] / sv
    d_gx, d_gy = total[SUM_WX] - c_ux * hu - c_vx * hv, total[SUM_WY] - c_uy * hu - c_vy * hv
    d_hu, d_hv = -(c_ux * gx + c_uy * gy), -(c_vx * gx + c_vy * gy)
    along_g = d_gx * gx + d_gy * gy
    edge_on = abs(n[0] * mx + n[1] * my + n[2] * mz) < COSINE_EDGE_ON * length
    d_facing = ZERO if edge_on else d_grazing / (COSINE_GRAZING * length) - along_g / facing

    d_mz = TWO * mz * d_gap + total[SUM_DEPTH] - d_inverse * inverse * inverse - (d_x * x + d_y * y) * inverse
    d_mz += (c_ux * ux + c_vx * vx) / fx + (c_uy * uy + c_vy * vy) / fy + along_g * inverse
    d_m = (
        d_x * inverse + pull * mx + d_hu * ux + d_hv * vx + d_facing * n[0],
        d_y * inverse + pull * my + d_hu * uy + d_hv * vy + d_facing * n[1],
        d_mz + pull * mz + d_hu * uz + d_hv * vz + d_facing * n[2],
    )
    d_u = (
        c_ux * mz / fx + d_hu * mx + su2 * d_sxz * uz,
        c_uy * mz / fy + d_hu * my + su2 * d_syz * uz,
        d_hu * mz + su2 * (share_u + d_szz * uz),
    )
    d_v = (
        c_vx * mz / fx + d_hv * mx + sv2 * d_sxz * vz,
        c_vy * mz / fy + d_hv * my + sv2 * d_syz * vz,
        d_hv * mz + sv2 * (share_v + d_szz * vz),
    )
    d_n = (
        d_gx * mz / (fx * facing) + d_facing * mx,
        d_gy * mz / (fy * facing) + d_facing * my,
        d_facing * mz,
    )
    d_su = TWO * su * uz * share_u - c_ux * u_x - c_uy * u_y
    d_sv = TWO * sv * vz * share_v - c_vx * v_x - c_vy * v_y
    return d_m, d_u, d_v, d_n, d_su, d_sv


@njit(**KERNEL)
def project_backward(
    start,
    stop,
    means,
    quaternions,
    scales,
    camera,
    records,
    num_tiles,
    slots,
    sums,
    grad_means,
    grad_quaternions,
    grad_scales,
    grad_opacities,
    grad_colors,
):
    """Compute the gradients of surfels start..stop from their tiles' sums, added in the fixed order of the tiles."""
    total = np.empty(SUMS, np.float32)
    for i in range(start, stop):
        if num_tiles[i] == 0:
            grad_means[i] = ZERO
            grad_quaternions[i] = ZERO
            grad_scales[i] = ZERO
            grad_opacities[i] = ZERO
            grad_colors[i] = ZERO
            continue
        total[:] = ZERO
        for slot in range(np.uint64(slots[i]), np.uint64(slots[i] + num_tiles[i])):
            for k in range(SUMS):
                total[k] += sums[slot, k]
        grad_opacities[i] = total[SUM_OPACITY]
        for k in range(3):
            grad_colors[i, k] = total[SUM_RED + k]

        m = _center(camera, means, i)
        qw, qx, qy, qz, norm = _unit_quaternion(quaternions, i)
        tangent_u, tangent_v, normal = _axes(qw, qx, qy, qz)
        u, v, n = _to_camera(camera, tangent_u), _to_camera(camera, tangent_v), _to_camera(camera, normal)
        d_m, d_u, d_v, d_n, d_su, d_sv = _screen_gradients(
            m, u, v, n, scales[i, 0], scales[i, 1], camera[12], camera[13], records[i], total
        )
        grad_scales[i, 0], grad_scales[i, 1] = d_su, d_sv
        grad_means[i, 0], grad_means[i, 1], grad_means[i, 2] = _to_world(camera, d_m)
        toward = _facing(n, m)[1]
        wx, wy, wz = _to_world(camera, d_n)
        wx += toward * total[SUM_NORMAL]
        wy += toward * total[SUM_NORMAL + 1]
        wz += toward * total[SUM_NORMAL + 2]
        ax, ay, az = _to_world(camera, d_u)
        bx, by, bz = _to_world(camera, d_v)
        # From the columns of the rotation to the unit quaternion, and to the quaternion before it was normalised.
        dw = TWO * (qz * (ay - bx) + qy * (wx - az) + qx * (bz - wy))
        dx = TWO * (qy * (ay + bx) + qz * (az + wx) + qw * (bz - wy) - TWO * qx * (by + wz))
        dy = TWO * (qx * (ay + bx) + qz * (bz + wy) + qw * (wx - az) - TWO * qy * (ax + wz))
        dz = TWO * (qx * (az + wx) + qy * (bz + wy) + qw * (ay - bx) - TWO * qz * (ax + by))
        radial = dw * qw + dx * qx + dy * qy + dz * qz
        grad_quaternions[i, 0], grad_quaternions[i, 1] = (dw - radial * qw) * norm, (dx - radial * qx) * norm
        grad_quaternions[i, 2], grad_quaternions[i, 3] = (dy - radial * qy) * norm, (dz - radial * qz) * norm
