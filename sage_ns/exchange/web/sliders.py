"""The page's sliders: neck, jaw and eyes, and the moves of the face, as in the viewer's panel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sage_ns.motion.face.sliders import face_sliders
from sage_ns.rig import FlameParams, HeadModel

_X, _Y, _Z = 0, 1, 2
_NECK, _JAW, _EYES = (FlameParams.NECK,), (FlameParams.JAW,), (FlameParams.LEFT_EYE, FlameParams.RIGHT_EYE)
_POSE = (
    ("Head", "Turn", 0.6, _NECK, _Y),
    ("Head", "Nod", 0.4, _NECK, _X),
    ("Head", "Tilt", 0.3, _NECK, _Z),
    ("Jaw", "Jaw open", 0.35, _JAW, _X),
    ("Jaw", "Jaw aside", 0.12, _JAW, _Y),
    ("Eyes", "Eyes aside", 0.5, _EYES, _Y),
    ("Eyes", "Eyes down", 0.35, _EYES, _X),
)
"""Group, name, largest angle to both sides in radians, joints as parts of the motion vector, and axis of rotation."""


@dataclass(frozen=True)
class Slider:
    """A slider: at a value x >= 0 it adds x times `up` to the motion vector, at x < 0 it adds -x times `down`."""

    group: str
    name: str
    low: float
    high: float
    up: dict[int, float]
    """Nonzero values by entry of the motion vector."""
    down: dict[int, float]


def make_sliders(model: HeadModel) -> list[Slider]:
    """Return the sliders of a rig; those of its face come from `face_sliders`."""
    sliders = []
    for group, name, limit, joints, axis in _POSE:
        low = 0.0 if name == "Jaw open" else -limit
        entries = [joint.start + axis for joint in joints]
        up, down = (dict.fromkeys(entries, sign) for sign in (1.0, -1.0))
        sliders.append(Slider(group, name, low, limit, up, down))
    for face in face_sliders(model):
        sliders.append(Slider(face.group, face.name, face.low, face.high, _entries(face.up), _entries(face.down)))
    return sliders


def _entries(expression: Float[np.ndarray, "num_expression"]) -> dict[int, float]:
    return {FlameParams.EXPRESSION.start + int(i): round(float(expression[i]), 5) for i in np.flatnonzero(expression)}
