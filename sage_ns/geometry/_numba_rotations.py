"""Rotations inside compiled kernels."""

from __future__ import annotations

import math

import numpy as np

from sage_ns.system.compiled import njit

ONE = np.float32(1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def matrix_quaternion(r):
    """Return the unit quaternion (wxyz, w >= 0) of a rotation matrix, computed from its largest component."""
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    if trace >= max(r[0, 0], r[1, 1], r[2, 2]):
        w, x, y, z = ONE + trace, r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    elif r[0, 0] >= max(r[1, 1], r[2, 2]):
        w, x = r[2, 1] - r[1, 2], ONE + r[0, 0] - r[1, 1] - r[2, 2]
        y, z = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]
    elif r[1, 1] >= r[2, 2]:
        w, x = r[0, 2] - r[2, 0], r[0, 1] + r[1, 0]
        y, z = ONE - r[0, 0] + r[1, 1] - r[2, 2], r[1, 2] + r[2, 1]
    else:
        w, x = r[1, 0] - r[0, 1], r[0, 2] + r[2, 0]
        y, z = r[1, 2] + r[2, 1], ONE - r[0, 0] - r[1, 1] + r[2, 2]
    share = ONE / math.sqrt(w * w + x * x + y * y + z * z)
    if w < 0:
        share = -share
    return w * share, x * share, y * share, z * share
