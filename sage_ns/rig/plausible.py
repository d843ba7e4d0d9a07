"""Refusal of FLAME parameters that no head can have: angles in degrees, other units, absurd and non-finite values.

Values that are merely beyond what a living head does (`sage_ns.motion.limits`) are clamped there. Here are the values
that show that the whole sequence is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import FlameParamsError
from sage_ns.rig.flame_params import FlameParams

MOST_DEGREES = 400.0
"""Larger angles are neither radians nor degrees of a head."""
MOST_METRES = 100.0
"""Farthest distance of a head from the world's origin; larger translations are in millimetres or are damaged."""
MOST_COEFFICIENT = 100.0
"""Largest shape or expression coefficient, in standard deviations. Trackers that fail reach 20 to 30."""
MOST_OFFSET = 1.0
"""Metres: largest static offset of a vertex."""
EVIDENT_SHARE = 0.1
"""Share of moments beyond the limits of a joint from which on a sequence with an impossible rotation counts as given
in degrees. Below it, a tracker that lost the face for some moments is the likelier cause."""

_JOINTS = {
    "rotation": (FlameParams.ROTATION, 2 * math.pi, 2 * math.pi),
    "neck_pose": (FlameParams.NECK, 1.05, math.pi),
    "jaw_pose": (FlameParams.JAW, 0.6, math.pi),
    "eyes_pose": (FlameParams.EYES, 0.9, math.pi),
}
"""Field, its part of the motion vector, and two angles in radians: the farthest that the joint turns in a living head,
and an angle that no axis-angle of that joint reaches."""
_TRACK_AGAIN = "Track or export the sequence again."


def check_plausible(params: FlameParams, place: Callable[[int], str]) -> None:
    """Check that a head can have this motion and this identity.

    Args:
        params: The parameters of a whole sequence, or of one moment.
        place: Returns the file and the timestep of a row, as the beginning of the message.

    Raises:
        FlameParamsError: A value is not finite, an angle is in degrees, a length is not in metres, or a coefficient is
            absurd. Names the place, the field and the value.
    """
    vectors = params.motion_vector().detach().cpu()
    translation, expr = vectors[:, FlameParams.TRANSLATION], vectors[:, FlameParams.EXPRESSION]
    _check_range("translation", translation, MOST_METRES, "metres: divide millimetres by 1000", place)
    _check_range("expr", expr, MOST_COEFFICIENT, f"coefficients in standard deviations. {_TRACK_AGAIN}", place)
    for name, (part, usual, impossible) in _JOINTS.items():
        _check_range(name, vectors[:, part], MOST_DEGREES, f"angles in radians. {_TRACK_AGAIN}", place)
        _check_radians(name, vectors[:, part], usual, impossible, place)
    check_identity(params, place(0) if len(vectors) else "")


def check_identity(params: FlameParams, place: str) -> None:
    """Check that a head can have this shape and static offset.

    Args:
        params: The parameters.
        place: The file, and the timestep if it has several, as the beginning of the message.

    Raises:
        FlameParamsError: A coefficient is absurd, or an offset is not in metres.
    """
    shape = params.shape.detach().cpu()[None]
    expected = f"coefficients in standard deviations. {_TRACK_AGAIN}"
    _check_range("shape", shape, MOST_COEFFICIENT, expected, lambda row: place)
    if params.static_offset is not None:
        offset = params.static_offset.detach().cpu().reshape(1, -1)
        _check_range("static_offset", offset, MOST_OFFSET, "metres: divide millimetres by 1000", lambda row: place)


def _check_range(
    name: str, values: Float[Tensor, "num_rows n"], most: float, expected: str, place: Callable[[int], str]
) -> None:
    # A comparison with NaN is false: non-finite values are outside.
    outside = ~(values.abs() <= most)
    if bool(outside.any()):
        row, column = outside.nonzero()[0].tolist()
        found = f"{float(values[row, column]):.3g}"
        raise FlameParamsError(f"{place(row)}: '{name}': found {found}, expected at most {most:g} in {expected}")


def _check_radians(
    name: str, angles: Float[Tensor, "num_rows n"], usual: float, impossible: float, place: Callable[[int], str]
) -> None:
    turns = angles.unflatten(-1, (-1, 3)).norm(dim=-1).amax(dim=-1)
    share = float((turns > usual).to(torch.float32).mean()) if len(turns) else 0.0
    if share >= EVIDENT_SHARE and float(turns.max()) > impossible:
        row = int(turns.argmax())
        value = angles[row][angles[row].abs().argmax()]
        raise FlameParamsError(
            f"{place(row)}: '{name}': found {float(value):.3g} rad; these look like degrees: convert to radians"
        )
