"""Generated motion for any rig in FLAME's format: speech, expressions, random coefficients, blinks and gaze.

`sage_ns.synthetic.motion` plays the fixed script of the built-in capture; this module covers the whole range of a
face. It uses no person's recording: rigs with named expressions move by name, all others along fitted moves
(`sage_ns.motion.face.moves`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.errors import CaptureError
from sage_ns.motion.curves import bump, smooth_curve
from sage_ns.motion.face.moves import FaceMoves, face_moves
from sage_ns.motion.face.tables import EXPRESSIONS, VISEMES, combine
from sage_ns.motion.limits import COMPONENT_LIMITS, NAMED_LIMITS
from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel

GENERATED = "generated"
"""Source name of generated motion."""
RATE = 12.0
"""Moments per second."""
WIDEST_JAW = 0.40
"""Largest opening of the jaw in generated motion, radians; a real jaw opens by about 0.6."""
_EVENT, _SYLLABLE, _BLINK, _TURN, _GAZE, _WANDER = 1.6, 0.4, 2.0, 1.5, 0.8, 0.9
"""Seconds per expression, per syllable, between blinks, and per knot of the curves of head, eyes and coefficients."""
_BLINK_HALF_WIDTH = 0.25
"""Seconds that the lids take to close."""
_TRACKING_NOISE = 0.15e-3
"""Metres: a tracker cannot measure components that move the face by less, and leaves them near zero."""
_WANDER_SIZE = 1.5
_LIP_OVERLAP = 0.4e-3
"""Largest overlap of the lips, metres."""
_JAW_RELIEF = 0.15
"""Largest opening of the jaw that keeps the lips apart, radians."""


@dataclass(frozen=True, eq=False)
class _Clock:
    """The moments of a take: seconds, and 0..1 for curves."""

    seconds: Float[np.ndarray, "t"]
    length: float

    @property
    def position(self) -> Float[np.ndarray, "t"]:
        return self.seconds / self.length

    def knots(self, interval: float) -> int:
        return max(2, round(self.length / interval))


def expression_walk(model: HeadModel, num_timesteps: int = 120, seed: int = 0, face: FaceMoves | None = None) -> Motion:
    """Generate one take of motion on the mean head, at `RATE` moments per second, smooth in time.

    Expression: words (visemes) and whole expressions of random strength, added to a sparse random walk whose
    coefficients have the spread that trackers find: a component of unit variance that moves the face by b (RMS) is
    estimated with standard deviation b / sqrt(b^2 + n^2), n being the tracker's noise. Lids close exactly, follow the
    gaze down, and never overlap; the jaw opens where the lips would pass through each other.
    Head pose: neck, jaw and eyes; global rotation and translation are zero.

    Args:
        model: Any head model; without regions for lips and eyes there are neither words nor blinks.
        num_timesteps: Number of moments, at least 1.
        seed: The same seed and model give the same motion.
        face: The model's moves, to compute them once for several takes; None computes them (most of the run time).

    Raises:
        CaptureError: `num_timesteps` is not positive.
    """
    if num_timesteps < 1:
        raise CaptureError(f"expression walk: 'num_timesteps' is {num_timesteps}; give at least 1")
    model = model.to("cpu")
    face = face_moves(model) if face is None else face
    rng = np.random.default_rng([seed, 77])
    clock = _Clock((np.arange(num_timesteps) + 0.5) / RATE, num_timesteps / RATE)
    expr, jaw, calm = _performance(face, clock, model.num_expression, rng)
    wander = _named_wander(face, clock, rng) if face.is_named else _component_wander(model, clock, rng)
    expr = expr + calm[:, None] * wander
    if face.is_named:
        expr = np.clip(expr, 0.0, 1.0)
    gaze = smooth_curve(clock.position, clock.knots(_GAZE), rng, 2) * (0.14, 0.26)
    jaw, expr = _with_lips_apart(face, expr, np.clip(jaw, 0.0, 0.9 * WIDEST_JAW))
    limits = NAMED_LIMITS if face.is_named else COMPONENT_LIMITS
    expr = np.clip(_with_lids(face, clock, expr, gaze[:, 0], rng), *limits)
    aside = smooth_curve(clock.position, clock.knots(_TURN), rng, 2) * (0.03, 0.015)
    neck = smooth_curve(clock.position, clock.knots(_TURN), rng, 3) * (0.12, 0.20, 0.06)
    zero = 0.0 * jaw
    neutral = FlameParams.neutral(model)
    params = replace(
        neutral,
        expr=_tensor(expr),
        rotation=neutral.rotation.expand(num_timesteps, 3).clone(),
        translation=neutral.translation.expand(num_timesteps, 3).clone(),
        neck_pose=_tensor(neck),
        jaw_pose=_tensor(np.stack([jaw, aside[:, 0], aside[:, 1]], axis=-1)),
        eyes_pose=_tensor(np.stack([gaze[:, 0], gaze[:, 1], zero, gaze[:, 0], gaze[:, 1], zero], axis=-1)),
    )
    return Motion.of(params, GENERATED, fps=RATE)


def _performance(
    face: FaceMoves, clock: _Clock, num_expression: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "t num_expression"], Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """Return expressions in random order with words between them, the jaw's opening, and the face's calmness (0..1)."""
    expr, jaw, calm = np.zeros((len(clock.seconds), num_expression)), 0.0 * clock.seconds, 1.0 + 0.0 * clock.seconds
    moves = {name: move for name, move in face.moves.items() if not name.startswith("blink")}
    names = list(EXPRESSIONS)
    order: list[str] = []
    for index in range(max(1, round(clock.length / _EVENT))):
        order = order or [names[i] for i in rng.permutation(len(names))]
        opening, weights = EXPRESSIONS[order.pop()]
        center = (index + 0.5 + rng.uniform(-0.15, 0.15)) * _EVENT
        envelope = bump(clock.seconds, center, 0.62 * _EVENT) ** 0.8
        strength = rng.uniform(0.6, 1.15)
        expr += envelope[:, None] * strength * combine(moves, _turned(weights, rng), num_expression)
        jaw += envelope * opening * strength
        calm -= 0.7 * envelope
    for index in range(max(1, round(clock.length / _SYLLABLE))):
        opening, weights = VISEMES[rng.integers(len(VISEMES))]
        envelope = bump(clock.seconds, (index + 0.5) * _SYLLABLE, _SYLLABLE) * np.clip(calm, 0.0, 1.0)
        strength = rng.uniform(0.5, 1.1)
        expr += envelope[:, None] * strength * combine(moves, weights, num_expression)
        jaw += envelope * strength * opening
    return expr, jaw, np.clip(calm, 0.3, 1.0)


def _turned(weights: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Put one-sided moves on a random side and vary all weights a little."""
    if rng.random() < 0.5:
        swap = {"left": "right", "right": "left"}
        parts = {name: name.rpartition("_") for name in weights}
        weights = {f"{p[0]}_{swap[p[2]]}" if p[2] in swap else n: weights[n] for n, p in parts.items()}
    return {name: weight * rng.uniform(0.8, 1.2) for name, weight in weights.items()}


def _component_wander(
    model: HeadModel, clock: _Clock, rng: np.random.Generator
) -> Float[np.ndarray, "t num_expression"]:
    """Return smooth random coefficients of principal components; each is zero about half of the time."""
    face = model.regions.vertices("face")
    basis = model.expression_basis if len(face) == 0 else model.expression_basis[face]
    reach = basis.double().square().sum(dim=1).mean(dim=0).sqrt().numpy()
    spread = reach / np.sqrt(reach**2 + _TRACKING_NOISE**2)
    curves = smooth_curve(clock.position, clock.knots(_WANDER), rng, len(spread))
    activity = smooth_curve(clock.position, clock.knots(3 * _WANDER), rng, len(spread))
    return _WANDER_SIZE * spread * curves * np.clip(0.5 + activity, 0.0, 1.0)


def _named_wander(face: FaceMoves, clock: _Clock, rng: np.random.Generator) -> Float[np.ndarray, "t num_expression"]:
    """Return single named expressions, a few at a time, that fade in and out independently."""
    usable = np.array([move for name, move in face.moves.items() if "blink" not in name.lower()])
    wander = np.zeros((len(clock.seconds), usable.shape[1]))
    for center in np.arange(0.0, clock.length, 0.25):
        move = usable[rng.integers(len(usable))]
        envelope = bump(clock.seconds, center + rng.uniform(-0.2, 0.2), rng.uniform(0.5, 1.0))
        wander += envelope[:, None] * rng.uniform(0.2, 1.0) * move
    return wander


def _with_lids(
    face: FaceMoves, clock: _Clock, expr: Float[np.ndarray, "t num_expression"], down: Float[np.ndarray, "t"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "t num_expression"]:  # fmt: skip
    """Add blinks, some of one eye or half-way, and lids that follow the gaze down.

    The blink's coefficient closes a given share of the opening that the other coefficients leave. A full blink
    therefore closes the lids exactly, and lids that would overlap open again.
    """
    share = {side: 1.4 * np.clip(down, 0.0, 0.4) for side in face.eyes}
    for center in np.arange(0.5 * _BLINK, clock.length, _BLINK) + rng.uniform(-0.4, 0.4) * _BLINK:
        depth = 1.0 if rng.random() < 0.7 else rng.uniform(0.3, 0.9)
        winking = rng.random() < 0.15
        for side in share:
            if not winking or side == "left":
                envelope = np.clip(1.3 * bump(clock.seconds, center, 2 * _BLINK_HALF_WIDTH), 0.0, 1.0)
                share[side] = np.maximum(share[side], depth * envelope)
    lids = [
        (face.eyes[side], face.moves[f"blink_{side}"], share[side]) for side in share if f"blink_{side}" in face.moves
    ]
    if not lids:
        return expr
    gaps = np.stack([opening.gap(expr, 0.0 * clock.seconds).mean(axis=1) for opening, _, _ in lids], axis=-1)
    shares = np.clip(np.stack([part for _, _, part in lids], axis=-1), 0.0, 1.0)
    closing = shares * np.maximum(gaps, 0.0) + np.minimum(gaps, 0.0)
    # A fitted blink also moves the other eye's lids a little.
    per_blink = np.array([[-(opening.per_expression @ blink).mean() for _, blink, _ in lids] for opening, _, _ in lids])
    return expr + np.linalg.solve(per_blink, closing.T).T @ np.stack([blink for _, blink, _ in lids])


def _with_lips_apart(
    face: FaceMoves, expr: Float[np.ndarray, "t num_expression"], jaw: Float[np.ndarray, "t"]
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t num_expression"]]:
    """Open the jaw where the lips would overlap; where that is not enough, scale the expression down."""
    if face.mouth is None:
        return jaw, expr
    mouth = face.mouth
    carried = mouth.per_radian > 0.5 * mouth.per_radian.max()
    allowed = np.minimum(mouth.rest, 0.0) - _LIP_OVERLAP
    missing = (allowed - mouth.gap(expr, jaw))[:, carried] / np.maximum(mouth.per_radian[carried], 1e-6)
    jaw = np.clip(jaw + np.clip(missing.max(axis=1), 0.0, _JAW_RELIEF), 0.0, WIDEST_JAW)
    closing = np.maximum(-expr @ mouth.per_expression.T, 1e-9)
    room = mouth.rest + jaw[:, None] * mouth.per_radian - allowed
    keep = np.clip((room / closing)[:, carried].min(axis=1), 0.0, 1.0)
    return jaw, keep[:, None] * expr


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
