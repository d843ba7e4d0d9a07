"""Kernels for the normals of a depth map: `normal_from_depth` and its gradient. `camera` as in `camera_floats`."""

from __future__ import annotations

import math

import numpy as np

from sage_ns.system.compiled import njit

ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def depth_to_normal(start, stop, depth, camera, normal):
    """Fill rows start..stop of `normal` [h, w, 3]; the border must be zero already."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = camera[:9]
    fx, fy, cx, cy = camera[12:16]
    width = np.uint64(depth.shape[1])
    for row in range(max(start, 1), min(stop, depth.shape[0] - 1)):
        y = np.uint64(row)
        above, below = y - np.uint64(1), y + np.uint64(1)
        ray_y = (np.float32(row) + HALF - cy) / fy
        step_y = ONE / fy
        for x in range(np.uint64(1), width - np.uint64(1)):
            here, left, right = depth[y, x], depth[y, x - np.uint64(1)], depth[y, x + np.uint64(1)]
            up, down = depth[above, x], depth[below, x]
            present = (here > ZERO) & (left > ZERO) & (right > ZERO) & (up > ZERO) & (down > ZERO)
            ray_x = (np.float32(x) + HALF - cx) / fx
            step_x = ONE / fx
            ax, ay, az = ray_x * (right - left) + step_x * (right + left), ray_y * (right - left), right - left
            bx, by, bz = ray_x * (down - up), ray_y * (down - up) + step_y * (down + up), down - up
            nx, ny, nz = by * az - bz * ay, bz * ax - bx * az, bx * ay - by * ax
            squared = nx * nx + ny * ny + nz * nz
            share = ONE / math.sqrt(squared) if present & (squared > ZERO) else ZERO
            normal[y, x, 0] = share * (r00 * nx + r10 * ny + r20 * nz)
            normal[y, x, 1] = share * (r01 * nx + r11 * ny + r21 * nz)
            normal[y, x, 2] = share * (r02 * nx + r12 * ny + r22 * nz)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def normal_to_differences(start, stop, depth, camera, grad_normal, pull):
    """Compute the gradients to each pixel's two point differences, projected on the rays of their pixels.

    `pull` [4, h, w] receives the gradients of the pixel's normal to the depths at its right, left, below and above.
    """
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = camera[:9]
    fx, fy, cx, cy = camera[12:16]
    height, width = np.uint64(depth.shape[0]), np.uint64(depth.shape[1])
    for y in range(np.uint64(start), np.uint64(stop)):
        if y == np.uint64(0) or y + np.uint64(1) == height:
            for x in range(width):
                pull[0, y, x] = pull[1, y, x] = pull[2, y, x] = pull[3, y, x] = ZERO
            continue
        above, below = y - np.uint64(1), y + np.uint64(1)
        ray_y = (np.float32(y) + HALF - cy) / fy
        step_y = ONE / fy
        for edge in (np.uint64(0), width - np.uint64(1)):
            pull[0, y, edge] = pull[1, y, edge] = pull[2, y, edge] = pull[3, y, edge] = ZERO
        for x in range(np.uint64(1), width - np.uint64(1)):
            here, left, right = depth[y, x], depth[y, x - np.uint64(1)], depth[y, x + np.uint64(1)]
            up, down = depth[above, x], depth[below, x]
            present = (here > ZERO) & (left > ZERO) & (right > ZERO) & (up > ZERO) & (down > ZERO)
            ray_x = (np.float32(x) + HALF - cx) / fx
            step_x = ONE / fx
            ax, ay, az = ray_x * (right - left) + step_x * (right + left), ray_y * (right - left), right - left
            bx, by, bz = ray_x * (down - up), ray_y * (down - up) + step_y * (down + up), down - up
            nx, ny, nz = by * az - bz * ay, bz * ax - bx * az, bx * ay - by * ax
            squared = nx * nx + ny * ny + nz * nz
            share = ONE / math.sqrt(squared) if present & (squared > ZERO) else ZERO
            gx, gy, gz = grad_normal[y, x, 0], grad_normal[y, x, 1], grad_normal[y, x, 2]
            cam_x, cam_y = r00 * gx + r01 * gy + r02 * gz, r10 * gx + r11 * gy + r12 * gz
            cam_z = r20 * gx + r21 * gy + r22 * gz
            nx, ny, nz = nx * share, ny * share, nz * share
            radial = nx * cam_x + ny * cam_y + nz * cam_z
            vx, vy, vz = share * (cam_x - radial * nx), share * (cam_y - radial * ny), share * (cam_z - radial * nz)
            # n = b x a: the gradient to a is v x b, to b it is a x v.
            to_ax, to_ay, to_az = vy * bz - vz * by, vz * bx - vx * bz, vx * by - vy * bx
            to_bx, to_by, to_bz = ay * vz - az * vy, az * vx - ax * vz, ax * vy - ay * vx
            along_a, along_b = ray_x * to_ax + ray_y * to_ay + to_az, ray_x * to_bx + ray_y * to_by + to_bz
            pull[0, y, x], pull[1, y, x] = along_a + step_x * to_ax, step_x * to_ax - along_a
            pull[2, y, x], pull[3, y, x] = along_b + step_y * to_by, step_y * to_by - along_b


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def differences_to_depth(start, stop, pull, grad_depth):
    """Sum, for every pixel of rows start..stop, the gradients to its depth from its four neighbours' normals."""
    height, width = np.uint64(grad_depth.shape[0]), np.uint64(grad_depth.shape[1])
    one = np.uint64(1)
    for y in range(np.uint64(start), np.uint64(stop)):
        for x in range(width):
            grad_depth[y, x] = ZERO
        for x in range(one, width):
            grad_depth[y, x] += pull[0, y, x - one]
        for x in range(width - one):
            grad_depth[y, x] += pull[1, y, x + one]
        if y > np.uint64(0):
            for x in range(width):
                grad_depth[y, x] += pull[2, y - one, x]
        if y + one < height:
            for x in range(width):
                grad_depth[y, x] += pull[3, y + one, x]
