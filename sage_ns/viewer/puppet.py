"""State of the panel: source of motion, slider values, and the motion vector that they give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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

Source = Literal["capture", "sequence", "manual", "live"]
BLINK_SECONDS = 0.4
"""Duration of a blink, from open to closed to open; a human blink takes 0.1 to 0.4 s."""
_GLANCE = 8.0
"""Largest angle of the eyes in a random expression, in degrees."""


@dataclass(frozen=True)
class PoseSlider:
    """Slider for an angle of a joint in degrees; 0 is the rest pose."""

    name: str
    group: str
    """Heading of the group that contains the slider."""
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
"""Neck, jaw and both eyes, within the limits of a human head."""


class Puppet:
    """State of the panel, independent of the page.

    Args:
        avatar: the avatar to pose.
        face: sliders of its face.
        playback: the driving sequence.
    """

    def __init__(self, avatar: Avatar, face: Sequence[FaceSlider], playback: Playback) -> None:
        self.avatar = avatar
        self.face = face
        self.playback = playback
        self.source: Source = "capture"
        self.values: dict[str, float] = {}
        """Values of the sliders that are not at 0, by name: degrees of `POSE_SLIDERS`, strengths of face sliders."""
        self.moves_head = False
        """Whether translation and global rotation of a sequence are used, too."""
        self.live: Callable[[], Float[Tensor, "num_coefficients"] | None] = lambda: None
        """Returns the newest pose of an actor who drives the avatar live."""
        self._drawn: Tensor | None = None
        self._blinking: float | None = None

    def motion(self) -> Float[Tensor, "num_coefficients"] | None:
        """Return the motion vector of the current source; None for "capture", where the camera's time decides."""
        if self.source == "manual":
            return self.manual_motion()
        if self.source == "live":
            return self.live_motion()
        return self.driven_motion() if self.source == "sequence" else None

    def live_motion(self) -> Float[Tensor, "num_coefficients"]:
        """Return the live actor's pose at the avatar's canonical place, moved along if :attr:`moves_head` is set.

        Before there is a pose, the avatar rests.
        """
        place, pose = self._canonical()[FlameParams.HEAD].clone(), self.live()
        if pose is None:
            return torch.cat([place, torch.zeros_like(self._canonical()[FlameParams.FROM_NECK])])
        if self.moves_head:
            place[FlameParams.TRANSLATION] += pose[FlameParams.TRANSLATION]
        return torch.cat([place, pose[FlameParams.FROM_NECK]])

    def driven_motion(self) -> Float[Tensor, "num_coefficients"]:
        """Return the sequence's motion; the head stays at its canonical place unless :attr:`moves_head` is set."""
        driver = self.playback.motion()
        if self.moves_head:
            return driver
        return torch.cat([self._canonical()[FlameParams.HEAD], driver[FlameParams.FROM_NECK]])

    def manual_motion(self) -> Float[Tensor, "num_coefficients"]:
        """Return the motion vector of the sliders; the neck turns from its canonical rotation.

        With all sliders at 0, the result equals `Avatar.neutral`.
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
        """Set the sliders of face, jaw and eyes to a random plausible expression; the head stays."""
        values, jaw = random_expression(self.face, rng)
        head = {name: value for name, value in self.values.items() if name.startswith("Head")}
        glance = {name: round(float(rng.uniform(-_GLANCE, _GLANCE))) for name in ("Eyes aside", "Eyes up")}
        self.values = {**head, **glance, "Jaw open": round(math.degrees(jaw)), **values}

    def blink(self) -> None:
        """Start a blink, which lasts `BLINK_SECONDS`."""
        self._blinking = 0.0

    @property
    def is_moving(self) -> bool:
        """Whether the avatar moves without user input."""
        playing = self.source == "sequence" and self.playback.is_playing
        return playing or self.source == "live" or self._blinking is not None

    def advance(self, seconds: float) -> bool:
        """Advance playback and blink by ``seconds``; return whether the avatar was moving."""
        moved = self.is_moving
        if self.source == "live":
            # Between two poses of the actor there is nothing new to draw.
            pose, before = self.live(), self._drawn
            moved, self._drawn = pose is not before, pose
        if self.source == "sequence":
            self.playback.advance(seconds)
        if self._blinking is not None:
            self._blinking += seconds
            if self._blinking >= BLINK_SECONDS:
                self._blinking = None
        return moved

    def _closed(self) -> float:
        """Return how far a blink has closed the lids, 0..1."""
        time = self._blinking
        return 0.0 if time is None else math.sin(math.pi * time / BLINK_SECONDS) ** 2

    def _canonical(self) -> Float[Tensor, "num_coefficients"]:
        return self.avatar.motion.canonical().detach().cpu()


def _turned(nod: float, turn: float, tilt: float) -> Float[Tensor, "3 3"]:
    """Return the rotation about the head's own axes [radians]: turn (y), then nod (x), then tilt (z)."""
    x, y, z = axis_angle_to_matrix(torch.diag(torch.tensor([nod, turn, tilt])))
    return y @ x @ z
