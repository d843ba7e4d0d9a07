"""Motion of the synthetic person: speech, expressions, blinks, gaze and head turns as smooth curves over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.motion.curves import bump, smooth_curve
from sage_ns.motion.face.tables import EXPRESSIONS, VISEMES, combine, named_moves
from sage_ns.rig import FlameParams, HeadModel

SEQUENCES: dict[str, tuple[str, ...]] = {
    "train": ("smirk", "frown", "puff", "closed_eyes", "sad"),
    "test": ("surprise", "smile", "wide_open", "closed_eyes", "pucker", "laugh", "sneer"),
    "driver": ("smile", "jaw_side", "surprise", "closed_eyes", "puff", "wide_open", "sad", "laugh", "pucker", "frown"),
}


@dataclass(frozen=True)
class Curves:
    """Curves of one sequence, one row per timestep; angles in radians, translation in metres."""

    expr: Float[np.ndarray, "t num_expression"]
    rotation: Float[np.ndarray, "t 3"]
    neck_pose: Float[np.ndarray, "t 3"]
    jaw_pose: Float[np.ndarray, "t 3"]
    eyes_pose: Float[np.ndarray, "t 6"]
    translation: Float[np.ndarray, "t 3"]

    def at(self, moment: int) -> Curves:
        """Return one moment of the motion."""
        return Curves(*(getattr(self, name)[moment : moment + 1] for name in Curves.__dataclass_fields__))

    def params(self, shape: Float[np.ndarray, "num_shape"]) -> FlameParams:
        """Return the motion as FLAME parameters of a person with this identity."""

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

        return FlameParams(
            shape=tensor(shape), expr=tensor(self.expr), rotation=tensor(self.rotation),
            neck_pose=tensor(self.neck_pose), jaw_pose=tensor(self.jaw_pose), eyes_pose=tensor(self.eyes_pose),
            translation=tensor(self.translation),
        )  # fmt: skip


def expression_row(model: HeadModel, expressions: dict[str, float]) -> Float[np.ndarray, "num_expression"]:
    """Return expression coefficients from names; a name without a side sets both sides."""
    return combine(named_moves(model.expression_names, model.num_expression), expressions, model.num_expression)


def perform(model: HeadModel, sequence: str, num_timesteps: int, seed: int) -> Curves:
    """Create a sequence of speech that contains the expressions of `SEQUENCES[sequence]`.

    Args:
        model: The built-in head (the function finds expressions by name).
        sequence: "train", "test" or "driver".
        num_timesteps: Number of moments, spread evenly over the whole sequence.
        seed: Seed of the person; every sequence has its own random numbers.
    """
    rng = np.random.default_rng([seed, 500 + list(SEQUENCES).index(sequence)])
    t = (np.arange(num_timesteps) + 0.5) / max(num_timesteps, 1)
    events = SEQUENCES[sequence]
    expr, jaw = np.zeros((num_timesteps, model.num_expression)), np.zeros(num_timesteps)
    talking = np.ones(num_timesteps)
    span = 1.0 / len(events)
    for index, name in enumerate(events):
        opening, expressions = EXPRESSIONS[name]
        envelope = bump(t, (index + 0.5 + rng.uniform(-0.1, 0.1)) * span, 0.62 * span) ** 0.8
        strength = rng.uniform(0.85, 1.05)
        expr += envelope[:, None] * strength * expression_row(model, expressions)
        jaw += envelope * opening * strength
        talking -= 0.85 * envelope
    syllables = max(6, 4 * len(events))
    for index in range(syllables):
        opening, expressions = VISEMES[rng.integers(len(VISEMES))]
        envelope = bump(t, (index + 0.5) / syllables, 1.0 / syllables) * np.clip(talking, 0.0, 1.0)
        expr += envelope[:, None] * expression_row(model, expressions)
        jaw += envelope * opening
    for center in rng.uniform(0.0, 1.0, size=max(1, len(events) // 3)):
        blink = expression_row(model, {"blink": 1.0})
        envelope = bump(t, center, 0.25 * span)[:, None]
        expr = np.where(blink > 0, np.maximum(expr, envelope * blink), expr)
    return _with_head_motion(model, t, expr, jaw, len(events), rng)


def _with_head_motion(
    model: HeadModel, t: np.ndarray, expr: np.ndarray, jaw: np.ndarray, knots: int, rng: np.random.Generator
) -> Curves:
    """Add head turns (shared by neck and global rotation), sway and gaze; lids follow the eyes down."""
    turn = smooth_curve(t, knots, rng, 3) * (0.10, 0.20, 0.06)
    gaze = smooth_curve(t, 2 * knots, rng, 2) * (0.14, 0.26)
    eyes = np.zeros((len(t), 6))
    eyes[:, [0, 3]], eyes[:, [1, 4]] = gaze[:, :1], gaze[:, 1:]
    down = np.clip(gaze[:, 0], 0.0, 0.4)[:, None]
    lids = expression_row(model, {"blink": 1.0})
    expr = np.where(lids > 0, np.minimum(expr + 1.4 * down * lids, 1.0), expr)
    jaw_pose = np.stack([np.clip(jaw, 0.0, 0.40), 0.015 * smooth_curve(t, knots, rng, 1)[:, 0], 0.0 * t], axis=-1)
    return Curves(
        expr=expr,
        rotation=0.4 * turn,
        neck_pose=0.6 * turn,
        jaw_pose=jaw_pose,
        eyes_pose=eyes,
        translation=smooth_curve(t, knots, rng, 3) * (0.006, 0.004, 0.006),
    )


def rest(model: HeadModel, opening: float = 0.012, parted: float = 0.08) -> Curves:
    """Return the canonical moment: neutral, looking ahead, the jaw open by `opening` radians, the lips apart."""
    zeros = np.zeros((1, 3))
    expr = expression_row(model, {"lips_part": parted, "mouth_smile": 0.12})[None]
    return Curves(expr, zeros, zeros, np.array([[opening, 0.0, 0.0]]), np.zeros((1, 6)), zeros)


def joined(*parts: Curves) -> Curves:
    """Join sequences one after the other."""
    return Curves(*(np.concatenate([getattr(p, name) for p in parts]) for name in Curves.__dataclass_fields__))


def mistracked(motion: Curves, amount: float, seed: int) -> Curves:
    """Add simulated tracking errors, which drift over time, to `motion`; `amount` 1 is about a millimetre."""
    rng = np.random.default_rng([seed, 700])
    num = len(motion.expr)
    t = np.linspace(0.0, 1.0, num)
    knots = max(2, num // 5)

    def drift(width: int, size: float) -> np.ndarray:
        return amount * size * (0.75 * smooth_curve(t, knots, rng, width) + 0.25 * rng.normal(size=(num, width)))

    used = np.abs(motion.expr).max(axis=0) > 0
    return Curves(
        expr=motion.expr + drift(motion.expr.shape[1], 0.05) * used,
        rotation=motion.rotation + drift(3, 0.0045),
        neck_pose=motion.neck_pose + drift(3, 0.0045),
        jaw_pose=motion.jaw_pose + drift(3, 0.010) * (1.0, 0.4, 0.2),
        eyes_pose=motion.eyes_pose + drift(6, 0.03) * (1, 1, 0, 1, 1, 0),
        translation=motion.translation + drift(3, 0.0006),
    )
