"""The moment of a motion that each frame of a video shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.motion.transfer import playback_positions
from sage_ns.video.camera_paths import CameraPath
from sage_ns.video.views import View


@dataclass(frozen=True, eq=False)
class Timeline:
    """The moment of a motion that each frame of a video shows."""

    positions: Float[Tensor, "num_frames"]
    """Position of each frame in rows of the motion."""
    motion_fps: float
    """Rows per second."""
    fps: float
    """Frames per second."""
    plays: bool
    """Whether the motion plays at its own speed; False for a camera path with times of its own."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def seconds(self) -> float:
        """Duration of the video."""
        return self.num_frames / self.fps


def timeline(sequences: Int[Tensor, "num_rows"], motion_fps: float, fps: float | None, view: View) -> Timeline:
    """Make the timeline of a video: the motion at its own speed, or the times of a camera path.

    Args:
        sequences: sequence of each row of the motion.
        motion_fps: rows per second.
        fps: frames per second; None: those of a camera path with times, or else the motion's.
        view: the view; only a camera path with times matters.
    """
    if isinstance(view, CameraPath) and view.times is not None:
        positions = torch.tensor(view.times, dtype=torch.float64) * (len(sequences) - 1)
        return Timeline(positions, motion_fps, fps or view.fps or motion_fps, plays=False)
    fps = fps or motion_fps
    return Timeline(playback_positions(len(sequences), motion_fps, fps, sequences), motion_fps, fps, plays=True)
