"""Kernels per surfel: world to screen record and its gradient.

A record holds what a pixel needs of a surfel, as 20 floats. With d = pixel - center, the ray through the pixel meets
the surfel's plane at (u, v) = (U . d, V . d) / (1 + g . d) standard deviations; U, V, g are constants of the surfel:

    g = z (n_x / fx, n_y / fy) / (n . m)                 slope of relative inverse depth, cf. ProjectedSurfels
    U = (z (t_x / fx, t_y / fy) - (t . m) g) / s         and V alike, with t = tangent, s = its scale, m = center

All constants here are literal copies of `sage_ns.raster.constants`: numba's cache would not see them change.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

CENTER_X, CENTER_Y, U_X, U_Y, V_X, V_Y, G_X, G_Y, DISC_X, DISC_Y = range(10)
OPACITY, RED, GREEN, BLUE, NORMAL_X, NORMAL_Y, NORMAL_Z, INVERSE_DEPTH, INVERSE_SLOPE, DEPTH = range(10, 20)
RECORD = 20

# Gradient sums of one surfel in one tile: of the numerators U . d, V . d and the denominator, with their moments ...
SUM_U, SUM_V, SUM_W, SUM_UX, SUM_UY, SUM_VX, SUM_VY, SUM_WX, SUM_WY, SUM_DISC_X, SUM_DISC_Y = range(11)
# ... and of what is blended.
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


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def project(
    start, stop, means, quaternions, scales, opacities, colors, camera, width, height, records, boxes, keys, num_tiles
):
    """Fill records, pixel boxes (x0, x1, y0, y1), sort keys and tile counts of surfels start..stop.

    `camera` is 16 floats: rotation row by row, translation, fx, fy, cx, cy. Invisible surfels get 0 tiles.
    """
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = camera[:9]
    tx, ty, tz, fx, fy, cx, cy = camera[9:16]
    for i in range(start, stop):
        num_tiles[i] = 0
        px, py, pz = means[i, 0], means[i, 1], means[i, 2]
        mx = r00 * px + r01 * py + r02 * pz + tx
        my = r10 * px + r11 * py + r12 * pz + ty
        mz = r20 * px + r21 * py + r22 * pz + tz
        opacity = opacities[i]
        # Written so that NaN anywhere means invisible.
        if not (mz > NEAR_PLANE and opacity * ALPHA_MAX_INVERSE >= ONE):
            continue
        su, sv = scales[i, 0], scales[i, 1]
        qw, qx, qy, qz = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
        norm = ONE / max(math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz), np.float32(1e-12))
        qw, qx, qy, qz = qw * norm, qx * norm, qy * norm, qz * norm
        ax, ay, az = ONE - TWO * (qy * qy + qz * qz), TWO * (qx * qy + qw * qz), TWO * (qx * qz - qw * qy)
        bx, by, bz = TWO * (qx * qy - qw * qz), ONE - TWO * (qx * qx + qz * qz), TWO * (qy * qz + qw * qx)
        wx, wy, wz = TWO * (qx * qz + qw * qy), TWO * (qy * qz - qw * qx), ONE - TWO * (qx * qx + qy * qy)
        ux, uy = r00 * ax + r01 * ay + r02 * az, r10 * ax + r11 * ay + r12 * az
        uz = r20 * ax + r21 * ay + r22 * az
        vx, vy = r00 * bx + r01 * by + r02 * bz, r10 * bx + r11 * by + r12 * bz
        vz = r20 * bx + r21 * by + r22 * bz
        nx, ny = r00 * wx + r01 * wy + r02 * wz, r10 * wx + r11 * wy + r12 * wz
        nz = r20 * wx + r21 * wy + r22 * wz

        su2, sv2 = su * su, sv * sv
        sxz, syz = su2 * ux * uz + sv2 * vx * vz, su2 * uy * uz + sv2 * vy * vz
        szz = su2 * uz * uz + sv2 * vz * vz
        if not mz * mz > szz:
            continue
        inverse = ONE / mz
        x, y = mx * inverse, my * inverse
        shrink = ONE / (mz * mz - szz)
        center_x, center_y = fx * x + cx, fy * y + cy
        disc_x = center_x - fx * (sxz - x * szz) * shrink
        disc_y = center_y - fy * (syz - y * szz) * shrink

        # Box around the region where opacity >= ALPHA_MIN: projected ellipse of squared radius 2 ln(255 o), and disc.
        cut = TWO * math.log(opacity * ALPHA_MAX_INVERSE)
        reach = math.sqrt(HALF * cut)
        left, right, top, bottom = ZERO, np.float32(width), ZERO, np.float32(height)
        apart = mz * mz - cut * szz
        if apart > np.float32(1e-3) * mz * mz:
            share = cut / apart
            off_x, off_y = -fx * share * (sxz - x * szz), -fy * share * (syz - y * szz)
            sxx, syy = su2 * ux * ux + sv2 * vx * vx, su2 * uy * uy + sv2 * vy * vy
            half_x = math.sqrt(max(off_x * off_x + fx * fx * share * (sxx - TWO * x * sxz + x * x * szz), ZERO))
            half_y = math.sqrt(max(off_y * off_y + fy * fy * share * (syy - TWO * y * syz + y * y * szz), ZERO))
            left = max(left, min(center_x + off_x - half_x, disc_x - reach) - MARGIN)
            right = min(right, max(center_x + off_x + half_x, disc_x + reach) + MARGIN)
            top = max(top, min(center_y + off_y - half_y, disc_y - reach) - MARGIN)
            bottom = min(bottom, max(center_y + off_y + half_y, disc_y + reach) + MARGIN)
        if not (right > left and bottom > top):
            continue
        x0, x1 = np.int32(math.ceil(left - HALF)), np.int32(math.floor(right - HALF)) + 1
        y0, y1 = np.int32(math.ceil(top - HALF)), np.int32(math.floor(bottom - HALF)) + 1
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if x1 <= x0 or y1 <= y0:
            continue
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x0, x1, y0, y1
        num_tiles[i] = (((x1 - 1) >> 3) - (x0 >> 3) + 1) * (((y1 - 1) >> 3) - (y0 >> 3) + 1)
        keys[i] = mz

        dot = nx * mx + ny * my + nz * mz
        toward = ONE if dot < ZERO else -ONE
        length = math.sqrt(mx * mx + my * my + mz * mz)
        facing = max(abs(dot), COSINE_EDGE_ON * length) * -toward
        gx, gy = mz * nx / (fx * facing), mz * ny / (fy * facing)
        hu, hv = ux * mx + uy * my + uz * mz, vx * mx + vy * my + vz * mz
        record = records[i]
        record[CENTER_X], record[CENTER_Y] = center_x, center_y
        record[U_X], record[U_Y] = (mz * ux / fx - hu * gx) / su, (mz * uy / fy - hu * gy) / su
        record[V_X], record[V_Y] = (mz * vx / fx - hv * gx) / sv, (mz * vy / fy - hv * gy) / sv
        record[G_X], record[G_Y] = gx, gy
        record[DISC_X], record[DISC_Y] = disc_x, disc_y
        record[OPACITY] = opacity
        record[RED], record[GREEN], record[BLUE] = colors[i, 0], colors[i, 1], colors[i, 2]
        record[NORMAL_X], record[NORMAL_Y], record[NORMAL_Z] = toward * wx, toward * wy, toward * wz
        record[INVERSE_DEPTH] = inverse
        grazing = facing / (COSINE_GRAZING * length)
        record[INVERSE_SLOPE] = inverse * min(ONE, grazing * grazing)
        record[DEPTH] = mz


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
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
    """Gradients of surfels start..stop from the sums of their tiles, added in the fixed order of the tiles."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = camera[:9]
    tx, ty, tz, fx, fy = camera[9:14]
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
        grad_colors[i, 0], grad_colors[i, 1] = total[SUM_RED], total[SUM_RED + 1]
        grad_colors[i, 2] = total[SUM_RED + 2]

        px, py, pz = means[i, 0], means[i, 1], means[i, 2]
        mx = r00 * px + r01 * py + r02 * pz + tx
        my = r10 * px + r11 * py + r12 * pz + ty
        mz = r20 * px + r21 * py + r22 * pz + tz
        su, sv = scales[i, 0], scales[i, 1]
        qw, qx, qy, qz = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
        norm = ONE / max(math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz), np.float32(1e-12))
        qw, qx, qy, qz = qw * norm, qx * norm, qy * norm, qz * norm
        ax, ay, az = ONE - TWO * (qy * qy + qz * qz), TWO * (qx * qy + qw * qz), TWO * (qx * qz - qw * qy)
        bx, by, bz = TWO * (qx * qy - qw * qz), ONE - TWO * (qx * qx + qz * qz), TWO * (qy * qz + qw * qx)
        wx, wy, wz = TWO * (qx * qz + qw * qy), TWO * (qy * qz - qw * qx), ONE - TWO * (qx * qx + qy * qy)
        ux, uy = r00 * ax + r01 * ay + r02 * az, r10 * ax + r11 * ay + r12 * az
        uz = r20 * ax + r21 * ay + r22 * az
        vx, vy = r00 * bx + r01 * by + r02 * bz, r10 * bx + r11 * by + r12 * bz
        vz = r20 * bx + r21 * by + r22 * bz
        nx, ny = r00 * wx + r01 * wy + r02 * wz, r10 * wx + r11 * wy + r12 * wz
        nz = r20 * wx + r21 * wy + r22 * wz
        record = records[i]
        gx, gy = record[G_X], record[G_Y]
        a_ux, a_uy, a_vx, a_vy = record[U_X], record[U_Y], record[V_X], record[V_Y]
        inverse = record[INVERSE_DEPTH]
        x, y = mx * inverse, my * inverse
        hu, hv = ux * mx + uy * my + uz * mz, vx * mx + vy * my + vz * mz
        dot = nx * mx + ny * my + nz * mz
        toward = ONE if dot < ZERO else -ONE
        length = math.sqrt(mx * mx + my * my + mz * mz)
        facing = max(abs(dot), COSINE_EDGE_ON * length) * -toward

        # Low-pass disc: disc = center + offset.
        d_disc_x, d_disc_y = -total[SUM_DISC_X], -total[SUM_DISC_Y]
        su2, sv2 = su * su, sv * sv
        sxz, syz = su2 * ux * uz + sv2 * vx * vz, su2 * uy * uz + sv2 * vy * vz
        szz = su2 * uz * uz + sv2 * vz * vz
        shrink = ONE / (mz * mz - szz)
        d_sxz, d_syz = -d_disc_x * fx * shrink, -d_disc_y * fy * shrink
        d_gap = -(d_sxz * (sxz - x * szz) + d_syz * (syz - y * szz)) * shrink
        d_szz = -d_sxz * x - d_syz * y - d_gap
        d_mz = TWO * mz * d_gap
        d_center_x = d_disc_x - (a_ux * total[SUM_U] + a_vx * total[SUM_V] + gx * total[SUM_W])
        d_center_y = d_disc_y - (a_uy * total[SUM_U] + a_vy * total[SUM_V] + gy * total[SUM_W])
        d_x, d_y = fx * d_center_x - d_sxz * szz, fy * d_center_y - d_syz * szz

        # Depth: centre, inverse at the centre, and its slope over the pixels.
        d_slope = total[SUM_INVERSE_SLOPE]
        grazing = facing / (COSINE_GRAZING * length)
        d_inverse = total[SUM_INVERSE_DEPTH] + d_slope * min(ONE, grazing * grazing)
        d_mz += total[SUM_DEPTH] - d_inverse * inverse * inverse - (d_x * x + d_y * y) * inverse
        d_mx, d_my = d_x * inverse, d_y * inverse
        d_facing = ZERO
        if abs(grazing) < ONE:
            d_grazing = TWO * grazing * d_slope * inverse
            d_facing = d_grazing / (COSINE_GRAZING * length)
            pull = -d_grazing * grazing / (length * length)
            d_mx += pull * mx
            d_my += pull * my
            d_mz += pull * mz

        # Where the ray meets the plane.
        c_ux, c_uy = total[SUM_UX] / su, total[SUM_UY] / su
        c_vx, c_vy = total[SUM_VX] / sv, total[SUM_VY] / sv
        d_gx, d_gy = total[SUM_WX] - c_ux * hu - c_vx * hv, total[SUM_WY] - c_uy * hu - c_vy * hv
        d_hu, d_hv = -(c_ux * gx + c_uy * gy), -(c_vx * gx + c_vy * gy)
        along_g = d_gx * gx + d_gy * gy
        d_mz += (c_ux * ux + c_vx * vx) / fx + (c_uy * uy + c_vy * vy) / fy + along_g * inverse
        d_facing -= along_g / facing
        if abs(dot) < COSINE_EDGE_ON * length:
            d_facing = ZERO
        share_u, share_v = d_sxz * ux + d_syz * uy + d_szz * uz, d_sxz * vx + d_syz * vy + d_szz * vz
        grad_scales[i, 0] = TWO * su * uz * share_u - c_ux * a_ux - c_uy * a_uy
        grad_scales[i, 1] = TWO * sv * vz * share_v - c_vx * a_vx - c_vy * a_vy
        d_ux = c_ux * mz / fx + d_hu * mx + su2 * d_sxz * uz
        d_uy = c_uy * mz / fy + d_hu * my + su2 * d_syz * uz
        d_uz = d_hu * mz + su2 * (share_u + d_szz * uz)
        d_vx = c_vx * mz / fx + d_hv * mx + sv2 * d_sxz * vz
        d_vy = c_vy * mz / fy + d_hv * my + sv2 * d_syz * vz
        d_vz = d_hv * mz + sv2 * (share_v + d_szz * vz)
        d_nx = d_gx * mz / (fx * facing) + d_facing * mx
        d_ny = d_gy * mz / (fy * facing) + d_facing * my
        d_nz = d_facing * mz
        d_mx += d_hu * ux + d_hv * vx + d_facing * nx
        d_my += d_hu * uy + d_hv * vy + d_facing * ny
        d_mz += d_hu * uz + d_hv * vz + d_facing * nz

        # Back to the world, and from the columns of the rotation to the quaternion.
        grad_means[i, 0] = r00 * d_mx + r10 * d_my + r20 * d_mz
        grad_means[i, 1] = r01 * d_mx + r11 * d_my + r21 * d_mz
        grad_means[i, 2] = r02 * d_mx + r12 * d_my + r22 * d_mz
        d_ax, d_ay = r00 * d_ux + r10 * d_uy + r20 * d_uz, r01 * d_ux + r11 * d_uy + r21 * d_uz
        d_az = r02 * d_ux + r12 * d_uy + r22 * d_uz
        d_bx, d_by = r00 * d_vx + r10 * d_vy + r20 * d_vz, r01 * d_vx + r11 * d_vy + r21 * d_vz
        d_bz = r02 * d_vx + r12 * d_vy + r22 * d_vz
        d_wx = r00 * d_nx + r10 * d_ny + r20 * d_nz + toward * total[SUM_NORMAL]
        d_wy = r01 * d_nx + r11 * d_ny + r21 * d_nz + toward * total[SUM_NORMAL + 1]
        d_wz = r02 * d_nx + r12 * d_ny + r22 * d_nz + toward * total[SUM_NORMAL + 2]
        d_qw = TWO * (qz * (d_ay - d_bx) + qy * (d_wx - d_az) + qx * (d_bz - d_wy))
        d_qx = TWO * (qy * (d_ay + d_bx) + qz * (d_az + d_wx) + qw * (d_bz - d_wy) - TWO * qx * (d_by + d_wz))
        d_qy = TWO * (qx * (d_ay + d_bx) + qz * (d_bz + d_wy) + qw * (d_wx - d_az) - TWO * qy * (d_ax + d_wz))
        d_qz = TWO * (qx * (d_az + d_wx) + qy * (d_bz + d_wy) + qw * (d_ay - d_bx) - TWO * qz * (d_ax + d_by))
        radial = d_qw * qw + d_qx * qx + d_qy * qy + d_qz * qz
        grad_quaternions[i, 0], grad_quaternions[i, 1] = (d_qw - radial * qw) * norm, (d_qx - radial * qx) * norm
        grad_quaternions[i, 2], grad_quaternions[i, 3] = (d_qy - radial * qy) * norm, (d_qz - radial * qz) * norm
