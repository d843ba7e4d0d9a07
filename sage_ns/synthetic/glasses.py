"""Glasses of the synthetic person: a thin frame without lenses, which rides with the skull."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sage_ns.rig import HeadModel
from sage_ns.synthetic.head.surface import EYE_CENTER
from sage_ns.synthetic.person_look import PersonLook
from sage_ns.synthetic.strands import Lines, Strands, attach, nearest_triangles

_PLANE = 70.0
"""z (mm) of the rims' plane before the eyes."""
_NUM_POINTS = 40
_HELD_BY = np.array([[0.0, 108.0, 42.0]])
"""Place on the scalp (mm) whose triangle carries the frame: no expression moves it."""
FRAMES: Mapping[str, tuple[float, float, float, float]] = {
    "round": (20.0, 19.0, 2.0, 1.3), "oval": (24.0, 15.5, 2.4, 1.6), "square": (25.0, 17.5, 5.0, 2.6),
}  # fmt: skip
"""Frames by name: half width and half height (mm) of a rim, exponent of its outline (2 = ellipse), thickness (mm)."""


def frame_lines(name: str) -> Lines:
    """Return the lines of a frame on the mean head (mm): two rims, a bridge and two temples."""
    half_width, half_height, exponent, _ = FRAMES[name]
    angle = np.linspace(0.0, 2.0 * np.pi, _NUM_POINTS)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    outline = np.sign(around) * np.abs(around) ** (2.0 / exponent)
    x = EYE_CENTER[0] + 2.0 + half_width * outline[:, 0]
    y = EYE_CENTER[1] - 2.0 + half_height * outline[:, 1]
    rim = np.stack([x, y, _PLANE - 0.0045 * x**2 + 0.05 * (y - EYE_CENTER[1])], axis=-1)
    t = np.linspace(-1.0, 1.0, _NUM_POINTS)
    inner = EYE_CENTER[0] + 2.0 - half_width
    bridge = np.stack([inner * t, EYE_CENTER[1] + 3.0 + 3.0 * (1.0 - t**2), _PLANE + 4.0 * (1.0 - t**2)], axis=-1)
    back = 0.5 + 0.5 * t
    outer = EYE_CENTER[0] + 2.0 + half_width
    start = np.array([outer, EYE_CENTER[1] + 3.0, _PLANE - 0.0045 * outer**2])
    side = start + (np.array([82.0, 33.0, -30.0]) - start) * back[:, None]
    side[:, 0] = outer + (82.0 - outer) * np.sqrt(np.clip(1.5 * back, 0.0, 1.0))
    side[:, 1] -= 9.0 * np.clip(back - 0.85, 0.0, 1.0) / 0.15
    flip = np.array([-1.0, 1.0, 1.0])
    return np.stack([rim, rim * flip, bridge, side, side * flip])


def make_glasses(model: HeadModel, shape: Float[np.ndarray, "num_shape"], look: PersonLook) -> tuple[Strands, ...]:
    """Return the frame of the person's glasses; nothing for a person without."""
    if look.glasses == "none":
        return ()
    rng = np.random.default_rng([look.seed, 106])
    line = frame_lines(look.glasses)
    tints = ((0.012, 0.012, 0.013), (0.060, 0.028, 0.015), (0.28, 0.25, 0.20), (0.035, 0.045, 0.08))
    color = np.broadcast_to(np.asarray(tints[rng.integers(len(tints))]), line.shape)
    triangle = np.repeat(nearest_triangles(model, "scalp", _HELD_BY), len(line))
    width = np.full(line.shape[:2], FRAMES[look.glasses][3])
    side = np.tile([0.0, 0.0, 1.0], (len(line), 1))
    return (attach(line, triangle, side, width, color, model, shape, tabled=False),)
