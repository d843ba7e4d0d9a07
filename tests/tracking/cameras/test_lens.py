"""Lenses: OpenCV's model against OpenCV, and straight pictures of a known pattern."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sage_ns.tracking.cameras.lens import Lens, Straightening

SIZE, FOCAL, CENTER = (161, 121), (150.0, 155.0), (80.2, 60.4)
COEFFICIENTS = (-0.2, 0.05, 0.01, -0.02, 0.01, 0.1, -0.03, 0.002)


def test_the_model_is_opencvs() -> None:
    k = COEFFICIENTS
    lens = Lens((k[0], k[1], k[4]), (k[2], k[3]), (k[5], k[6], k[7]))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    matrix = np.array([[FOCAL[0], 0, CENTER[0]], [0, FOCAL[1], CENTER[1]], [0, 0, 1]])
    world = np.concatenate([points, np.ones((20, 1))], axis=1)
    expected, _ = cv2.projectPoints(world, np.zeros(3), np.zeros(3), matrix, np.array(k))
    np.testing.assert_allclose(lens.distorted(points) * FOCAL + CENTER, expected[:, 0], atol=1e-9)
    assert not lens.is_none
    assert Lens((0.0, 0.0), (0.0, 0.0), (0.0,)).is_none


def test_the_model_folds_where_its_slope_is_zero() -> None:
    assert Lens((-1.0,)).largest_radius() == pytest.approx(np.sqrt(1 / 3), abs=3e-3)
    assert Lens((0.1,)).largest_radius() == 4.0


@pytest.mark.parametrize("k1", [-0.25, 0.25])
def test_a_straight_picture_shows_what_a_pinhole_sees(k1: float) -> None:
    lens = Lens((k1, 0.02), (0.004, -0.003))

    def pattern(plane: np.ndarray) -> np.ndarray:
        return np.round(127 + 60 * np.sin(9 * plane[..., 0]) + 60 * np.cos(11 * plane[..., 1])).astype(np.uint8)

    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    seen = np.stack([(columns - CENTER[0]) / FOCAL[0], (rows - CENTER[1]) / FOCAL[1]], axis=-1)
    undistorted = seen.copy()
    for _ in range(100):  # the inverse of the model, by fixed-point iteration
        undistorted += 0.7 * (seen - lens.distorted(undistorted))
    straighten = Straightening(lens, FOCAL, CENTER, SIZE)
    straight, there = straighten(pattern(undistorted)), straighten.sources()[1]
    error = np.abs(straight.astype(float) - pattern(seen))[there]
    assert error.max() <= 4
    assert (straight[~there] == 0).all()
    # A barrel leaves no empty border (the middle of the border is inside), a cushion shows less than the whole.
    assert there.mean() > 0.8
    assert bool(there.all()) == (k1 < 0)
