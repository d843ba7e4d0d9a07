"""Kernels of `place_surfels` (Eq. 4) for constant triangle frames."""

from __future__ import annotations

import math

import numpy as np

from sage_ns.geometry._numba_rotations import matrix_quaternion
from sage_ns.system.compiled import njit

ONE = np.float32(1.0)
TINY = np.float32(1e-12)


@njit(nogil=True, cache=True, error_model="numpy")
def frame_quaternions(start, stop, rotation, result):
    """Write the quaternions of the frames of triangles start..stop."""
    for i in range(start, stop):
        result[i, 0], result[i, 1], result[i, 2], result[i, 3] = matrix_quaternion(rotation[i])


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def place(
    start,
    stop,
    local_means,
    local_quaternions,
    log_scales,
    opacity_logits,
    triangle,
    origin,
    rotation,
    frame_quaternion,
    scale,
    means,
    quaternions,
    scales,
    opacities,
):
    """Write the world values of surfels start..stop."""
    for i in range(np.uint64(start), np.uint64(stop)):
        t = np.uint64(triangle[i])
        k = scale[t]
        x, y, z = k * local_means[i, 0], k * local_means[i, 1], k * local_means[i, 2]
        for axis in range(3):
            turned = rotation[t, axis, 0] * x + rotation[t, axis, 1] * y + rotation[t, axis, 2] * z
            means[i, axis] = turned + origin[t, axis]
        w, x, y, z = local_quaternions[i, 0], local_quaternions[i, 1], local_quaternions[i, 2], local_quaternions[i, 3]
        share = ONE / max(math.sqrt(w * w + x * x + y * y + z * z), TINY)
        w, x, y, z = w * share, x * share, y * share, z * share
        fw, fx, fy, fz = (
            frame_quaternion[t, 0], frame_quaternion[t, 1], frame_quaternion[t, 2], frame_quaternion[t, 3],
        )  # fmt: skip
        quaternions[i, 0] = fw * w - fx * x - fy * y - fz * z
        quaternions[i, 1] = fw * x + fx * w + fy * z - fz * y
        quaternions[i, 2] = fw * y - fx * z + fy * w + fz * x
        quaternions[i, 3] = fw * z + fx * y - fy * x + fz * w
        for axis in range(log_scales.shape[1]):
            scales[i, axis] = k * math.exp(log_scales[i, axis])
        opacities[i] = ONE / (ONE + math.exp(-opacity_logits[i]))


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def place_backward(
    start,
    stop,
    local_quaternions,
    triangle,
    rotation,
    frame_quaternion,
    scale,
    scales,
    opacities,
    grad_means,
    grad_quaternions,
    grad_scales,
    grad_opacities,
    to_means,
    to_quaternions,
    to_log_scales,
    to_logits,
):
    """Write the gradients of the local values of surfels start..stop."""
    for i in range(np.uint64(start), np.uint64(stop)):
        t = np.uint64(triangle[i])
        k = scale[t]
        x, y, z = k * grad_means[i, 0], k * grad_means[i, 1], k * grad_means[i, 2]
        for axis in range(3):
            to_means[i, axis] = rotation[t, 0, axis] * x + rotation[t, 1, axis] * y + rotation[t, 2, axis] * z
        # Multiplying by a unit quaternion from the left is an orthogonal map: the gradient uses its transpose.
        gw, gx, gy, gz = grad_quaternions[i, 0], grad_quaternions[i, 1], grad_quaternions[i, 2], grad_quaternions[i, 3]
        fw, fx, fy, fz = (
            frame_quaternion[t, 0], frame_quaternion[t, 1], frame_quaternion[t, 2], frame_quaternion[t, 3],
        )  # fmt: skip
        dw, dx = fw * gw + fx * gx + fy * gy + fz * gz, fw * gx - fx * gw - fy * gz + fz * gy
        dy, dz = fw * gy + fx * gz - fy * gw - fz * gx, fw * gz - fx * gy + fy * gx - fz * gw
        w, x, y, z = local_quaternions[i, 0], local_quaternions[i, 1], local_quaternions[i, 2], local_quaternions[i, 3]
        share = ONE / max(math.sqrt(w * w + x * x + y * y + z * z), TINY)
        w, x, y, z = w * share, x * share, y * share, z * share
        radial = dw * w + dx * x + dy * y + dz * z
        to_quaternions[i, 0], to_quaternions[i, 1] = (dw - radial * w) * share, (dx - radial * x) * share
        to_quaternions[i, 2], to_quaternions[i, 3] = (dy - radial * y) * share, (dz - radial * z) * share
        for axis in range(scales.shape[1]):
            to_log_scales[i, axis] = grad_scales[i, axis] * scales[i, axis]
        to_logits[i] = grad_opacities[i] * opacities[i] * (ONE - opacities[i])
