"""Motion from ARKit's 52 blendshape coefficients, as phones and webcam trackers send them.

The names are those of `ARFaceAnchor.BlendShapeLocation` (Apple's documentation: 0 is neutral, 1 is the maximum; left
and right are the face's own). If the rig has an expression of that name, spelled as in ARKit (`mouthSmileLeft`), as in
ICT-FaceKit (`mouthSmile_L`) or as in this package (`mouth_smile_left`), the coefficient sets that expression
unchanged. For all other names a table lists the named or fitted moves (`sage_ns.motion.face.moves`) that replace it.
Coefficients of jaw and eyes turn their joints.
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
from sage_ns.motion.face.arkit_names import ARKIT_NAMES as ARKIT_NAMES
from sage_ns.motion.face.arkit_names import NAMES_BY_KEY, SIDES, name_key
from sage_ns.motion.face.moves import FaceMoves, face_moves
from sage_ns.motion.limits import MotionLimits
from sage_ns.rig import NUM_POSE, FlameParams, HeadModel


class ArkitError(SageError):
    """Blendshape coefficients have unknown names, are out of range or not finite."""


JAW_OPEN = 0.44
"""Rotation of the jaw's joint at jawOpen 1, radians: it opens ICT-FaceKit's jaw as far as the shape jawOpen does."""
JAW_ASIDE = 0.105
"""Rotation of the jaw's joint at jawLeft or jawRight 1, radians; chosen in the same way."""
LOOK_ASIDE, LOOK_UP_DOWN = 0.60, 0.45
"""Rotation of an eye at 1, radians. Apple gives no angles; beyond these, people turn the head."""

Weights = Mapping[str, float]


def _sided(arkit: str, move: str, weight: float = 1.0) -> dict[str, Weights]:
    return {f"{arkit}{side}": {f"{move}_{side.lower()}": weight} for side in SIDES}


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
"""Replacements on rigs that name their expressions as the built-in head does; all other ARKit names match directly."""

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
"""Replacements on rigs without names: weights of fitted moves, chosen to match ICT-FaceKit's shapes of ARKit's names on
the rig made from it (least squares over all vertices; at most 1.5, to keep coefficients in their usual range)."""

_JAW, _LEFT_EYE, _RIGHT_EYE = (part.start for part in (FlameParams.JAW, FlameParams.LEFT_EYE, FlameParams.RIGHT_EYE))
"""First entry of each joint in a motion vector."""
_COLUMNS = {name: column for column, name in enumerate(ARKIT_NAMES)}
_TURNS: Mapping[str, tuple[int, float]] = {
    "jawOpen": (_JAW, JAW_OPEN),
    # The chin lies along +z and the face's left is +x: a rotation about +y moves the chin to the left.
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
"""Entry of the motion vector and radians at coefficient 1; used if the rig has no expression of that name."""


@dataclass(frozen=True, eq=False)
class ArkitMap:
    """Effect of ARKit's coefficients on one rig: a motion vector for each, and two rules for pairs of them.

    If the rig has no shape mouthClose, that coefficient cancels jawOpen: the lips stay closed, but the chin does not
    lower. If the rig has no shape eyeBlink, a blink fades out squint and wide eyes, which keeps the lids from passing
    through each other.
    """

    model: HeadModel
    directions: Float[Tensor, "52 num_coefficients"]
    """Motion vector at coefficient 1, in the order of `ARKIT_NAMES`."""
    not_representable: tuple[str, ...]
    """Names that have no effect on this rig."""
    own: frozenset[str]
    """Names that the rig has an expression for, in any of the known spellings."""

    @classmethod
    def of(cls, model: HeadModel) -> ArkitMap:
        """Build the map of a rig. Rigs without names take a second, because moves are fitted to their geometry."""
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
        """Convert one moment; see `arkit_motion`."""
        given = _checked(coefficients)
        scores = torch.tensor([[given[name] for name in ARKIT_NAMES]])
        moved = self.sequence(scores, _checked_turn(head)[None])
        clamped, _ = MotionLimits.of(self.model).clamp(moved.motion_vector())
        clamped = clamped.to(self.model.v_template.device)
        return FlameParams.from_motion_vector(clamped, FlameParams.neutral(self.model))

    def sequence(
        self, scores: Float[Tensor, "num_moments 52"], head: Float[Tensor, "num_moments 3"] | None = None
    ) -> FlameParams:
        """Convert a recording to motion on the CPU, without an identity and not yet clamped to the rig's limits.

        Args:
            scores: 0..1, in the order of `ARKIT_NAMES`.
            head: Rotation of the head, see `arkit_motion`; None: the head does not turn.
        """
        at = _COLUMNS
        given = scores.clone()
        if "mouthClose" not in self.own:
            given[:, at["jawOpen"]] = (given[:, at["jawOpen"]] - given[:, at["mouthClose"]]).clamp_min(0.0)
        for side in SIDES:
            if f"eyeBlink{side}" not in self.own:
                for name in (f"eyeSquint{side}", f"eyeWide{side}"):
                    given[:, at[name]] *= 1.0 - given[:, at[f"eyeBlink{side}"]]
        vectors = given @ self.directions
        if head is not None:
            vectors[:, FlameParams.NECK] = head
        return FlameParams.from_motion_vector(vectors)


def arkit_motion(
    coefficients: Mapping[str, float], model: HeadModel, head: Sequence[float] = (0.0, 0.0, 0.0)
) -> FlameParams:
    """Convert ARKit's coefficients to one moment of FLAME motion.

    Args:
        coefficients: 0..1 by name; absent names are 0. ARKit's raw spelling (`mouthSmile_L`) and any capitalisation
            are accepted; MediaPipe's `_neutral` is ignored.
        model: The rig to move, `avatar.rig.head_model`. Its map is computed once and kept.
        head: Rotation of the head: axis times radians, x to the face's left, y up, z out of the face, as in ARKit's
            face anchor. It becomes the rotation of the neck.

    Raises:
        ArkitError: A name is unknown, or a value is not a finite number in 0..1; names it.
    """
    return _map_of(model).motion(coefficients, head)


@lru_cache(maxsize=1)
def _map_of(model: HeadModel) -> ArkitMap:
    return ArkitMap.of(model)


def _own_shapes(name: str, face: FaceMoves) -> list[np.ndarray]:
    """Return the rig's expression of that name, or its left and right half (ICT-FaceKit splits browInnerUp)."""
    if not face.is_named:
        return []
    moves = {name_key(move): row for move, row in face.moves.items()}
    key = name_key(name)
    if key in moves:
        return [moves[key]]
    halves = [moves[key + side.lower()] for side in SIDES if key + side.lower() in moves]
    return halves if len(halves) == len(SIDES) else []


def _stand_in(name: str, face: FaceMoves) -> np.ndarray | None:
    """Return the table's weighted sum of moves; None if the table has no entry or the rig lacks one of the moves."""
    weights = (_BY_NAME if face.is_named else _BY_FIT).get(name)
    if weights is None or not set(weights) <= set(face.moves):
        return None
    return np.sum([weight * face.moves[move] for move, weight in weights.items()], axis=0)


def _checked(coefficients: Mapping[str, float]) -> dict[str, float]:
    """Check coefficients and return all 52 by ARKit's own names."""
    given = dict.fromkeys(ARKIT_NAMES, 0.0)
    for spelled, value in coefficients.items():
        key = name_key(spelled)
        if key == "neutral":
            continue
        if key not in NAMES_BY_KEY:
            near = difflib.get_close_matches(key, NAMES_BY_KEY, n=1)
            hint = f" Did you mean '{NAMES_BY_KEY[near[0]]}'?" if near else ""
            raise ArkitError(f"'{spelled}' is not one of ARKit's 52 blendshapes.{hint}")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
            raise ArkitError(f"'{spelled}' is {value!r}; expected a number in 0..1")
        given[NAMES_BY_KEY[key]] = float(value)
    return given


def _checked_turn(head: Sequence[float]) -> Float[Tensor, "3"]:
    turn = torch.tensor([float(angle) for angle in head])
    if turn.shape != (3,) or not bool(torch.isfinite(turn).all()) or float(turn.norm()) > math.pi:
        raise ArkitError(f"'head' is {list(head)}; expected three finite numbers, axis times radians")
    return turn
