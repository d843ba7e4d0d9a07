"""What a living head can do: limits of FLAME's pose and expression parameters.

Driving motion comes from trackers, which now and then lose the face. Beyond these limits there is nothing to learn, and
the mesh folds over itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.rig import FlameParams

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel

JAW_LIMITS = ((-0.1, 0.6), (-0.15, 0.15), (-0.15, 0.15))
"""Radians about x (opening), y (sideways) and z (tilt). Incisors part by at most about 55 mm and slide about 12 mm
sideways, 95 mm in front of the joint: asin(55 / 95) = 0.6, atan(12 / 95) = 0.13. Slightly closed beyond rest: trackers
press lips that way."""
NECK_LIMITS = ((-0.8, 0.8), (-1.05, 1.05), (-0.8, 0.8))
"""Radians: 45 degrees of bending and tilting, 60 of turning, the cervical spine's usual range in clinical tables."""
EYE_LIMITS = ((-0.8, 0.8), (-0.9, 0.9), (-0.2, 0.2))
"""Radians: eyes turn by 45 to 50 degrees at most; they hardly roll."""
COMPONENT_LIMITS = (-6.0, 6.0)
"""Coefficients of unnamed (principal) components, whose unit is one standard deviation. Rare and local moves lie far
from the mean: trackers put closed eyes at 5."""
NAMED_LIMITS = (-0.3, 1.3)
"""Coefficients of named expressions, made for 0..1: room for the tracker's noise, and for what artists exaggerate."""


@dataclass(frozen=True, eq=False)
class MotionLimits:
    """Lowest and highest motion vector. Where the head is (`FlameParams.HEAD`) has no limits."""

    low: Float[Tensor, "num_coefficients"]
    high: Float[Tensor, "num_coefficients"]

    @classmethod
    def of(cls, model: HeadModel) -> MotionLimits:
        """Limits for a head model: its expressions' by whether they have names."""
        head = ((-torch.inf, torch.inf),) * FlameParams.HEAD.stop
        expression = (NAMED_LIMITS if model.expression_names else COMPONENT_LIMITS,) * model.num_expression
        bounds = (*head, *NECK_LIMITS, *JAW_LIMITS, *EYE_LIMITS, *EYE_LIMITS, *expression)
        low, high = torch.tensor(bounds).unbind(-1)
        return cls(low, high)

    def clamp(
        self, vectors: Float[Tensor, "num_moments num_coefficients"]
    ) -> tuple[Float[Tensor, "num_moments num_coefficients"], list[str]]:
        """Motion vectors within the limits, and one sentence for each part that had to be cut."""
        cut = vectors.clamp(self.low, self.high)
        notes = []
        for name, columns in _LIMITED.items():
            changed = (cut != vectors)[:, columns]
            if bool(changed.any()):
                column = int((cut - vectors)[:, columns].abs().amax(dim=0).argmax())
                farthest = vectors[:, columns][:, column]
                low, high = float(self.low[columns][column]), float(self.high[columns][column])
                worst = farthest[(farthest - farthest.clamp(low, high)).abs().argmax()]
                notes.append(
                    f"{name} of {int(changed.any(dim=1).sum())} of {len(vectors)} moments "
                    f"(found {float(worst):.3g}, limits {low:.3g}..{high:.3g})"
                )
        return cut, notes


_LIMITED = {
    "neck_pose": FlameParams.NECK,
    "jaw_pose": FlameParams.JAW,
    "eyes_pose": FlameParams.EYES,
    "expr": FlameParams.EXPRESSION,
}
