"""A driving sequence that is played: where it is, how fast it goes, and the motion there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.motion.files import load_motion
from sage_ns.rig import FlameParams

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

DRIVER = "driver"
"""Folder of a capture with somebody else's motion."""
FRAMES_PER_SECOND = 25.0
"""What most recordings have; motion files do not say."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """Motion of one or more takes, fitted to an avatar."""

    name: str
    """What a user is told that this is."""
    motion: Float[Tensor, "num_frames num_coefficients"]
    """Motion vectors."""
    takes: Int[Tensor, "num_frames"]
    """Which take a frame is of; between takes there is a cut."""
    notes: tuple[str, ...] = ()
    """What a user should know about it."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.motion.shape[0]

    def at(self, position: float) -> Float[Tensor, "num_coefficients"]:
        """Motion at a position in frames, 0 to below `num_frames`; between two frames of a take, in between."""
        before = min(int(position), self.num_frames - 1)
        after = before + 1
        if position == before or after == self.num_frames or self.takes[before] != self.takes[after]:
            return self.motion[before]
        ends = FlameParams.from_motion_vector(self.motion[before : after + 1])
        return ends.interpolate(torch.tensor([position - before])).motion_vector()[0]


def stored_sequence(avatar: Avatar) -> Sequence:
    """The motion that came with the avatar's own capture."""
    motion = avatar.motion.motion.detach().cpu()
    return Sequence("the capture's own motion", motion, torch.zeros(len(motion), dtype=torch.int64))


def load_sequence(avatar: Avatar, path: Path | str) -> Sequence:
    """The motion of a file or folder, see `load_motion` for which.

    Raises:
        CaptureError: there is no motion at ``path``, or it is broken.
        FlameParamsError: a field is missing or misshapen, or the motion does not fit the avatar's rig.
    """
    driving = load_motion(path, avatar.rig.head_model)
    return Sequence(str(driving.source), avatar.fit(driving.params).cpu(), driving.sequences, driving.notes)


class Playback:
    """Plays a sequence as time goes by.

    Args:
        sequence: the first one; another may take its place at any time.
    """

    def __init__(self, sequence: Sequence) -> None:
        self.frames_per_second = FRAMES_PER_SECOND
        self.loops = True
        self.is_playing = False
        self.use(sequence)

    def use(self, sequence: Sequence) -> None:
        """Play this one from now on, from its start."""
        self.position = 0.0
        self.sequence = sequence

    @property
    def frame(self) -> int:
        """The last frame that has begun."""
        return min(int(self.position), self.sequence.num_frames - 1)

    def play(self) -> None:
        """Go on; from the start, where the end was reached."""
        if self.frame == self.sequence.num_frames - 1:
            self.position = 0.0
        self.is_playing = True

    def advance(self, seconds: float) -> bool:
        """Let time go by; whether that made a difference. At its end a sequence starts again, or stops."""
        if not self.is_playing:
            return False
        position, num_frames = self.position + seconds * self.frames_per_second, self.sequence.num_frames
        if self.loops:
            position %= num_frames
        elif position >= num_frames - 1:
            position, self.is_playing = float(num_frames - 1), False
        self.position = position
        return True

    def motion(self) -> Float[Tensor, "num_coefficients"]:
        """Where the sequence is now."""
        return self.sequence.at(self.position)
