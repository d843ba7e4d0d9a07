"""The motion of a capture folder."""

from __future__ import annotations

from pathlib import Path

import torch

from sage_ns.capture import read_capture
from sage_ns.motion.captured import captured_motion
from tests.tiny import tiny_head_model
from tests.tiny_capture import write_tiny_capture


def test_all_moments_the_first_of_training_is_canonical(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    capture = read_capture(folder)
    motion, tested = captured_motion(folder, tiny_head_model())
    assert motion.timesteps.tolist() == sorted(capture.flame_param_paths)
    assert int(motion.timesteps[motion.canonical_row]) == capture.train_multiframe[0].timestep
    assert set(tested.tolist()) == {frame.timestep for frame in capture.test}
    assert torch.equal(motion.tracked, motion.canonical())
