"""The motion of a capture folder and its test moments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from sage_ns.capture.layout import read_capture
from sage_ns.motion.files import load_motion
from sage_ns.motion.source import MotionSource

if TYPE_CHECKING:
    from sage_ns.rig import HeadModel


def captured_motion(folder: Path, model: HeadModel) -> tuple[MotionSource, Int[Tensor, "num_test"]]:
    """Load a capture's motion and the timestep ids of its test split. The first training moment is the canonical one.

    Args:
        folder: folder of the capture.
        model: head model that the motion must fit.

    Raises:
        CaptureError: the capture cannot be read.
        FlameParamsError: the motion does not fit the head model.
    """
    capture = read_capture(folder)
    motion = load_motion(folder, model)
    first = int((motion.timesteps == capture.train_multiframe[0].timestep).nonzero()[0])
    tested = torch.tensor(sorted({frame.timestep for frame in capture.test}), dtype=torch.int64)
    return MotionSource(motion.params, motion.timesteps, first), tested
