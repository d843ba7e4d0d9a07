"""Choice of the canonical moment: a face seen from the front, at rest, with open eyes and slightly parted lips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.flame_table import expression_magnitude
from sage_ns.capture.frames import Frame
from sage_ns.capture.head_direction import SeenFrom, seen_from
from sage_ns.capture.sharp_frames import sharpness_of
from sage_ns.rig import FlameParams, HeadModel, concatenate, identity_vertices
from sage_ns.rig.openings import Opening, eye_opening, mouth_opening

_OPEN_EYE, _PER_CLOSED_MM = 8.0, 2.0
"""Opening of lids in millimetres that counts as open, and cost per millimetre below it."""
_PARTED, _PER_PARTED_MM = 3.0, 0.5
"""Millimetres between the lips up to which parting them helps, and gain per millimetre: colours of both lips are seen,
and none of the teeth. Each millimetre more costs as much."""
_PER_YAW, _PER_PITCH = 0.05, 0.03
"""Cost per degree that the nearest camera is beside the front."""
_JUDGED, _BLUR = 12, 0.5
"""Number of best moments whose pictures are compared for sharpness, and cost of one without any detail."""
_BESIDE = 45.0
"""Degrees beside the front from which on a picture hides half of the face."""


@dataclass(frozen=True, eq=False)
class CanonicalMoment:
    """The chosen moment and the reason."""

    timestep: int
    reason: str
    """Its figures, for the report: "expression 0.2 mm, ..."."""
    warning: str | None = None
    """What is wrong with the best moment; None if nothing is."""


@dataclass(frozen=True, eq=False)
class _Figures:
    """What the cost is made of, one row for each candidate; all costs are in millimetres of expression."""

    expression: Float[Tensor, "num_candidates"]
    """Millimetres that the expression moves the face, without the jaw where the lips tell how open the mouth is."""
    lids: Float[Tensor, "num_candidates"] | None
    """Millimetres between the lids of the eye that is closed further."""
    lips: Float[Tensor, "num_candidates"] | None
    """Millimetres between the lips."""
    front: SeenFrom
    """Direction of the most frontal camera."""

    def cost(self) -> Float[Tensor, "num_candidates"]:
        """Cost without sharpness."""
        cost = self.expression + _PER_YAW * self.front.yaw.abs() + _PER_PITCH * self.front.pitch.abs()
        if self.lids is not None:
            cost = cost + _PER_CLOSED_MM * (_OPEN_EYE - self.lids).clamp_min(0.0)
        if self.lips is not None:
            cost = cost - _PER_PARTED_MM * (self.lips.clamp(0.0, _PARTED) - (self.lips - _PARTED).clamp_min(0.0))
        return cost

    def reason(self, row: int) -> str:
        parts = [f"expression {self.expression[row]:.1f} mm"]
        if self.lids is not None:
            parts.append(f"lids open {self.lids[row]:.1f} mm")
        if self.lips is not None:
            parts.append(f"lips parted {self.lips[row]:.1f} mm")
        yaw, pitch = self.front.yaw[row], self.front.pitch[row]
        # Adding 0 turns -0 into 0.
        parts.append(f"seen from {round(float(yaw)) + 0:+d} degrees sideways and {round(float(pitch)) + 0:+d} upwards")
        return ", ".join(parts)

    def warning(self, row: int, timestep: int) -> str | None:
        off = float(self.front.off_front[row])
        if off < _BESIDE:
            return None
        return (
            f"No training picture shows the face from the front: the best one, of timestep {timestep}, is {off:.0f} "
            "degrees beside it. Eyes, nose and mouth will be guesses; check that the head faces a camera."
        )


def choose_canonical(
    frames: Sequence[Frame], candidates: Sequence[int], moments: Mapping[int, FlameParams], model: HeadModel
) -> CanonicalMoment:
    """Return the moment with the least cost: expression, closed lids, closed lips, seen from beside the front, blur.

    What does not differ between the candidates, such as the directions of a rig's cameras, has no effect. Sharpness is
    compared only where each candidate has one picture.

    Args:
        frames: training frames.
        candidates: timestep ids to choose from, ascending; each has a frame.
        moments: parameters by timestep id.
        model: head model of the capture.

    Raises:
        CaptureError: a picture that has to be compared cannot be read.
    """
    by_timestep: dict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_timestep[frame.timestep].append(frame)
    figures = _figures(by_timestep, candidates, moments, model)
    cost = figures.cost()
    if len(candidates) > 1 and all(len(by_timestep[timestep]) == 1 for timestep in candidates):
        best = cost.argsort(stable=True)[:_JUDGED].tolist()
        sharpness = torch.tensor(sharpness_of([by_timestep[candidates[row]][0] for row in best]))
        blurred = 1.0 - sharpness / sharpness.amax().clamp_min(1e-12)
        others = torch.full_like(cost, torch.inf)
        others[best] = cost[best] + _BLUR * blurred
        cost = others
    row = int(cost.argmin())
    timestep = candidates[row]
    return CanonicalMoment(timestep, figures.reason(row), figures.warning(row, timestep))


def _figures(
    by_timestep: Mapping[int, Sequence[Frame]],
    candidates: Sequence[int],
    moments: Mapping[int, FlameParams],
    model: HeadModel,
) -> _Figures:
    identity = moments[candidates[0]]
    params = concatenate([moments[timestep].with_identity(identity) for timestep in candidates])
    # The gaps of this person's face, not of the mean head's.
    personal = replace(model, v_template=identity_vertices(model, identity))
    lids = [_gap(eye_opening(personal, side), params) for side in ("left", "right")]
    open_lids = [gap for gap in lids if gap is not None]
    counts = [len(by_timestep[timestep]) for timestep in candidates]
    seen = seen_from([frame for timestep in candidates for frame in by_timestep[timestep]], moments, model)
    by_moment = zip(seen.directions.split(counts), seen.off_front.split(counts), strict=True)
    front = torch.stack([directions[int(off.argmin())] for directions, off in by_moment])
    lips = _gap(mouth_opening(personal), params)
    closed = params if lips is None else replace(params, jaw_pose=torch.zeros_like(params.jaw_pose))
    return _Figures(
        1000 * expression_magnitude(closed, model),
        torch.stack(open_lids).amin(dim=0) if open_lids else None,
        lips,
        SeenFrom(front),
    )


def _gap(opening: Opening | None, params: FlameParams) -> Float[Tensor, "num_timesteps"] | None:
    """Return the mean gap of an opening in millimetres; None if the rig does not have it."""
    if opening is None:
        return None
    expr, jaw = (values.double().numpy() for values in (params.expr, params.jaw_pose[:, 0]))
    return torch.from_numpy(1000 * np.asarray(opening.gap(expr, jaw)).mean(axis=-1)).float()
