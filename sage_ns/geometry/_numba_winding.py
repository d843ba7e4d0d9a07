"""Kernel of the generalised winding number: exact solid angles nearby, moments of a box's triangles far away.

Solid angle of a triangle: van Oosterom and Strackee 1983. Expansion of far triangles: Barill et al. 2018, "Fast
winding numbers for soups and clouds", Eq. 10 to 12, to the second order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

FAR = 2.5
"""A box's triangles count as far when their distance is this many times their radius."""
# A row of `moments`: 0:3 the centre of expansion; 3 (FAR radius)^2, the radius reaching all corners; 4:7 the sum of the
# area vectors; 7:16 the sum of area vector (outer) (centroid - centre).
NUM_MOMENTS = 16


def node_moments(corners: np.ndarray, order: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """What the far field of every node of a triangle tree needs: [num_nodes, NUM_MOMENTS]."""
    areas = 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    weights = np.linalg.norm(areas, axis=1)
    centers = corners.mean(axis=1)
    moments = np.zeros((len(nodes), NUM_MOMENTS))
    for row, (first, last, _) in zip(moments, nodes, strict=True):
        inside = order[first:last]
        total = weights[inside].sum()
        center = (weights[inside] @ centers[inside]) / total if total > 0 else centers[inside].mean(axis=0)
        row[:3] = center
        row[3] = FAR**2 * ((corners[inside] - center) ** 2).sum(axis=-1).max()  # about the corners, not the centroids
        row[4:7] = areas[inside].sum(axis=0)
        row[7:] = (areas[inside].T @ (centers[inside] - center)).ravel()
    return moments


@njit(nogil=True, cache=True, error_model="numpy")
def winding(start, stop, points, corners, order, nodes, moments, result):
    """Winding number of the triangles around points[start:stop], into `result`."""
    stack = np.empty(128, np.int64)
    for i in range(start, stop):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        total = 0.0
        stack[0] = 0
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            m = moments[node]
            x, y, z = m[0] - px, m[1] - py, m[2] - pz
            squared = x * x + y * y + z * z
            if squared > m[3]:
                total += _far_angle(x, y, z, squared, m)
            elif nodes[node, 2] > 0:
                stack[depth] = nodes[node, 2]
                stack[depth + 1] = nodes[node, 2] + 1
                depth += 2
            else:
                for position in range(nodes[node, 0], nodes[node, 1]):
                    total += _solid_angle(px, py, pz, corners[order[position]])
        result[i] = total / (4.0 * math.pi)


@njit(nogil=True, cache=True, error_model="numpy")
def _far_angle(x, y, z, squared, m):
    """Solid angle of a node's triangles, (x, y, z) from the point to their centre: dipole and its first derivative."""
    inverse = 1.0 / squared
    cubed = inverse * math.sqrt(inverse)
    trace = m[7] + m[11] + m[15]
    bent = x * (m[7] * x + m[8] * y + m[9] * z)
    bent += y * (m[10] * x + m[11] * y + m[12] * z)
    bent += z * (m[13] * x + m[14] * y + m[15] * z)
    return cubed * (m[4] * x + m[5] * y + m[6] * z + trace - 3.0 * inverse * bent)


@njit(nogil=True, cache=True, error_model="numpy")
def _solid_angle(px, py, pz, c):
    """Signed solid angle of a triangle, positive where its back is seen; 0 in its plane and for no area."""
    ax, ay, az = c[0, 0] - px, c[0, 1] - py, c[0, 2] - pz
    bx, by, bz = c[1, 0] - px, c[1, 1] - py, c[1, 2] - pz
    cx, cy, cz = c[2, 0] - px, c[2, 1] - py, c[2, 2] - pz
    la = math.sqrt(ax * ax + ay * ay + az * az)
    lb = math.sqrt(bx * bx + by * by + bz * bz)
    lc = math.sqrt(cx * cx + cy * cy + cz * cz)
    volume = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    if volume == 0.0:
        return 0.0
    ab = ax * bx + ay * by + az * bz
    bc = bx * cx + by * cy + bz * cz
    ca = cx * ax + cy * ay + cz * az
    return 2.0 * math.atan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)
