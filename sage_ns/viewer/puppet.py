"""What the panel holds: where motion comes from, and the motion vector that follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.motion.face.sliders import BLINK, FaceSlider, expression, random_expression
from sage_ns.motion.limits import EYE_LIMITS, JAW_LIMITS, NECK_LIMITS
from sage_ns.rig import FlameParams
from sage_ns.viewer.playback import Playback

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

Source = Literal["capture", "sequence", "manual"]
BLINK_SECONDS = 0.4
"""From open to closed to open; people take 0.1 to 0.4."""
_GLANCE = 8.0
"""Degrees that eyes wander off at most in a random expression."""


@dataclass(frozen=True)
class PoseSlider:
    """An angle of a joint, degrees; 0 is at rest."""

    name: str
    group: str
    """What it stands under."""
    low: float
    high: float
    hint: str = ""


def _slider(name: str, group: str, limits: tuple[float, float], hint: str = "") -> PoseSlider:
    low, high = (5.0 * math.trunc(math.degrees(each) / 5.0) for each in limits)
    return PoseSlider(name, group, low, high, hint)


_ASIDE = "as you see it from the front"
JAW_GROUP, HEAD_GROUP = "Jaw (degrees)", "Head and eyes (degrees)"
POSE_SLIDERS = (
    _slider("Jaw open", JAW_GROUP, (0.0, JAW_LIMITS[0][1])),
    _slider("Jaw aside", JAW_GROUP, JAW_LIMITS[1], _ASIDE),
    _slider("Head turn", HEAD_GROUP, NECK_LIMITS[1], _ASIDE),
    _slider("Head nod", HEAD_GROUP, NECK_LIMITS[0], "right: down"),
    _slider("Head tilt", HEAD_GROUP, NECK_LIMITS[2]),
    _slider("Eyes aside", HEAD_GROUP, EYE_LIMITS[1], _ASIDE),
    _slider("Eyes up", HEAD_GROUP, EYE_LIMITS[0], "left: down"),
)
"""Neck, jaw and both eyes, as far as a living head can go."""


class Puppet:
    """The state behind the panel; knows nothing of browsers.

    Args:
        avatar: whose motion this is.
        face: sliders of its face.
        playback: the driving sequence.
    """

    def __init__(self, avatar: Avatar, face: Sequence[FaceSlider], playback: Playback) -> None:
        self.avatar = avatar
        self.face = face
        self.playback = playback
        self.source: Source = "capture"
        self.values: dict[str, float] = {}
        """Of the sliders that are not at 0, by name: degrees of `POSE_SLIDERS`, strengths of the face's."""
        self.moves_head = False
        """Whether a sequence's translation and global rotation are taken, too."""
        self._blinking: float | None = None

    def motion(self) -> Float[Tensor, "num_coefficients"] | None:
        """What to show; None leaves it to the camera."""
        if self.source == "manual":
            return self.manual_motion()
        return self.driven_motion() if self.source == "sequence" else None

    def driven_motion(self) -> Float[Tensor, "num_coefficients"]:
        """The sequence's pose from the neck on and its expression, on the head where the canonical moment has it."""
        driver = self.playback.motion()
        if self.moves_head:
            return driver
        return torch.cat([self._canonical()[FlameParams.HEAD], driver[FlameParams.FROM_NECK]])

    def manual_motion(self) -> Float[Tensor, "num_coefficients"]:
        """What the sliders say; the neck turns from where it is at the canonical moment.

        With all of them at 0 this is `Avatar.neutral`.
        """
        neutral = FlameParams.from_motion_vector(self._canonical()[None])
        angle = {each.name: math.radians(self.values.get(each.name, 0.0)) for each in POSE_SLIDERS}
        turned = _turned(angle["Head nod"], angle["Head turn"], angle["Head tilt"])
        neck = matrix_to_axis_angle(axis_angle_to_matrix(neutral.neck_pose[0]) @ turned)
        eye = matrix_to_axis_angle(_turned(-angle["Eyes up"], angle["Eyes aside"], 0.0))
        jaw = torch.tensor([angle["Jaw open"], angle["Jaw aside"], 0.0])
        values = {**self.values, BLINK: max(self.values.get(BLINK, 0.0), self._closed())}
        model = self.avatar.rig.head_model
        face = expression(self.face, values, model.num_expression, bool(model.expression_names))
        parts = (neutral.translation[0], neutral.rotation[0], neck, jaw, eye, eye, torch.from_numpy(face))
        return torch.cat([part.float() for part in parts])

    def draw_expression(self, rng: np.random.Generator) -> None:
        """Put the face's, the jaw's and the eyes' sliders to an expression that people make; the head stays."""
        values, jaw = random_expression(self.face, rng)
        head = {name: value for name, value in self.values.items() if name.startswith("Head")}
        glance = {name: round(float(rng.uniform(-_GLANCE, _GLANCE))) for name in ("Eyes aside", "Eyes up")}
        self.values = {**head, **glance, "Jaw open": round(math.degrees(jaw)), **values}

    def blink(self) -> None:
        """Close the lids and open them again, over the next `BLINK_SECONDS`."""
        self._blinking = 0.0

    @property
    def is_moving(self) -> bool:
        """Whether what is shown changes by itself."""
        return (self.source == "sequence" and self.playback.is_playing) or self._blinking is not None

    def advance(self, seconds: float) -> bool:
        """Let time go by; whether that changed what is shown."""
        moved = self.is_moving
        if self.source == "sequence":
            self.playback.advance(seconds)
        if self._blinking is not None:
            self._blinking += seconds
            if self._blinking >= BLINK_SECONDS:
                self._blinking = None
        return moved

    def _closed(self) -> float:
        """How far a blink has closed the lids, 0..1."""
        time = self._blinking
        return 0.0 if time is None else math.sin(math.pi * time / BLINK_SECONDS) ** 2

    def _canonical(self) -> Float[Tensor, "num_coefficients"]:
        return self.avatar.motion.canonical().detach().cpu()


def _turned(nod: float, turn: float, tilt: float) -> Float[Tensor, "3 3"]:
    """Rotation about the head's own axes [radians]: turned (y), then nodding (x), then tilted (z)."""
    x, y, z = axis_angle_to_matrix(torch.diag(torch.tensor([nod, turn, tilt])))
    return y @ x @ z
