"""Training as nerfstudio does it, with presets, atomic checkpoints and resuming to a total number of steps."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, cast

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import OptimizerConfig, Optimizers
from nerfstudio.engine.schedulers import ExponentialDecayScheduler, ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from sage_ns.avatar.growth.ops import SurfelRows, reset_moments
from sage_ns.avatar.growth.rebinding import IN_THE_FRAME
from sage_ns.errors import SageError
from sage_ns.field.sdf import FieldConfig
from sage_ns.image.metrics import load_lpips
from sage_ns.system.parallel import cores_for_kernels


@dataclass(frozen=True)
class Preset:
    """Sizes that belong together."""

    num_surfels: int
    num_reconstruct: int
    """Steps of phase 1."""
    num_self_supervise: int
    """Steps of phase 2."""
    num_rays: int
    num_surface_points: int
    field: FieldConfig
    networks: bool


PRESETS = {
    "paper": Preset(
        num_surfels=150_000,
        num_reconstruct=30_000,
        num_self_supervise=10_000,
        num_rays=1024,
        num_surface_points=16_384,
        field=FieldConfig(num_levels=14, log2_table_size=19, finest=900),
        networks=True,
    ),
    "small": Preset(
        num_surfels=30_000,
        num_reconstruct=2_000,
        num_self_supervise=800,
        num_rays=192,
        num_surface_points=3072,
        field=FieldConfig(num_levels=8, log2_table_size=17, finest=224),
        # In 2,000 steps they cost more than they bring: docs/benchmarks.md.
        networks=False,
    ),
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
    """nerfstudio's exponential decay, over both phases unless max_steps says otherwise."""

    _target: type = field(default_factory=lambda: Decay)
    max_steps: int = 0
    """steps until lr_final; 0 = all (set when training starts)"""


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
    """sizes: paper (150,000 surfels, 30,000 and 10,000 steps of the two phases), small (for CPUs); auto = paper with
    CUDA, small without"""
    max_num_iterations: int = 0
    """training steps in all, resumed ones included; 0 = as the preset says"""

    def set_timestamp(self) -> None:
        """Settle what the command line left open; nerfstudio calls this once, before it prints and saves the config.

        Raises:
            SageError: a setting is out of its range, or a file that it names does not exist.
        """
        super().set_timestamp()
        self._settle_device()
        self._make_paths_absolute()
        self._check()
        if self.preset == "auto":
            self.preset = "paper" if self.machine.device_type == "cuda" else "small"
        preset = PRESETS[self.preset]
        self._settle_phases(preset)
        pipeline: Any = self.pipeline
        model: Any = pipeline.model
        for name in ("num_surfels", "num_rays", "num_surface_points"):
            setattr(model, name, getattr(model, name) or getattr(preset, name))
        if model.sdf == FieldConfig():
            model.sdf = preset.field
        if model.networks is None:
            model.networks = preset.networks
        pipeline.seed = self.machine.seed
        for group in self.optimizers.values():
            if group["scheduler"] is not None and not group["scheduler"].max_steps:
                group["scheduler"].max_steps = self.max_num_iterations

    def _settle_phases(self, preset: Preset) -> None:
        """How many steps there are, and how many of them belong to phase 1; of a given total, the preset's share.

        A training that is resumed, to more steps than before perhaps, has its border where it was.
        """
        pipeline: Any = self.pipeline
        teaches = pipeline.self_supervise
        resumed = _header(checkpoint_to_resume(self))
        if teaches and not pipeline.reconstruct_steps and resumed is not None:
            pipeline.reconstruct_steps = resumed["reconstruct_steps"]
        both = preset.num_reconstruct + preset.num_self_supervise
        if not self.max_num_iterations:
            first = pipeline.reconstruct_steps or preset.num_reconstruct
            self.max_num_iterations = first + (preset.num_self_supervise if teaches else 0)
        share = preset.num_reconstruct / both if teaches else 1.0
        pipeline.reconstruct_steps = pipeline.reconstruct_steps or round(share * self.max_num_iterations)

    def _settle_device(self) -> None:
        asked = self.machine.device_type
        if self.machine.num_devices * self.machine.num_machines != 1:
            raise SageError(
                "--machine.num-devices and --machine.num-machines must be 1: an avatar trains on one device."
            )
        if asked == "mps" or (asked == "cuda" and not torch.cuda.is_available()):
            CONSOLE.print("Surfels are drawn with CUDA or on the CPU; there is no CUDA device here: taking the CPU.")
            self.machine.device_type = "cpu"

    def _check(self) -> None:
        model: Any = self.pipeline.model
        least = {
            "--max-num-iterations": (self.max_num_iterations, 0),
            "--pipeline.model.num-surfels": (model.num_surfels, 0),
            "--pipeline.model.supersampling": (model.supersampling, 1),
            "--pipeline.model.sh-degree": (model.sh_degree, 0),
        }
        for name, (value, minimum) in least.items():
            if value < minimum:
                raise SageError(f"{name} is {value}; it must be at least {minimum}.")
        if self.preset not in ("auto", *PRESETS):
            raise SageError(f"There is no preset '{self.preset}'. Presets: auto, {', '.join(PRESETS)}.")
        if model.sh_degree > 3:
            raise SageError(f"--pipeline.model.sh-degree is {model.sh_degree}; it can be 0 to 3.")
        if model.lpips_weights is not None:
            load_lpips(model.lpips_weights)
        checkpoint_to_resume(self)

    def _make_paths_absolute(self) -> None:
        # config.yml is read again from other working directories.
        datamanager: Any = self.pipeline.datamanager
        dataparser: Any = datamanager.dataparser
        self.output_dir = self.output_dir.absolute()
        datamanager.data = self.data = dataparser.data = Path(datamanager.data or dataparser.data).absolute()
        for holder, name in (
            (self, "load_dir"),
            (self, "load_checkpoint"),
            (dataparser, "head_model"),
            (self.pipeline, "driving_bank"),
            (self.pipeline.model, "lpips_weights"),
            (self.pipeline.model, "start_from"),
        ):
            value = getattr(holder, name)
            if value is not None:
                setattr(holder, name, Path(value).absolute())
        datamanager.run_dir = self.get_base_dir()

    def save_config(self) -> None:
        """Leave it to the trainer, which saves once the capture was read: a failed start leaves no folder behind."""


def checkpoint_to_resume(config: TrainerConfig) -> Path | None:
    """The checkpoint that ``config`` tells to load, by ``load_dir`` (and ``load_step``) or ``load_checkpoint``.

    Raises:
        SageError: it does not exist.
    """
    if config.load_dir is None:
        path = config.load_checkpoint
        if path is not None and not path.is_file():
            raise SageError(f"--load-checkpoint {path} does not exist.")
        return path
    if not config.load_dir.is_dir():
        raise SageError(f"--load-dir {config.load_dir} is not a folder. Give the nerfstudio_models folder of a run.")
    names = sorted(path.name for path in config.load_dir.iterdir())
    strange = [name for name in names if not re.fullmatch(r"step-\d{9}\.ckpt", name)]
    if strange or not names:
        found = f"holds {', '.join(strange[:3])}" if strange else "is empty"
        raise SageError(f"--load-dir {config.load_dir} {found}. Give a run's nerfstudio_models folder (step-*.ckpt).")
    name = names[-1] if config.load_step is None else f"step-{config.load_step:09d}.ckpt"
    if name not in names:
        raise SageError(f"--load-dir {config.load_dir} has no {name}; it has {', '.join(names)}.")
    return config.load_dir / name


class SageTrainer(Trainer):
    """nerfstudio's trainer with checkpoints that cannot be half-written, and a total number of steps."""

    config: SageTrainerConfig

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Read the capture, build everything, and save the config and what the run keeps of its capture.

        Where the checkpoint to resume has all its steps already, nothing is done or written.

        Raises:
            SageError: the capture or another input cannot be used; nothing has been written by then.
        """
        self.callbacks = []
        resumed = _header(checkpoint_to_resume(self.config))
        self._start_step = 0 if resumed is None else resumed["step"] + 1
        if self._start_step >= self.config.max_num_iterations:
            return
        super().setup(test_mode)
        self.pipeline.datamanager.keep(self.base_dir)  # type: ignore[operator]
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_iteration))

    def setup_optimizers(self) -> Optimizers:
        """As nerfstudio's. Called once the capture was read and found good: from here on the run has a folder."""
        super(SageTrainerConfig, self.config).save_config()
        return super().setup_optimizers()

    def train(self) -> None:
        """Train up to ``max_num_iterations`` in all, whatever step a loaded checkpoint is at."""
        total = self.config.max_num_iterations
        if self._start_step >= total:
            CONSOLE.print(f"The checkpoint has {self._start_step} of {total} steps: nothing left to train.")
            return
        self.config.max_num_iterations = total - self._start_step
        try:
            with cores_for_kernels() if self.device == "cpu" else nullcontext():
                super().train()
        finally:
            self.config.max_num_iterations = total

    def _after_iteration(self, step: int) -> None:
        moved = self.pipeline.phase.after_step(step)  # type: ignore[attr-defined]
        if moved is None:
            return
        rows = SurfelRows.of_surfels(self.pipeline.model.surfels, self.optimizers.optimizers.values())  # type: ignore[arg-type]
        reset_moments(rows, moved, IN_THE_FRAME)

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
                "reconstruct_steps": cast(Any, self.config.pipeline).reconstruct_steps,
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


def _header(checkpoint: Path | None) -> dict[str, int] | None:
    """Steps that a checkpoint has seen, and how many of its training are phase 1."""
    if checkpoint is None:
        return None
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return {name: int(content[name]) for name in ("step", "reconstruct_steps")}
    except (OSError, RuntimeError, KeyError, UnpicklingError) as error:
        raise SageError(f"{checkpoint} is not a checkpoint of a training: {error}") from error
