"""Motion of a person who turns the head in front of one camera and acts no expression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sage_ns.motion.curves import smooth_curve
from sage_ns.rig import HeadModel
from sage_ns.synthetic.motion import Curves, expression_row, joined, rest

PITCH_SHARE = 1 / 3
"""Nods reach this part of the turn to the side: 20 degrees of pitch for 60 degrees of yaw."""
NODS = 4.5
"""Nods while the head turns to one side, to the other, and back. Half a nod more than a whole number: the way back
shows other directions than the way out, and only the first moment is both frontal and level."""
ROOT_SHARE = 2 / 3
"""Part of the turn that the shoulders make (root joint); the neck makes the rest."""
FRAMES_PER_BLINK = 20
SPEAKING = (0.03, 0.25)
"""Mouth slightly open: opening of the jaw in radians, and how far the lips part."""
_INVOLUNTARY = {"brow_inner_raise": 0.06, "brow_lower": 0.05, "squint": 0.05, "mouth_smile": 0.06, "lips_part": 0.05}
_INSTANTS = (-0.5, -0.25, 0.25, 0.5)
"""Instants of an exposure besides its middle, as parts of it."""


def turn_head(model: HeadModel, num_timesteps: int, turn: float, seed: int) -> Curves:
    """Create a turn of the head to one side, to the other and back, with nods on the way.

    The first moment is frontal with the mouth slightly open. Brows, lids and mouth move a little, as in a person who
    tries to keep still, and there is a blink in about every twentieth picture.

    Args:
        model: The built-in head (the function finds expressions by name).
        num_timesteps: Number of moments, spread evenly over the turn.
        turn: Largest yaw to each side in degrees.
        seed: Seed of the person.
    """
    first = rest(model, *SPEAKING)
    num = num_timesteps - 1
    if num == 0:
        return first
    rng = np.random.default_rng([seed, 510])
    p = np.arange(1, num_timesteps) / num_timesteps
    nod, side = np.sin(2 * np.pi * NODS * p) * turn * PITCH_SHARE, np.sin(2 * np.pi * p) * turn
    tremor = smooth_curve(p, 12, rng, 3) * (0.8, 0.8, 2.0)
    angles = np.radians(np.stack([nod, side, 0.0 * p], axis=-1) + tremor)
    moves = np.abs(smooth_curve(p, 12, rng, len(_INVOLUNTARY)))
    rows = [expression_row(model, {name: size}) for name, size in _INVOLUNTARY.items()]
    expr = first.expr + moves @ np.stack(rows)
    lids = expression_row(model, {"blink": 1.0})
    for moment in rng.integers(num, size=max(1, num // FRAMES_PER_BLINK)):
        expr[moment] = np.where(lids > 0, rng.uniform(0.6, 1.0) * lids, expr[moment])
    gaze = smooth_curve(p, 12, rng, 2) * 0.04
    jaw = np.clip(SPEAKING[0] + 0.006 * smooth_curve(p, 12, rng, 1), 0.0, None) * (1.0, 0.0, 0.0)
    sway = smooth_curve(p, 6, rng, 3) * (0.003, 0.002, 0.003)
    still = np.zeros((num, 1))
    turning = Curves(
        expr=expr,
        rotation=ROOT_SHARE * angles,
        neck_pose=(1.0 - ROOT_SHARE) * angles,
        jaw_pose=jaw,
        eyes_pose=np.concatenate([gaze, still, gaze, still], axis=-1),
        translation=sway,
    )
    return joined(first, turning)


def exposures(motion: Curves, num_turning: int, degrees: float) -> tuple[Curves, ...]:
    """Return a motion at further instants of an exposure in which the turning head moves by this angle.

    Args:
        motion: Motion that begins with the `num_turning` moments of `turn_head`; later moments do not move.
        num_turning: Number of turning moments.
        degrees: Angle that the head turns through while the shutter is open.

    Returns:
        The motion at instants before and after each moment, evenly spread over the exposure.
    """
    p = np.arange(num_turning) / num_turning
    speed = np.stack([NODS * PITCH_SHARE * np.cos(2 * np.pi * NODS * p), np.cos(2 * np.pi * p), 0.0 * p], axis=-1)
    direction = np.zeros_like(motion.rotation)
    direction[:num_turning] = speed / np.maximum(np.linalg.norm(speed, axis=-1, keepdims=True), 1e-9)
    sweep = np.radians(degrees) * direction
    return tuple(
        replace(
            motion,
            rotation=motion.rotation + ROOT_SHARE * part * sweep,
            neck_pose=motion.neck_pose + (1.0 - ROOT_SHARE) * part * sweep,
        )
        for part in _INSTANTS
    )


def exposure_gains(num_turning: int, stops: float, seed: int) -> Float[np.ndarray, "num_turning"]:
    """Return factors on linear light of a camera that sets its exposure on its own.

    Args:
        num_turning: Number of turning moments.
        stops: Largest deviation from the exposure of the first moment, which is 1: factors are 2^-stops to 2^stops.
        seed: Seed of the person.
    """
    rng = np.random.default_rng([seed, 511])
    p = np.arange(num_turning) / num_turning
    curve = smooth_curve(p, 5, rng, 1)[:, 0]
    curve -= curve[0]
    return 2.0 ** (stops * curve / max(np.abs(curve).max(), 1e-9))
