"""A driving sequence that is played: where it is, how fast it goes, and the motion there."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sage_ns.motion.motion import USUAL_FPS, Motion

DRIVER = "driver"
"""Folder of a capture with somebody else's motion."""


class Playback:
    """Plays a motion as time goes by.

    Args:
        driver: the first one, fitted to the avatar's rig; another may take its place at any time.
    """

    def __init__(self, driver: Motion) -> None:
        self.frames_per_second = USUAL_FPS
        self.loops = True
        self.is_playing = False
        self.use(driver)

    def use(self, driver: Motion) -> None:
        """Play this one from now on, from its start."""
        self.position = 0.0
        self.driver = driver

    @property
    def frame(self) -> int:
        """The last frame that has begun."""
        return min(int(self.position), self.driver.num_rows - 1)

    def play(self) -> None:
        """Go on; from the start, where the end was reached."""
        if self.frame == self.driver.num_rows - 1:
            self.position = 0.0
        self.is_playing = True

    def advance(self, seconds: float) -> bool:
        """Let time go by; whether that made a difference. At its end a sequence starts again, or stops."""
        if not self.is_playing:
            return False
        position, num_frames = self.position + seconds * self.frames_per_second, self.driver.num_rows
        if self.loops:
            position %= num_frames
        elif position >= num_frames - 1:
            position, self.is_playing = float(num_frames - 1), False
        self.position = position
        return True

    def motion(self) -> Float[Tensor, "num_coefficients"]:
        """The motion vector at the position."""
        return self.driver.at(self.position)
