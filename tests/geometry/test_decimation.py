"""Fewer vertices: a subset, on the same surface, with borders, seams and marked vertices in place."""

from __future__ import annotations

import numpy as np

from sage_ns.geometry.decimation import decimated


def sheet(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A square of side x side vertices in the plane z = 0."""
    y, x = np.mgrid[:side, :side]
    points = np.stack([x.ravel(), y.ravel(), np.zeros(side * side)], axis=1).astype(float)
    quads = [(r * side + c, r * side + c + 1, (r + 1) * side + c + 1, (r + 1) * side + c)
             for r in range(side - 1) for c in range(side - 1)]  # fmt: skip
    return points, np.array([three for a, b, c, d in quads for three in ((a, b, c), (a, c, d))])


def area(points: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    return float(np.cross(b - a, c - a)[:, 2].sum() / 2)


NONE = np.zeros((0, 2), dtype=np.int64)


def test_a_flat_square_keeps_its_corners_and_its_area() -> None:
    points, triangles = sheet(9)
    rows, fewer = decimated(points[None], triangles, 8, np.zeros(81, dtype=bool), NONE)
    assert len(rows) <= 8
    assert {0, 8, 72, 80} <= set(rows.tolist())
    assert area(points[rows], fewer) == 64.0


def test_marked_vertices_and_seams_stay() -> None:
    points, triangles = sheet(9)
    kept = np.zeros(81, dtype=bool)
    kept[40] = True
    seam = np.array([[r * 9 + 3, (r + 1) * 9 + 3] for r in range(8)])
    rows, fewer = decimated(points[None], triangles, 12, kept, seam)
    assert 40 in rows
    # No triangle crosses the line x = 3.
    x = points[rows][fewer][..., 0]
    assert not ((x.min(axis=1) < 3) & (x.max(axis=1) > 3)).any()
    assert area(points[rows], fewer) == 64.0


def test_what_another_shape_folds_is_not_flat() -> None:
    points, triangles = sheet(9)
    folded = points.copy()
    folded[:, 2] = np.maximum(points[:, 0] - 4, 0.0)
    rows, _ = decimated(np.stack([points, folded]), triangles, 12, np.zeros(81, dtype=bool), NONE)
    assert {4, 76} <= set(rows.tolist())  # the ends of the fold
