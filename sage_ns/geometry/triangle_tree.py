"""A tree of boxes around the triangles of a mesh, and the exact search in it for the closest triangle (numba)."""

from __future__ import annotations

import numpy as np
from numba import njit

_LEAF_SIZE = 4


def build_tree(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the triangles in half along the longest side of their box, again and again.

    Args:
        corners: [num_triangles, 3 corners, 3], float64, at least one triangle.

    Returns:
        order: [num_triangles] triangle indices, those of one node side by side.
        nodes: [num_nodes, 3] first and last + 1 position in `order`; the first of two children (0: a leaf).
        boxes: [num_nodes, 2, 3] lower and upper corner of the box around the node's triangles.
    """
    centers = corners.mean(axis=1)
    lower, upper = corners.min(axis=1), corners.max(axis=1)
    order = np.arange(len(corners))
    nodes = [[0, len(corners), 0]]
    boxes = []
    for node in nodes:  # grows while it is walked: children come after their parents
        first, last, _ = node
        inside = order[first:last]
        boxes.append((lower[inside].min(axis=0), upper[inside].max(axis=0)))
        if last - first <= _LEAF_SIZE:
            continue
        longest = np.argmax(np.ptp(centers[inside], axis=0))
        middle = (last - first) // 2
        order[first:last] = inside[np.argpartition(centers[inside, longest], middle)]
        node[2] = len(nodes)
        nodes += [[first, first + middle, 0], [first + middle, last, 0]]
    return order, np.array(nodes), np.array(boxes)


@njit(cache=True, error_model="numpy")
def find_closest(
    points: np.ndarray, corners: np.ndarray, order: np.ndarray, nodes: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closest triangle of every point, the squared distance, and where on the triangle (barycentric).

    Of triangles at exactly the same distance, the one with the lowest index is taken.
    """
    num_points = points.shape[0]
    triangle = np.zeros(num_points, dtype=np.int64)
    squared = np.full(num_points, np.inf)
    barycentric = np.zeros((num_points, 3))
    stack = np.empty(128, dtype=np.int64)
    here = np.empty(3)
    for i in range(num_points):
        point = points[i]
        stack[0] = 0
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if _squared_distance_to_box(point, boxes[node]) > squared[i]:
                continue
            child = nodes[node, 2]
            if child > 0:
                # the nearer child goes on top: the sooner something near is found, the more boxes are skipped
                first_is_nearer = _squared_distance_to_box(point, boxes[child]) < _squared_distance_to_box(
                    point, boxes[child + 1]
                )
                stack[depth] = child + 1 if first_is_nearer else child
                stack[depth + 1] = child if first_is_nearer else child + 1
                depth += 2
                continue
            for position in range(nodes[node, 0], nodes[node, 1]):
                candidate = order[position]
                distance = _closest_on_triangle(point, corners[candidate], here)
                if distance < squared[i] or (distance == squared[i] and candidate < triangle[i]):
                    squared[i] = distance
                    triangle[i] = candidate
                    barycentric[i] = here
    return triangle, squared, barycentric


@njit(cache=True)
def _squared_distance_to_box(point: np.ndarray, box: np.ndarray) -> float:
    total = 0.0
    for axis in range(3):
        outside = max(box[0, axis] - point[axis], point[axis] - box[1, axis], 0.0)
        total += outside * outside
    return total


@njit(cache=True, error_model="numpy")
def _closest_on_triangle(point: np.ndarray, corners: np.ndarray, barycentric: np.ndarray) -> float:
    """Squared distance to a triangle, degenerate ones included; writes the barycentric coordinates.

    Either the foot of the perpendicular lies inside, or the closest point lies on one of the three sides.
    Vectors are tuples here: arrays would be allocated anew for every triangle.
    """
    u, v, w = _difference(corners[1], corners[0]), _difference(corners[2], corners[0]), _difference(point, corners[0])
    uu, uv, vv = _dot(u, u), _dot(u, v), _dot(v, v)
    wu, wv = _dot(w, u), _dot(w, v)
    determinant = uu * vv - uv * uv
    if determinant > 1e-14 * uu * vv:
        b1 = (vv * wu - uv * wv) / determinant
        b2 = (uu * wv - uv * wu) / determinant
        if b1 >= 0 and b2 >= 0 and b1 + b2 <= 1:
            off = (w[0] - b1 * u[0] - b2 * v[0], w[1] - b1 * u[1] - b2 * v[1], w[2] - b1 * u[2] - b2 * v[2])
            barycentric[0], barycentric[1], barycentric[2] = 1 - b1 - b2, b1, b2
            return _dot(off, off)
    best = np.inf
    for side in range(3):
        along = _difference(corners[(side + 1) % 3], corners[side])
        toward = _difference(point, corners[side])
        length = _dot(along, along)
        fraction = min(max(_dot(toward, along) / length, 0.0), 1.0) if length > 0 else 0.0
        off = (
            toward[0] - fraction * along[0],
            toward[1] - fraction * along[1],
            toward[2] - fraction * along[2],
        )
        distance = _dot(off, off)
        if distance < best:
            best = distance
            barycentric[side] = 1 - fraction
            barycentric[(side + 1) % 3] = fraction
            barycentric[(side + 2) % 3] = 0.0
    return best


@njit(cache=True)
def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(cache=True)
def _dot(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
