"""About a dozen sliders that move a face: named moves where the rig has them, else its strongest expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sage_ns.motion.face.moves import face_moves
from sage_ns.motion.face.tables import EXPRESSIONS, combine
from sage_ns.motion.limits import COMPONENT_LIMITS, NAMED_LIMITS

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel

BLINK = "Blink"
"""Name of the slider that closes the lids."""
NUM_STRONGEST = 10
"""Number of sliders of a face whose moves have no known names."""
_ENOUGH = 4
"""Smallest number of known moves at which a face gets the known sliders."""
_COMPONENT_RANGE = 3.0
"""Standard deviations that a face seldom exceeds."""
_SIDE = re.compile(r"(.+?)_?(?:_left|_right|_[lrLR]|Left|Right)")
_CANCELS = 0.5
"""Opposite moves (jaw to the left and right) largely cancel: their sum reaches less than this share of the reach of
both added up. For the two sides of a symmetric move the share is 0.7."""

Expression = Float[np.ndarray, "num_expression"]


@dataclass(frozen=True, eq=False)
class FaceSlider:
    """A slider for one move of a face, or for two opposite moves."""

    name: str
    group: str
    """Heading that the slider is listed under."""
    low: float
    """Smallest value: 0, or negative if the slider has a second move below 0."""
    high: float
    up: Expression
    """Coefficients at the value 1."""
    down: Expression
    """Coefficients at the value -1."""
    hint: str = ""
    key: tuple[str, str] = ("", "")
    """Moves of `sage_ns.motion.face.tables` that its positive and negative values stand for."""

    def expression(self, value: float) -> Expression:
        """Return the coefficients at a value."""
        return value * self.up if value > 0 else -value * self.down


@dataclass(frozen=True)
class _Known:
    """A slider by the names of its moves; the first name of each side is its key in the table of expressions."""

    name: str
    group: str
    up: Mapping[str, float]
    down: Mapping[str, float] = field(default_factory=dict)
    hint: str = ""


_BROWS, _MOUTH, _NOSE = "Brows and lids", "Mouth", "Nose and cheeks"
_KNOWN = (
    _Known("Smile", _MOUTH, {"mouth_smile": 1.0, "cheek_raise": 0.5}, {"mouth_frown": 1.0}, "left: a frown"),
    _Known("Pucker", _MOUTH, {"mouth_pucker": 1.0}, {"mouth_stretch": 1.0}, "left: stretched wide"),
    _Known("Funnel", _MOUTH, {"mouth_funnel": 1.0}, hint="lips as for an o"),
    _Known("Lips apart", _MOUTH, {"lips_part": 1.0}, {"lips_press": 1.0}, "left: pressed together"),
    _Known("Upper lip", _MOUTH, {"upper_lip_raise": 1.0}, hint="raised"),
    _Known("Mouth aside", _MOUTH, {"mouth_left": 1.0}, {"mouth_right": 1.0}, "as you see it from the front"),
    _Known(
        "Brows", _BROWS, {"brow_outer_raise": 1.0, "brow_inner_raise": 0.4}, {"brow_lower": 1.0},
        "left: lowered, right: raised",
    ),
    _Known("Inner brows", _BROWS, {"brow_inner_raise": 1.0}, hint="raised, as in grief"),
    _Known(BLINK, _BROWS, {"blink": 1.0}, hint="right: lids closed"),
    _Known("Eyes wide", _BROWS, {"eye_wide": 1.0}, {"squint": 1.0}, "left: a squint"),
    _Known("Sneer", _NOSE, {"nose_sneer": 1.0, "upper_lip_raise": 0.4}),
    _Known("Cheeks", _NOSE, {"cheek_puff": 1.0}, hint="puffed"),
)  # fmt: skip


def face_sliders(model: HeadModel) -> tuple[FaceSlider, ...]:
    """Return the sliders of a rig, ordered by group.

    A face with enough known moves, its own or fitted ones (`face_moves`), gets sliders for these; left and right move
    together. Any other face gets its strongest expressions under the rig's own names.

    Args:
        model: the head model, on any device.
    """
    model = model.to("cpu")
    moves, size = face_moves(model).moves, model.num_expression
    known = []
    for each in _KNOWN:
        up, down = combine(moves, each.up, size), combine(moves, each.down, size)
        key = (next(iter(each.up)), next(iter(each.down), ""))
        if combine(moves, {key[0]: 1.0}, size).any():
            known.append(FaceSlider(each.name, each.group, -1.0 if down.any() else 0.0, 1.0, up, down, each.hint, key))
    return tuple(known) if len(known) >= _ENOUGH else _strongest(model)


def _strongest(model: HeadModel) -> tuple[FaceSlider, ...]:
    """Return the expressions that move the mesh most, in the rig's order; both sides, or opposites, share a slider."""
    basis = model.expression_basis.double().numpy()
    names = model.expression_names or [f"Component {index + 1}" for index in range(model.num_expression)]
    rows: dict[str, list[Expression]] = {}
    for name, row in zip(names, np.eye(model.num_expression), strict=True):
        side = _SIDE.fullmatch(name)
        rows.setdefault(_title(side[1] if side else name), []).append(row)
    high = 1.0 if model.expression_names else _COMPONENT_RANGE
    sliders, reach = [], {}
    for title, parts in rows.items():
        up, down = np.sum(parts, axis=0), np.zeros(model.num_expression)
        alone = [float(np.linalg.norm(basis @ part)) for part in parts]
        if len(parts) == 2 and np.linalg.norm(basis @ up) < _CANCELS * sum(alone):
            up, down = parts
        elif not model.expression_names:
            down = -up
        sliders.append(FaceSlider(title, "Face", -high if down.any() else 0.0, high, up, down))
        reach[title] = max(alone)
    chosen = sorted(filter(reach.get, reach), key=reach.__getitem__, reverse=True)[:NUM_STRONGEST]
    return tuple(slider for slider in sliders if slider.name in chosen)


def _title(name: str) -> str:
    """Return "Brow inner up" for `browInnerUp_` and `brow_inner_up`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").split()
    return " ".join(words).lower().capitalize()


def expression(
    sliders: Sequence[FaceSlider], values: Mapping[str, float], num_expression: int, is_named: bool
) -> Expression:
    """Return the sum of all sliders' coefficients, clamped to the limits of a face (`sage_ns.motion.limits`)."""
    total = np.zeros(num_expression)
    for slider in sliders:
        total += slider.expression(values.get(slider.name, 0.0))
    return np.clip(total, *(NAMED_LIMITS if is_named else COMPONENT_LIMITS))


def random_expression(sliders: Sequence[FaceSlider], rng: np.random.Generator) -> tuple[dict[str, float], float]:
    """Return a random natural expression: values by slider, and the opening of the jaw in radians.

    It comes from `sage_ns.motion.face.tables` with a random strength. If the tables do not fit the sliders, three
    random sliders get random values.
    """
    recipes = [recipe for recipe in map(lambda each: _on(sliders, *each), EXPRESSIONS.values()) if recipe[0]]
    strength = rng.uniform(0.6, 1.0)
    if recipes:
        values, jaw = recipes[rng.integers(len(recipes))]
        return {name: round(strength * value, 2) for name, value in values.items()}, strength * jaw
    chosen = [sliders[index] for index in rng.permutation(len(sliders))[:3]]
    drawn = {each.name: rng.uniform(max(each.low, -0.5 * each.high), 0.5 * each.high) for each in chosen}
    return {name: round(value, 2) for name, value in drawn.items()}, 0.0


def _on(sliders: Sequence[FaceSlider], jaw: float, weights: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """Return an expression of the tables as slider values; none for a blink or if no slider has one of its moves."""
    values: dict[str, float] = {}
    for slider in sliders:
        value = weights.get(slider.key[0], 0.0) - weights.get(slider.key[1], 0.0)
        if value:
            values[slider.name] = float(np.clip(value, slider.low, slider.high))
    return ({}, jaw) if BLINK in values else (values, jaw)
