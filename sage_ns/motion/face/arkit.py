"""Driving by ARKit's 52 blendshape coefficients, as phones and webcam trackers send them.

The names are those of `ARFaceAnchor.BlendShapeLocation` (Apple's documentation: 0 is neutral, 1 the most that a face
does; left and right are the face's own). A rig that has an expression of that name, spelled as ARKit spells it
(`mouthSmileLeft`), as ICT-FaceKit does (`mouthSmile_L`) or as we do (`mouth_smile_left`), gets the coefficient as it
is. For others a table says which named or fitted moves (`sage_ns.motion.face.moves`) stand in. Jaw and eyes are
turned by their joints.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.motion.face.moves import FaceMoves, face_moves
from sage_ns.motion.limits import MotionLimits
from sage_ns.rig import NUM_POSE, FlameParams, HeadModel


class ArkitError(SageError):
    """Blendshape coefficients have unknown names, are out of range or not finite."""


_SIDES = ("Left", "Right")
ARKIT_NAMES: tuple[str, ...] = (
    *(f"eye{move}{side}" for side in _SIDES
      for move in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    *(f"mouth{move}{side}" for move in ("Smile", "Frown", "Dimple", "Stretch") for side in _SIDES),
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    *(f"mouth{move}{side}" for move in ("Press", "LowerDown", "UpperUp") for side in _SIDES),
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""ARKit's 52 names."""

JAW_OPEN = 0.44
"""Radians of the jaw's joint at jawOpen 1: what turns ICT-FaceKit's jaw as far as its shape jawOpen does."""
JAW_ASIDE = 0.105
"""Radians at jawLeft or jawRight 1; likewise."""
LOOK_ASIDE, LOOK_UP_DOWN = 0.60, 0.45
"""Radians of an eye at 1. Apple gives no angles; people look farther with the head."""

Weights = Mapping[str, float]


def _sided(arkit: str, move: str, weight: float = 1.0) -> dict[str, Weights]:
    return {f"{arkit}{side}": {f"{move}_{side.lower()}": weight} for side in _SIDES}


_BY_NAME: Mapping[str, Weights] = {
    **_sided("eyeBlink", "blink"),
    **_sided("eyeSquint", "squint"),
    **_sided("eyeWide", "eye_wide"),
    **_sided("browDown", "brow_lower"),
    **_sided("browOuterUp", "brow_outer_raise"),
    "browInnerUp": {"brow_inner_raise": 1.0},
    **_sided("cheekSquint", "cheek_raise"),
    **_sided("mouthDimple", "mouth_smile", 0.6),
    **_sided("mouthUpperUp", "upper_lip_raise"),
    **_sided("mouthLowerDown", "lower_lip_depress"),
    "mouthRollLower": {"lips_press": 0.5},
    "mouthRollUpper": {"lips_press": 0.5},
    "mouthShrugLower": {"chin_raise": 1.0},
    "mouthShrugUpper": {"upper_lip_raise_left": 0.65, "upper_lip_raise_right": 0.65},
}
"""Stand-ins on rigs that name their expressions as the built-in head does; the other names are alike."""

_BY_FIT: Mapping[str, Weights] = {
    **_sided("eyeBlink", "blink"),
    **_sided("eyeSquint", "squint", 0.5),
    **_sided("eyeWide", "eye_wide"),
    **_sided("browDown", "brow_lower", 0.5),
    **_sided("browOuterUp", "brow_outer_raise", 0.8),
    "browInnerUp": {"brow_inner_raise": 1.0},
    **_sided("noseSneer", "upper_lip_raise", 1.5),
    "mouthFunnel": {"mouth_funnel": 1.0},
    "mouthPucker": {"mouth_pucker": 0.9},
    "mouthLeft": {"mouth_left": 1.5},
    "mouthRight": {"mouth_right": 1.5},
    **_sided("mouthSmile", "mouth_smile", 1.5),
    **_sided("mouthFrown", "mouth_frown", 0.8),
    **_sided("mouthDimple", "mouth_smile", 0.6),
    **_sided("mouthStretch", "mouth_stretch", 1.4),
    "mouthRollLower": {"lips_press": 0.7},
    "mouthRollUpper": {"lips_press": 0.7},
    "mouthShrugUpper": {"upper_lip_raise_left": 0.65, "upper_lip_raise_right": 0.65},
    **_sided("mouthUpperUp", "upper_lip_raise", 1.5),
    **_sided("mouthLowerDown", "lower_lip_depress", 1.3),
}
"""Moves fitted to rigs without names, as strong as ICT-FaceKit's shapes of ARKit's names are on the rig made from it
(least squares over all vertices; at most 1.5, so that coefficients stay usual)."""

_JAW, _LEFT_EYE, _RIGHT_EYE = (part.start for part in (FlameParams.JAW, FlameParams.LEFT_EYE, FlameParams.RIGHT_EYE))
"""Where these begin in a motion vector."""
_TURNS: Mapping[str, tuple[int, float]] = {
    "jawOpen": (_JAW, JAW_OPEN),
    # The chin lies along +z, the face's left is +x: turning about +y moves it there.
    "jawLeft": (_JAW + 1, JAW_ASIDE),
    "jawRight": (_JAW + 1, -JAW_ASIDE),
    "eyeLookDownLeft": (_LEFT_EYE, LOOK_UP_DOWN),
    "eyeLookUpLeft": (_LEFT_EYE, -LOOK_UP_DOWN),
    "eyeLookOutLeft": (_LEFT_EYE + 1, LOOK_ASIDE),
    "eyeLookInLeft": (_LEFT_EYE + 1, -LOOK_ASIDE),
    "eyeLookDownRight": (_RIGHT_EYE, LOOK_UP_DOWN),
    "eyeLookUpRight": (_RIGHT_EYE, -LOOK_UP_DOWN),
    "eyeLookInRight": (_RIGHT_EYE + 1, LOOK_ASIDE),
    "eyeLookOutRight": (_RIGHT_EYE + 1, -LOOK_ASIDE),
}
"""Entry of the motion vector, and radians at coefficient 1, where the rig has no such expression."""


@dataclass(frozen=True, eq=False)
class ArkitMap:
    """What ARKit's coefficients do on one rig: a motion vector for each, and two rules for pairs of them.

    Where the rig has no shape mouthClose it takes back what jawOpen opens: lips that stay closed are seen, the lowered
    chin is not. Where lids have no shapes of ARKit's names, a blink fades out squint and wide eyes, so that the lids do
    not pass through each other.
    """

    model: HeadModel
    directions: Float[Tensor, "52 num_coefficients"]
    """Motion vector at coefficient 1, in the order of `ARKIT_NAMES`."""
    not_representable: tuple[str, ...]
    """Names that do nothing on this rig."""
    own: frozenset[str]
    """Names that the rig has an expression for, however it is spelled."""

    @classmethod
    def of(cls, model: HeadModel) -> ArkitMap:
        """Find out what the rig can do. Rigs without names take a second: moves are fitted to their geometry."""
        face = face_moves(model.to("cpu"))
        directions = torch.zeros(len(ARKIT_NAMES), NUM_POSE + model.num_expression)
        own, nothing = set(), []
        for row, name in zip(directions, ARKIT_NAMES, strict=True):
            shapes = _own_shapes(name, face)
            if shapes:
                own.add(name)
                row[FlameParams.EXPRESSION] = torch.from_numpy(np.sum(shapes, axis=0))
            elif name in _TURNS:
                entry, angle = _TURNS[name]
                row[entry] = angle
            elif (move := _stand_in(name, face)) is not None:
                row[FlameParams.EXPRESSION] = torch.from_numpy(move)
            elif name != "mouthClose":
                nothing.append(name)
        return cls(model, directions, tuple(nothing), frozenset(own))

    def motion(self, coefficients: Mapping[str, float], head: Sequence[float] = (0.0, 0.0, 0.0)) -> FlameParams:
        """One moment; see `arkit_motion`."""
        given = _checked(coefficients)
        if "mouthClose" not in self.own:
            given["jawOpen"] = max(given["jawOpen"] - given["mouthClose"], 0.0)
        for side in _SIDES:
            if f"eyeBlink{side}" not in self.own:
                for name in (f"eyeSquint{side}", f"eyeWide{side}"):
                    given[name] *= 1.0 - given[f"eyeBlink{side}"]
        vector = torch.tensor([given[name] for name in ARKIT_NAMES]) @ self.directions
        vector[FlameParams.NECK] = _checked_turn(head)
        clamped, _ = MotionLimits.of(self.model).clamp(vector[None])
        clamped = clamped.to(self.model.v_template.device)
        return FlameParams.from_motion_vector(clamped, FlameParams.neutral(self.model))


def arkit_motion(
    coefficients: Mapping[str, float], model: HeadModel, head: Sequence[float] = (0.0, 0.0, 0.0)
) -> FlameParams:
    """One moment of motion from ARKit's coefficients.

    Args:
        coefficients: 0..1 by name; names that are absent are 0. ARKit's raw spelling (`mouthSmile_L`) and capitals are
            understood, MediaPipe's `_neutral` is ignored.
        model: The rig to move, `avatar.rig.head_model`. What it can do is found out once.
        head: How the head is turned: axis times radians, x to the face's left, y up, z out of the face, as in ARKit's
            face anchor. The neck does it.

    Raises:
        ArkitError: A name is unknown, or a value is not a finite number in 0..1; names it.
    """
    return _map_of(model).motion(coefficients, head)


@lru_cache(maxsize=1)
def _map_of(model: HeadModel) -> ArkitMap:
    return ArkitMap.of(model)


def _key(name: str) -> str:
    """One spelling for `mouthSmileLeft`, `mouthSmile_L` and `mouth_smile_left`."""
    for short, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(short):
            name = name[: -len(short)] + side
    return name.replace("_", "").lower()


_NAMES_BY_KEY = {_key(name): name for name in ARKIT_NAMES}


def _own_shapes(name: str, face: FaceMoves) -> list[np.ndarray]:
    """The rig's own expression of that name, or its two halves (ICT-FaceKit has browInnerUp and cheekPuff by side)."""
    if not face.is_named:
        return []
    moves = {_key(move): row for move, row in face.moves.items()}
    key = _key(name)
    if key in moves:
        return [moves[key]]
    halves = [moves[key + side.lower()] for side in _SIDES if key + side.lower() in moves]
    return halves if len(halves) == len(_SIDES) else []


def _stand_in(name: str, face: FaceMoves) -> np.ndarray | None:
    """The weighted sum of moves that the table names; None where it names none, or the rig lacks one of them."""
    weights = (_BY_NAME if face.is_named else _BY_FIT).get(name)
    if weights is None or not set(weights) <= set(face.moves):
        return None
    return np.sum([weight * face.moves[move] for move, weight in weights.items()], axis=0)


def _checked(coefficients: Mapping[str, float]) -> dict[str, float]:
    """All 52 coefficients by ARKit's own names."""
    given = dict.fromkeys(ARKIT_NAMES, 0.0)
    for spelled, value in coefficients.items():
        key = _key(spelled)
        if key == "neutral":
            continue
        if key not in _NAMES_BY_KEY:
            near = difflib.get_close_matches(key, _NAMES_BY_KEY, n=1)
            hint = f" Did you mean '{_NAMES_BY_KEY[near[0]]}'?" if near else ""
            raise ArkitError(f"'{spelled}' is none of ARKit's 52 blendshapes.{hint}")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
            raise ArkitError(f"'{spelled}' is {value!r}; expected a number in 0..1")
        given[_NAMES_BY_KEY[key]] = float(value)
    return given


def _checked_turn(head: Sequence[float]) -> Float[Tensor, "3"]:
    turn = torch.tensor([float(angle) for angle in head])
    if turn.shape != (3,) or not bool(torch.isfinite(turn).all()) or float(turn.norm()) > math.pi:
        raise ArkitError(f"'head' is {list(head)}; expected three finite numbers, axis times radians")
    return turn
