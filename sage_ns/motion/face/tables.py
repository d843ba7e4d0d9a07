"""Tables of mouth shapes of speech and of whole expressions, as named moves and an opening of the jaw.

The names are those of the built-in head's expressions; a name without a side means both sides. For rigs whose
expressions have no names, moves of these names are fitted (`sage_ns.motion.face.moves`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

SIDES = ("left", "right")

VISEMES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.02, {"lips_press": 0.6}),  # m, b, p
    (0.20, {"lips_part": 0.4}),  # a
    (0.08, {"mouth_stretch": 0.45, "lips_part": 0.5}),  # e, i
    (0.11, {"mouth_funnel": 0.75}),  # o
    (0.05, {"mouth_pucker": 0.8}),  # u
    (0.04, {"lower_lip_depress": -0.25, "upper_lip_raise": 0.3}),  # f, v
    (0.07, {"lips_part": 0.6}),  # s, t
)
"""(jaw opening in radians, moves): mouth shapes of speech."""

EXPRESSIONS: dict[str, tuple[float, dict[str, float]]] = {
    "smile": (0.03, {"mouth_smile": 0.95, "cheek_raise": 0.5, "squint": 0.25, "lips_part": 0.5}),
    "surprise": (0.20, {"brow_inner_raise": 1.0, "brow_outer_raise": 1.0, "eye_wide": 0.7}),
    "wide_open": (0.33, {"brow_inner_raise": 0.3}),
    "frown": (0.0, {"brow_lower": 1.0, "squint": 0.45, "lips_press": 0.5, "mouth_frown": 0.3}),
    "pucker": (0.03, {"mouth_pucker": 1.0}),
    "sneer": (0.03, {"nose_sneer": 0.9, "upper_lip_raise": 0.55, "brow_lower": 0.4}),
    "puff": (0.0, {"cheek_puff": 0.9, "lips_press": 0.4}),
    "sad": (0.01, {"mouth_frown": 0.9, "brow_inner_raise": 0.8, "chin_raise": 0.6}),
    "laugh": (0.22, {"mouth_smile": 1.0, "cheek_raise": 0.8, "squint": 0.5, "upper_lip_raise": 0.3}),
    "smirk": (0.0, {"mouth_smile_left": 0.9, "brow_outer_raise_left": 0.5}),
    "jaw_side": (0.05, {"jaw_left": 0.9, "mouth_left": 0.4}),
    "closed_eyes": (0.02, {"blink": 1.0}),
}
"""(jaw opening in radians, moves): expressions between words."""


def named_moves(names: Sequence[str], num_expression: int) -> dict[str, Float[np.ndarray, "num_expression"]]:
    """Return one move per named expression, which sets only that coefficient; names `unused_*` are left out."""
    rows = np.eye(num_expression)
    return {name: rows[index] for index, name in enumerate(names) if not name.startswith("unused")}


def combine(
    moves: Mapping[str, Float[np.ndarray, "num_expression"]], weights: Mapping[str, float], num_expression: int
) -> Float[np.ndarray, "num_expression"]:
    """Return the weighted sum of named moves; a name without a side adds both sides, an unknown name adds nothing."""
    row = np.zeros(num_expression)
    for name, weight in weights.items():
        for full in (name, *(f"{name}_{side}" for side in SIDES)):
            if full in moves:
                row += weight * moves[full]
    return row
