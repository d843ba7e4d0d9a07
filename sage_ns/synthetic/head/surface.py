"""The built-in head's shape: a signed distance built from smoothly joined ellipsoids and tubes.

Everything here is in **millimetres**, the usual unit of anatomy; `builtin_head` converts to metres. Axes are FLAME's: y
up, +z is where the subject looks, the subject's left is +x. The shape is symmetric: primitives are defined on the left
(x >= 0) and evaluated at |x|. Smooth joins are the polynomial smooth minimum (Quilez 2013, "smooth minimum").
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "num_points 3"]
Distances = Float[np.ndarray, "num_points"]

EYE_CENTER = np.array([31.0, 31.0, 38.5])
EYE_RADIUS = 13.6
LID_RADIUS = 15.3
MOUTH_HALF_WIDTH = 24.5
JAW_JOINT = np.array([0.0, 2.0, -14.0])
NECK_JOINT = np.array([0.0, -78.0, -45.0])
ROOT_JOINT = np.array([0.0, -125.0, -50.0])

# (centre, radii, smooth join radius): the large forms, joined in this order.
_BULK_ELLIPSOIDS = (
    ((0, 53, -34), (74, 82, 89), 0.0),  # cranium
    ((0, 73, 12), (56, 36, 50), 24.0),  # forehead
    ((0, 18, 6), (59, 68, 54), 20.0),  # middle face
    ((40, 8, 31), (24, 17, 21), 18.0),  # cheekbone
    ((26.5, -18, 30), (24, 31, 28), 20.0),  # cheek
    ((0, -37, 40), (29, 26, 28), 14.0),  # mouth barrel over the teeth
    ((0, -45, 8), (38, 29, 48), 20.0),  # floor of the mouth
    ((31, -10, 2), (16, 36, 30), 22.0),  # masseter
    ((0, -67, 48), (18, 14.5, 18), 16.0),  # chin
    ((0, -168, -58), (104, 44, 58), 40.0),  # start of the shoulders
)
# (start, start radius, end, end radius, smooth join radius)
_BULK_TUBES = (
    ((48, -10, -14), 9.0, (34, -49, 9), 9.0, 24.0),  # jaw angle
    ((34, -49, 9), 9.0, (9, -70, 42), 11.0, 20.0),  # jaw line
    ((0, 0, -42), 50.0, (0, -150, -54), 49.0, 26.0),  # neck
    ((46, -20, -42), 10.0, (13, -140, -14), 8.0, 16.0),  # sternocleidomastoid
    ((0, -90, -4), 6.0, (0, -102, -6), 6.0, 14.0),  # larynx
    ((7, 49.5, 55.0), 7.5, (24, 53, 51.5), 7.5, 15.0),  # brow ridge, inner
    ((24, 53, 51.5), 7.5, (47, 45, 36), 7.5, 16.0),  # brow ridge, outer
)
_SOCKET = ((31, 28.5, 63), (22, 14.0, 12.5), 12.0)
_NOSE_TUBES = (
    ((0, 40, 57.0), 9.0, (0, 20, 68), 7.4, 12.0),  # root
    ((0, 20, 68.5), 6.4, (0, 4, 79.0), 7.2, 8.0),  # bridge
    ((0, 22, 57), 9.0, (0, -3, 66), 12.0, 11.0),  # side walls
    ((0, -2.5, 80.0), 9.0, (3.5, -3.0, 79.5), 8.4, 6.0),  # tip
    ((0, -7, 79), 4.2, (0, -16, 70), 5.0, 5.0),  # columella
    ((10.5, -8.0, 72.5), 6.2, (13.0, -8.0, 66), 6.8, 5.5),  # wing
)
_NOSTRIL = ((6.4, -16.6, 74.5), (3.2, 3.4, 4.8), 3.0)
_LIP_TUBES = (
    ((0, -34.6, 68.3), 4.9, (6, -34.0, 68.2), 5.1, 6.0),
    ((6, -34.0, 68.2), 5.1, (15, -36.4, 64.8), 4.4, 6.0),
    ((15, -36.4, 64.8), 4.4, (27, -39.4, 55.5), 2.6, 6.0),
)
_LOWER_LIP_TUBES = (
    ((0, -44.4, 66.4), 6.0, (9, -43.8, 65.6), 5.8, 6.0),
    ((9, -43.8, 65.6), 5.8, (17, -42.5, 62.2), 4.7, 6.0),
    ((17, -42.5, 62.2), 4.7, (27, -39.7, 55.5), 2.6, 6.0),
)


def smooth_min(a: Distances, b: Distances, radius: float) -> Distances:
    """Join two distances with a fillet of about `radius` mm."""
    if radius <= 0.0:
        return np.minimum(a, b)
    h = np.maximum(radius - np.abs(a - b), 0.0) / radius
    return np.minimum(a, b) - h * h * radius * 0.25


def _ellipsoid(points: Points, center: tuple, radii: tuple) -> Distances:
    """Approximate (first-order exact at the surface) distance to an axis-aligned ellipsoid."""
    offset = points - np.asarray(center, dtype=np.float64)
    inverse = 1.0 / np.asarray(radii, dtype=np.float64)
    k0 = np.linalg.norm(offset * inverse, axis=-1)
    k1 = np.linalg.norm(offset * inverse * inverse, axis=-1)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)


def _tube(points: Points, start: tuple, start_radius: float, end: tuple, end_radius: float) -> Distances:
    """Compute the distance to a straight tube whose radius runs linearly between its two round ends."""
    a = np.asarray(start, dtype=np.float64)
    axis = np.asarray(end, dtype=np.float64) - a
    along = np.clip((points - a) @ axis / float(axis @ axis), 0.0, 1.0)
    nearest = a + along[:, None] * axis
    return np.linalg.norm(points - nearest, axis=-1) - (start_radius + along * (end_radius - start_radius))


def bulk_distance(points: Points) -> Distances:
    """Signed distance (mm) to the head without nose, lips, lids and ears: smooth enough to lay the mesh out on."""
    p = points * [1.0, 1.0, 1.0]
    p[:, 0] = np.abs(p[:, 0])
    distance = np.full(len(p), 1e3)
    for center, radii, radius in _BULK_ELLIPSOIDS:
        distance = smooth_min(distance, _ellipsoid(p, center, radii), radius)
    for start, r0, end, r1, radius in _BULK_TUBES:
        distance = smooth_min(distance, _tube(p, start, r0, end, r1), radius)
    return distance


def head_distance(points: Points) -> Distances:
    """Signed distance (mm, negative inside) to the mean head's skin, without ears and with closed lips."""
    distance = bulk_distance(points)
    p = points * [1.0, 1.0, 1.0]
    p[:, 0] = np.abs(p[:, 0])
    front = np.flatnonzero((p[:, 2] > 20.0) & (p[:, 1] > -70.0) & (p[:, 1] < 75.0))
    q, d = p[front], distance[front]
    d = -smooth_min(-d, _ellipsoid(q, _SOCKET[0], _SOCKET[1]), _SOCKET[2])
    d = smooth_min(d, np.linalg.norm(q - EYE_CENTER, axis=-1) - LID_RADIUS, 4.5)
    for start, r0, end, r1, radius in _NOSE_TUBES:
        d = smooth_min(d, _tube(q, start, r0, end, r1), radius)
    d = -smooth_min(-d, _ellipsoid(q, _NOSTRIL[0], _NOSTRIL[1]), _NOSTRIL[2])
    for tubes in (_LIP_TUBES, _LOWER_LIP_TUBES):
        lip = np.full(len(q), 1e3)
        for start, r0, end, r1, radius in tubes:
            lip = smooth_min(lip, _tube(q, start, r0, end, r1), radius)
        d = smooth_min(d, lip, 5.0)
    distance[front] = d
    return distance


def head_normal(points: Points) -> Points:
    """Outward unit normals of the skin's distance field (central differences over 0.6 mm)."""
    gradient = np.empty_like(points)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 0.3
        gradient[:, axis] = head_distance(points + step) - head_distance(points - step)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-12)


def ray_to_surface(
    origins: Points, directions: Points, start: Distances | float = 0.0, bulk: bool = False, steps: int = 24
) -> Distances:
    """Find the distance (mm) from `origins`, inside the head, to the skin along unit `directions`."""
    distance_of = bulk_distance if bulk else head_distance
    travelled = np.zeros(len(origins)) + start
    for _ in range(steps):
        travelled = travelled - 0.85 * distance_of(origins + travelled[:, None] * directions)
    return travelled


def front_depth(xy: Float[np.ndarray, "num_points 2"], bulk: bool = False) -> Distances:
    """Find z (mm) of the skin at frontal positions `xy`: the point nearest to a viewer in front of the head."""
    distance_of = bulk_distance if bulk else head_distance
    points = np.concatenate([xy, np.full((len(xy), 1), 110.0)], axis=-1)
    for _ in range(36):
        points[:, 2] -= 0.85 * distance_of(points)
    return points[:, 2]


def mouth_line(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return y (mm) where the closed lips meet, at frontal x (mm): a shallow M between the corners."""
    u = np.minimum(np.abs(x) / MOUTH_HALF_WIDTH, 1.6)
    return -38.6 - 0.9 * np.exp(-((u / 0.16) ** 2)) - 0.4 * u**2 + 0.6 * np.exp(-(((u - 0.45) / 0.25) ** 2))


def eyelid_contour(angle: Float[np.ndarray, "num_ring"], outset: float) -> Float[np.ndarray, "num_ring 2"]:
    """Return frontal x, y (mm) of the left eye's lid edge, or of a ring `outset` mm outside it, at `angle` (rad)."""
    c, s = np.cos(angle), np.sin(angle)
    roundness = np.clip(outset / 9.0, 0.0, 1.0)
    lens = np.sign(s) * np.abs(s) ** (1.25 - 0.25 * roundness)
    toward_nose = np.clip(-c, 0.0, 1.0) ** 2
    half_width = 13.8 + outset * (1.0 - 0.42 * toward_nose)
    half_height = np.where(s > 0, 5.6 + 0.95 * outset, 4.3 + 0.85 * outset)
    tilt = 1.1 * c * (1.0 - 0.5 * roundness)
    peak_shift = np.where(s > 0, -1.2, 1.2) * np.abs(s) * (1.0 - roundness)
    x = EYE_CENTER[0] + half_width * c + peak_shift
    y = EYE_CENTER[1] - 0.8 + tilt + half_height * lens
    return np.stack([x, y], axis=-1)
