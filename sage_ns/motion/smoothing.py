"""Smooth motion that was read from landmarks, without slowing down blinks and speech.

The One Euro filter (Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012) is a low-pass filter whose cutoff rises with speed: what rests is held still, what moves
passes.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.flame_params import NUM_POSE

_SLOWEST = 1.5
"""Hertz: cutoff for what rests. Lower ones lag visibly when something begins to move."""
_PER_SPEED = 0.08
"""Hertz of the cutoff per unit of noise and second. A blink of a tenth of a second has some 300 units per second."""
_OF_SPEED = 12.0
"""Hertz: cutoff for the speed; speed that is known late would swallow the first half of a blink."""
_NOISE = {"TRANSLATION": 0.004, "ROTATION": 0.01, "NECK": 0.01, "JAW": 0.012, "EYES": 0.03}
"""Size of the noise of fits to landmarks, metres and radians."""
_NOISE_OF_NAMED, _NOISE_OF_COMPONENTS = 0.04, 0.15
"""The same of expression coefficients: of named ones, made for 0..1, and of components, in standard deviations."""


class Smoother:
    """Smooths motion vectors as they come.

    Args:
        model: head model that the motion moves.
    """

    def __init__(self, model: HeadModel) -> None:
        noise = torch.full((NUM_POSE + model.num_expression,), _NOISE_OF_COMPONENTS)
        if model.expression_names:
            noise[NUM_POSE:] = _NOISE_OF_NAMED
        for part, size in _NOISE.items():
            noise[getattr(FlameParams, part)] = size
        self._noise = noise
        self._value: Tensor | None = None
        self._speed = torch.zeros_like(noise)

    def __call__(self, vector: Float[Tensor, "num_coefficients"], seconds: float) -> Float[Tensor, "num_coefficients"]:
        """Return the next smoothed vector.

        Args:
            vector: of this moment.
            seconds: since the last one.
        """
        if self._value is None:
            self._value = vector
            return vector
        seconds = max(seconds, 1e-3)
        speed = (vector - self._value) / self._noise / seconds
        self._speed = torch.lerp(self._speed, speed, _share(torch.tensor(_OF_SPEED), seconds))
        share = _share(_SLOWEST + _PER_SPEED * self._speed.abs(), seconds)
        self._value = torch.lerp(self._value, vector, share)
        return self._value


def smoothed(
    vectors: Float[Tensor, "num_moments num_coefficients"], fps: float, model: HeadModel
) -> Float[Tensor, "num_moments num_coefficients"]:
    """Return recorded motion smoothed without delay: the mean of one pass forwards and one backwards in time.

    Args:
        vectors: motion vectors, evenly spread in time.
        fps: moments per second.
        model: head model that the motion moves.
    """

    def passed(rows: Tensor) -> Tensor:
        smooth = Smoother(model)
        return torch.stack([smooth(row, 1 / fps) for row in rows])

    return vectors if len(vectors) < 2 else (passed(vectors) + passed(vectors.flip(0)).flip(0)) / 2


def _share(cutoff: Float[Tensor, "*n"], seconds: float) -> Float[Tensor, "*n"]:
    r"""Return the share of a new value, $1 / (1 + \frac{1}{2 \pi f \Delta t})$."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
