"""Cost of a training: seconds of each phase and peak memory, also across interruptions."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch

from sage_ns.bench.loss_curve import LossCurve
from sage_ns.errors import SageError
from sage_ns.plugin.trainer import SageTrainer, SageTrainerConfig
from sage_ns.system.files import write_json
from sage_ns.system.typed_json import load_typed

CLOCK_FILE = "clock.json"

SETUP = "setup"
"""Name of the time before the first step (reading the capture, placing the surfels, pre-training) and of the first step
itself, in which kernels are compiled."""


@dataclass
class Clock:
    """Cost of a training so far, stored in a file beside it."""

    path: Path
    step: int = 0
    """number of finished steps"""
    num_steps: int = 0
    """number of all steps"""
    seconds: dict[str, float] = field(default_factory=dict)
    """seconds by name of the phase, in the order of the phases"""
    peak_bytes: int = 0
    """peak memory of the process; with CUDA, of tensors on the card"""
    at_checkpoint: dict[str, dict[str, float]] = field(default_factory=dict)
    """seconds at each checkpoint, by its number of steps"""

    def __post_init__(self) -> None:
        self._written = 0.0
        self._running = False

    @classmethod
    def read(cls, folder: Path) -> Clock | None:
        """Read the clock of ``folder``; None if there is no clock, or a broken one."""
        path = folder / CLOCK_FILE
        try:
            clock = load_typed(cls, path, SageError, path=path)
        except SageError:
            return None
        return clock if all(steps.isdecimal() for steps in clock.at_checkpoint) else None

    def begin(self, step: int, num_steps: int, setup: float) -> None:
        """Start, or continue after ``step`` steps; time between the last checkpoint and an interruption is dropped."""
        earlier = Clock.read(self.path.parent)
        if step and earlier is not None:
            self.at_checkpoint = {key: each for key, each in earlier.at_checkpoint.items() if int(key) <= step}
            self.seconds = dict(self.at_checkpoint[max(self.at_checkpoint, key=int)]) if self.at_checkpoint else {}
            self.peak_bytes = earlier.peak_bytes
        self.seconds.setdefault(SETUP, setup)
        self.step, self.num_steps = step, num_steps
        self.write()

    def add(self, phase: str, seconds: float) -> None:
        """Add the time of one step of a phase."""
        self.step += 1
        counted = phase if self._running else SETUP
        self._running = True
        self.seconds[counted] = self.seconds.get(counted, 0.0) + seconds
        if perf_counter() - self._written > 1.0:
            self.write()

    def mark(self) -> None:
        """Store the times at a checkpoint; call this after writing one."""
        self.at_checkpoint[str(self.step)] = dict(self.seconds)
        self.write()

    def write(self) -> None:
        """Update the peak memory and write the file."""
        self.peak_bytes = max(self.peak_bytes, peak_memory())
        self._written = perf_counter()
        write_json(self.path, {name: value for name, value in asdict(self).items() if name != "path"})


def peak_memory() -> int:
    """Return the peak memory of this process in bytes, including the program; with CUDA, of tensors on the card."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        # On Linux, getrusage includes the peak of the parent process; VmHWM does not.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


class ClockedTrainer(SageTrainer):
    """Trainer that writes a clock and a curve of the depth distortion beside the run's folder."""

    def __init__(self, config: SageTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        config._target = SageTrainer  # the saved config is that of a training without a clock
        super().__init__(config, local_rank, world_size)
        folder = config.output_dir / str(config.experiment_name)
        self.clock, self.curve = Clock(folder / CLOCK_FILE), LossCurve(folder)

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Set up the training and start the clock, unless the training is finished."""
        start = perf_counter()
        super().setup(test_mode)
        if self._start_step < self.num_steps:
            self.clock.begin(self._start_step, self.num_steps, perf_counter() - start)
            self.curve.begin(self._start_step)

    def train_iteration(self, step: int) -> Any:
        """Train one step and add its time to the clock."""
        start = perf_counter()
        result = super().train_iteration(step)
        phase: str = self.pipeline.schedule.current.name  # type: ignore
        self.clock.add(phase, perf_counter() - start)
        self.curve.add(step, phase, result[1])
        return result

    def save_checkpoint(self, step: int) -> None:
        """Save the checkpoint, its times in the clock, and the curve up to it."""
        super().save_checkpoint(step)
        self.clock.mark()
        self.curve.write()


def clocked(config: SageTrainerConfig) -> SageTrainerConfig:
    """Set the trainer of ``config`` to `ClockedTrainer`, and return ``config``."""
    config._target = ClockedTrainer
    return config
