"""Limits of FLAME's pose and expression parameters for a living head.

Driving motion comes from trackers, which sometimes lose the face. Beyond these limits the parameters are wrong, and the
mesh folds over itself. `bounded` is for every road by which motion reaches an avatar: it refuses motion that is wrong
as a whole (degrees instead of radians, values that are not finite), and clamps single values with a note.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.rig import FlameParams, check_plausible
from sage_ns.rig.eyelids import EYELID_NAMES, has_eyelids

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel

JAW_LIMITS = ((-0.1, 0.6), (-0.15, 0.15), (-0.15, 0.15))
"""Radians about x (opening), y (sideways) and z (tilt). Incisors part by at most about 55 mm and slide about 12 mm
sideways, 95 mm in front of the joint: asin(55 / 95) = 0.6, atan(12 / 95) = 0.13. Negative openings are allowed, because
trackers use them for pressed lips."""
NECK_LIMITS = ((-0.8, 0.8), (-1.05, 1.05), (-0.8, 0.8))
"""Radians: 45 degrees of bending and tilting, 60 of turning, the cervical spine's usual range in clinical tables."""
EYE_LIMITS = ((-0.8, 0.8), (-0.9, 0.9), (-0.2, 0.2))
"""Radians: eyes turn by 45 to 50 degrees at most; they hardly roll."""
COMPONENT_LIMITS = (-6.0, 6.0)
"""Coefficients of unnamed (principal) components, in standard deviations. Rare and local moves lie far from the mean:
trackers find values of 5 for closed eyes."""
NAMED_LIMITS = (-0.3, 1.3)
"""Coefficients of named expressions, which are made for 0..1, with a margin for tracking noise and exaggeration."""


@dataclass(frozen=True, eq=False)
class MotionLimits:
    """Lowest and highest motion vector. Global translation and rotation (`FlameParams.HEAD`) have no limits."""

    low: Float[Tensor, "num_coefficients"]
    high: Float[Tensor, "num_coefficients"]

    @classmethod
    def of(cls, model: HeadModel) -> MotionLimits:
        """Return the limits of a head model; those of its expressions depend on whether they have names."""
        head = ((-torch.inf, torch.inf),) * FlameParams.HEAD.stop
        num_lids = len(EYELID_NAMES) if has_eyelids(model) else 0
        components = (NAMED_LIMITS if model.expression_names else COMPONENT_LIMITS,) * (model.num_expression - num_lids)
        expression = (*components, *(NAMED_LIMITS,) * num_lids)
        bounds = (*head, *NECK_LIMITS, *JAW_LIMITS, *EYE_LIMITS, *EYE_LIMITS, *expression)
        low, high = torch.tensor(bounds).unbind(-1)
        return cls(low, high)

    def clamp(
        self, vectors: Float[Tensor, "num_moments num_coefficients"]
    ) -> tuple[Float[Tensor, "num_moments num_coefficients"], list[str]]:
        """Return motion vectors clamped to the limits, and a note for each part that exceeded them."""
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


def within_limits(params: FlameParams, model: HeadModel) -> tuple[FlameParams, list[str]]:
    """Return motion clamped to the limits of a living head, and a note for each part that exceeded them.

    Args:
        params: Motion that fits the model; a sum of two motions can exceed the limits even if neither of them does.
        model: The head model that the motion moves.
    """
    clamped, notes = MotionLimits.of(model).clamp(params.motion_vector().cpu())
    notes = [f"Clamped {note}" for note in notes]
    return FlameParams.from_motion_vector(clamped.to(params.expr), like=params), notes


def check_motion(motion: Motion) -> None:
    """Check that a head can make the motion, see `check_plausible`.

    Raises:
        FlameParamsError: It cannot; names the motion's source, the timestep, the field and the value.
    """
    check_plausible(motion.params, lambda row: f"{motion.source}: timestep {int(motion.timesteps[row])}")


def bounded(motion: Motion, model: HeadModel) -> Motion:
    """Return the motion for a head model, clamped to the limits of a living head, with a note for what was clamped.

    Raises:
        FlameParamsError: No head can make the motion, or it uses more expression coefficients than the model has.
    """
    check_motion(motion)
    fitted = motion.fitted(model)
    params, clamped = within_limits(fitted.params, model)
    return replace(fitted, params=params, notes=(*fitted.notes, *clamped)) if clamped else fitted


_LIMITED = {
    "neck_pose": FlameParams.NECK,
    "jaw_pose": FlameParams.JAW,
    "eyes_pose": FlameParams.EYES,
    "expr": FlameParams.EXPRESSION,
}
