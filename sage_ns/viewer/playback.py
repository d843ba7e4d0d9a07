"""Playback of a driving sequence: position, speed, and the motion at the position."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sage_ns.motion.motion import USUAL_FPS, Motion

DRIVER = "driver"
"""Folder of a capture that contains another person's motion."""


class Playback:
    """Plays a motion in real time.

    Args:
        driver: the motion, fitted to the avatar's rig; :meth:`use` replaces it.
    """

    def __init__(self, driver: Motion) -> None:
        self.frames_per_second = USUAL_FPS
        self.loops = True
        self.is_playing = False
        self.use(driver)

    def use(self, driver: Motion) -> None:
        """Replace the motion, and go to its start."""
        self.position = 0.0
        self.driver = driver

    @property
    def frame(self) -> int:
        """Index of the frame at the position."""
        return min(int(self.position), self.driver.num_rows - 1)

    def play(self) -> None:
        """Start playing; at the end, start from the beginning."""
        if self.frame == self.driver.num_rows - 1:
            self.position = 0.0
        self.is_playing = True

    def advance(self, seconds: float) -> bool:
        """Advance by ``seconds`` if playing, and return whether it is; at the end, start again or stop."""
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
        """Return the motion vector at the position."""
        return self.driver.at(self.position)
