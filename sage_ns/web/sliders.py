"""What the page's sliders move: neck, jaw and eyes, and the strongest moves of the face by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sage_ns.capture.expression_moves import face_moves
from sage_ns.capture.expression_tables import SIDES
from sage_ns.rig import HeadModel

NUM_POSE = 18
"""Entries of a motion vector before its expression."""
_MOST = 14
"""Sliders of the face: more than one likes to scroll through."""
_UNDONE, _SIDEWAYS = ("mouth", "jaw"), "_sideways"
_POSE = (
    ("Neck", "nod", 0.4, (6,)),
    ("Neck", "turn", 0.6, (7,)),
    ("Neck", "tilt", 0.3, (8,)),
    ("Jaw", "jaw_open", 0.35, (9,)),
    ("Jaw", "jaw_turn", 0.12, (10,)),
    ("Eyes", "look_down", 0.35, (12, 15)),
    ("Eyes", "look_left", 0.5, (13, 16)),
)
"""Group, name, radians to both sides, entries of the motion vector."""


@dataclass(frozen=True)
class Slider:
    """A control: at value x it adds x times a direction to the motion vector."""

    group: str
    name: str
    low: float
    high: float
    direction: dict[int, float]
    """Entries of the motion vector that are not 0."""


def make_sliders(model: HeadModel) -> list[Slider]:
    """The sliders of a rig. Rigs without names and regions get their strongest expression components, by number."""
    model = model.to("cpu")
    sliders = []
    for group, name, limit, entries in _POSE:
        low = 0.0 if name == "jaw_open" else -limit
        sliders.append(Slider(group, name, low, limit, dict.fromkeys(entries, 1.0)))
    moves, low = _without_sides(face_moves(model).moves), 0.0
    if not moves:
        rows = np.eye(model.num_expression)
        moves, low = {f"expression_{i + 1}": 2.0 * row for i, row in enumerate(rows)}, -1.0
    basis = model.expression_basis.double().numpy()
    strength = {name: np.linalg.norm(basis @ move, axis=-1).max() for name, move in moves.items()}
    strongest = sorted(moves, key=lambda name: -strength[name])[:_MOST]
    for name in sorted(strongest, key=list(moves).index):
        direction = {NUM_POSE + int(i): round(float(moves[name][i]), 5) for i in np.flatnonzero(moves[name])}
        sliders.append(Slider("Face", name, -1.0 if name.endswith(_SIDEWAYS) else low, 1.0, direction))
    return sliders


def _without_sides(moves: Mapping[str, Float[np.ndarray, "e"]]) -> dict[str, Float[np.ndarray, "e"]]:
    """Moves of the left and the right side as one: together (a smile), or against each other where one undoes the other
    (the mouth to the left, or to the right)."""
    joined: dict[str, np.ndarray] = {}
    left, right = (f"_{side}" for side in SIDES)
    for name, move in moves.items():
        whole = name.removesuffix(left)
        if name.endswith(left) and whole + right in moves:
            other = moves[whole + right]
            joined |= {whole + _SIDEWAYS: (move - other) / 2} if whole in _UNDONE else {whole: move + other}
        elif not (name.endswith(right) and name.removesuffix(right) + left in moves):
            joined[name] = move
    return joined
