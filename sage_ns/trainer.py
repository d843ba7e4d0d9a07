"""Training as nerfstudio does it, with presets, atomic checkpoints and resuming to a total number of steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import OptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecayScheduler, ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape
from rich.panel import Panel
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from sage_ns.errors import SageError


@dataclass(frozen=True)
class Preset:
    """Sizes that belong together."""

    num_surfels: int
    num_iterations: int


PRESETS = {
    "paper": Preset(num_surfels=150_000, num_iterations=30_000),
    "small": Preset(num_surfels=30_000, num_iterations=2_000),
}


@dataclass
class FusedAdamConfig(OptimizerConfig):
    """Adam in one kernel per parameter; on CPU many times faster than torch's default."""

    _target: type = torch.optim.Adam
    eps: float = 1e-15
    """as 3DGS"""
    fused: bool = True
    """torch's fused implementation"""


@dataclass
class DecayConfig(ExponentialDecaySchedulerConfig):
    """nerfstudio's exponential decay, over the whole training unless max_steps says otherwise."""

    _target: type = field(default_factory=lambda: Decay)
    max_steps: int = 0
    """steps until lr_final; 0 = the training's length (set when training starts)"""


class Decay(ExponentialDecayScheduler):
    """Keeps learning rates Python floats: numpy's would make torch refuse the checkpoint as unsafe."""

    def get_scheduler(self, optimizer: torch.optim.Optimizer, lr_init: float) -> LRScheduler:
        """As nerfstudio's."""
        decay = super().get_scheduler(optimizer, lr_init).lr_lambdas[0]  # type: ignore[attr-defined]
        return LambdaLR(optimizer, lr_lambda=lambda step: float(decay(step)))


@dataclass
class SageTrainerConfig(TrainerConfig):
    """Trainer of all sage methods."""

    _target: type = field(default_factory=lambda: SageTrainer)
    preset: Literal["auto", "paper", "small"] = "auto"
    """sizes: paper (150,000 surfels, 30,000 iterations), small (for CPUs); auto = paper with CUDA, small without"""
    max_num_iterations: int = 0
    """training steps in all, resumed ones included; 0 = as the preset says"""

    def set_timestamp(self) -> None:
        """Settle what the command line left open; nerfstudio calls this once, before it prints and saves the config."""
        super().set_timestamp()
        if self.machine.device_type == "cuda" and not torch.cuda.is_available():
            self.machine.device_type = "cpu"
        if self.preset == "auto":
            self.preset = "paper" if self.machine.device_type == "cuda" else "small"
        preset = PRESETS[self.preset]
        self.max_num_iterations = self.max_num_iterations or preset.num_iterations
        pipeline: Any = self.pipeline
        pipeline.model.num_surfels = pipeline.model.num_surfels or preset.num_surfels
        pipeline.reconstruct_steps = pipeline.reconstruct_steps or self.max_num_iterations
        pipeline.seed = self.machine.seed
        for group in self.optimizers.values():
            if group["scheduler"] is not None and not group["scheduler"].max_steps:
                group["scheduler"].max_steps = self.max_num_iterations
        self._make_paths_absolute()

    def _make_paths_absolute(self) -> None:
        # config.yml is read again from other working directories.
        datamanager: Any = self.pipeline.datamanager
        self.output_dir = self.output_dir.absolute()
        for holder, name in (
            (self, "data"),
            (datamanager, "data"),
            (datamanager.dataparser, "data"),
            (datamanager.dataparser, "head_model"),
        ):
            value = getattr(holder, name, None)
            if value is not None:
                setattr(holder, name, Path(value).absolute())
        datamanager.run_dir = self.get_base_dir()


class SageTrainer(Trainer):
    """nerfstudio's trainer with checkpoints that cannot be half-written and errors without a stack trace."""

    config: SageTrainerConfig

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Read the capture and build everything; what is wrong with the input is said before training starts."""
        try:
            super().setup(test_mode)
        except SageError as error:
            CONSOLE.print(Panel(escape(str(error)), title=f"[red]{type(error).__name__}[/red]", expand=False))
            raise SystemExit(1) from error
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_iteration))

    def train(self) -> None:
        """Train up to ``max_num_iterations`` in all, whatever step a loaded checkpoint is at."""
        total = self.config.max_num_iterations
        if self._start_step >= total:
            CONSOLE.print(f"The checkpoint is at step {self._start_step} of {total}: nothing left to train.")
            return
        self.config.max_num_iterations = total - self._start_step
        try:
            super().train()
        finally:
            self.config.max_num_iterations = total

    def _after_iteration(self, step: int) -> None:
        moved = self.pipeline.phase.after_step(step)  # type: ignore[attr-defined]
        if moved is None:
            return
        # The moments of a rebound surfel belong to a frame that it has left.
        for name in ("means", "quaternions"):
            optimizer = self.optimizers.optimizers[name]
            for state in optimizer.state.values():
                state["exp_avg"][moved] = 0.0
                state["exp_avg_sq"][moved] = 0.0

    def save_checkpoint(self, step: int) -> None:
        """Write the checkpoint beside its final name and rename it, so that a kill leaves the last one whole."""
        if self.local_rank != 0:
            return
        self.checkpoint_dir.mkdir(parents=True, exist_ok=True)
        path = self.checkpoint_dir / f"step-{step:09d}.ckpt"
        unfinished = self.checkpoint_dir.parent / f".{path.name}.{os.getpid()}"
        torch.save(
            {
                "step": step,
                "pipeline": self.pipeline.state_dict(),
                "optimizers": {name: each.state_dict() for name, each in self.optimizers.optimizers.items()},
                "schedulers": {name: each.state_dict() for name, each in self.optimizers.schedulers.items()},
                "scalers": self.grad_scaler.state_dict(),
            },
            unfinished,
        )
        os.replace(unfinished, path)
        if self.config.save_only_latest_checkpoint:
            for other in self.checkpoint_dir.glob("*.ckpt"):
                if other != path:
                    other.unlink()
