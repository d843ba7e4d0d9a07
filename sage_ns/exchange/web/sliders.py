"""What the page's sliders move: neck, jaw and eyes, and the face's strongest moves, as in the viewer's panel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sage_ns.motion.face.sliders import face_sliders
from sage_ns.rig import NUM_POSE, HeadModel

_POSE = (
    ("Head", "Turn", 0.6, (7,)),
    ("Head", "Nod", 0.4, (6,)),
    ("Head", "Tilt", 0.3, (8,)),
    ("Jaw", "Jaw open", 0.35, (9,)),
    ("Jaw", "Jaw aside", 0.12, (10,)),
    ("Eyes", "Eyes aside", 0.5, (13, 16)),
    ("Eyes", "Eyes down", 0.35, (12, 15)),
)
"""Group, name, radians to both sides, entries of the motion vector."""


@dataclass(frozen=True)
class Slider:
    """A control: at value x it adds x times `up` to the motion vector, and below 0 -x times `down`."""

    group: str
    name: str
    low: float
    high: float
    up: dict[int, float]
    """Entries of the motion vector that are not 0."""
    down: dict[int, float]


def make_sliders(model: HeadModel) -> list[Slider]:
    """The sliders of a rig; those of its face are `face_sliders`."""
    sliders = []
    for group, name, limit, entries in _POSE:
        low = 0.0 if name == "Jaw open" else -limit
        up, down = (dict.fromkeys(entries, sign) for sign in (1.0, -1.0))
        sliders.append(Slider(group, name, low, limit, up, down))
    for face in face_sliders(model):
        sliders.append(Slider(face.group, face.name, face.low, face.high, _entries(face.up), _entries(face.down)))
    return sliders


def _entries(expression: Float[np.ndarray, "num_expression"]) -> dict[int, float]:
    return {NUM_POSE + int(i): round(float(expression[i]), 5) for i in np.flatnonzero(expression)}
