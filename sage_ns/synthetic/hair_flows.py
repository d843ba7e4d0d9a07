"""Directions in which hair of each kind grows: unit vectors at points (mm) of the mean head, by part of the strand."""

from __future__ import annotations

import numpy as np

from sage_ns.synthetic.person_look import HairLook
from sage_ns.synthetic.strands import Flow, Points

KNOT = np.array([0.0, 48.0, -124.0])
"""Where tied hair is held together, at the back of the head (mm)."""
_MIDDLE = np.array([0.0, 40.0, -34.0])


def _unit(flow: Points) -> Points:
    return flow / np.maximum(np.linalg.norm(flow, axis=-1, keepdims=True), 1e-9)


def swept(look: HairLook) -> Flow:
    """Swept from a parting over the top; down and back on the sides."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        x, y, z = points.T
        top = np.clip((y - 75.0) / 35.0, 0.0, 1.0)[:, None]
        over = np.stack(
            [np.tanh((x - look.part) / 6.0) * 0.8, 0.05 - 0.5 * part + 0.0 * x, 0.25 - 0.5 * (z < 0)], axis=-1
        )
        down = np.stack([0.0 * x, np.full_like(x, -0.8), np.where(z > -60, -0.45, 0.1)], axis=-1)
        flow = top * over + (1.0 - top) * down
        return flow / np.linalg.norm(flow, axis=-1, keepdims=True)

    return flow


def hanging(look: HairLook) -> Flow:
    """From a parting to the sides, back past the face, then down."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        x, y, z = points.T
        side = np.tanh((x - look.part) / 5.0)
        fall = np.clip(2.2 * part, 0.0, 1.0)
        past_face = np.clip((z - 5.0) / 25.0, 0.0, 1.0) * np.clip((y + 60.0) / 60.0, 0.0, 1.0)
        sideways = (1.0 - fall) * side * np.clip((y - 40.0) / 60.0, 0.1, 1.0)
        back = -0.25 * (1.0 - fall) - 0.9 * past_face
        flow = np.stack([sideways, np.full_like(x, -0.25 - fall), back], axis=-1)
        return flow / np.linalg.norm(flow, axis=-1, keepdims=True)

    return flow


def fringed(look: HairLook) -> Flow:
    """Hanging, but forward and down over the forehead where it grows in front."""
    rest = hanging(look)

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        x, y, z = points.T
        front = np.clip((z + 6.0) / 14.0, 0.0, 1.0) * np.clip((56.0 - np.abs(x)) / 12.0, 0.0, 1.0)
        front = (front * np.clip((y - 40.0) / 10.0, 0.0, 1.0))[:, None]
        over = np.stack([0.10 * x / 40.0, np.where(z > 48.0, -1.0, -0.35), np.where(z > 48.0, 0.15, 0.9)], axis=-1)
        return _unit(front * over + (1.0 - front) * rest(points, part))

    return flow


def combed_back(_: HairLook) -> Flow:
    """From the forehead straight back over the top; back and down on the sides."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        x, y, z = points.T
        top = np.clip((y - 60.0) / 40.0, 0.0, 1.0)[:, None]
        behind = np.clip((-z - 60.0) / 40.0, 0.0, 1.0)
        over = np.stack([0.06 * np.sign(x), 0.28 * (z > 20) - 0.9 * behind, -1.0 + 0.6 * behind], axis=-1)
        down = np.stack([0.0 * x, np.full_like(x, -0.55), np.where(z > -85, -0.8, 0.0)], axis=-1)
        return _unit(top * over + (1.0 - top) * down)

    return flow


def upright(_: HairLook) -> Flow:
    """Away from the head, a little forward on the top; down on the sides."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        x, y, _z = points.T
        top = np.clip((y - 70.0) / 30.0, 0.0, 1.0)[:, None]
        away = _unit(points - _MIDDLE)
        up = away + np.array([0.0, 0.15, 0.55])
        down = 0.28 * away + np.stack([0.0 * x, np.full_like(x, -0.9), np.full_like(x, -0.3)], axis=-1)
        return _unit(top * up + (1.0 - top) * down)

    return flow


def radial(_: HairLook) -> Flow:
    """Away from the head in all directions, with a little weight."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        return _unit(_unit(points - _MIDDLE) + np.array([0.0, -0.12 * part, -0.10]))

    return flow


def to_the_knot(_: HairLook) -> Flow:
    """Drawn tight to the knot at the back of the head."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        away = KNOT - points
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        near = np.clip((14.0 - distance) / 10.0, 0.0, 1.0)
        return _unit((1.0 - near) * away / np.maximum(distance, 1e-6) + near * np.array([0.0, -0.4, -0.9]))

    return flow


def falling(_: HairLook) -> Flow:
    """Out of the knot backwards, then down."""

    def flow(points: np.ndarray, part: float) -> np.ndarray:
        fall = np.clip(5.0 * part, 0.0, 1.0)
        lean = np.array([0.0, 0.25 - 1.25 * fall, -1.0 + 0.98 * fall])
        return _unit(np.broadcast_to(lean, points.shape) - 0.004 * (points - KNOT) * [1.0, 0.0, 1.0])

    return flow
