"""nerfstudio's trainer with presets, complete checkpoints and resuming to a total number of steps."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
import yaml
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE
from tyro.conf import Fixed, Suppress

from sage_ns.errors import SageError
from sage_ns.image.metrics import load_lpips
from sage_ns.plugin.checkpoint_checks import check_optimizer
from sage_ns.plugin.checkpoints import (
    Checkpoint,
    CheckpointError,
    CheckpointHeader,
    checkpoint_path,
    checkpoint_to_resume,
    load_checkpoint,
    write_checkpoint,
)
from sage_ns.plugin.interruption import StopRequest, one_line
from sage_ns.plugin.presets import Preset, apply_preset, changed_settings, find_preset
from sage_ns.plugin.pseudo_views import NONE as NO_VIEWS
from sage_ns.plugin.pseudo_views import PROVIDERS
from sage_ns.priors.sources import SOURCES
from sage_ns.system.console import escape
from sage_ns.system.files import disk_errors_of, refuse_unwritable, write_text
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.training.config import NOTHING
from sage_ns.training.schedule import PhaseSteps, settle_steps


@dataclass
class SageTrainerConfig(TrainerConfig):
    """Trainer of all sage methods."""

    _target: type = field(default_factory=lambda: SageTrainer)
    preset: Literal["auto", "paper", "small"] = "auto"
    """size of avatar and training: paper = 150,000 surfels, 30,000 + 10,000 steps; small = 30,000 surfels, 2,000 + 800
    steps (for CPUs); auto = paper with CUDA, small without"""
    preset_share: Suppress[Fixed[float]] = 1.0
    """length of the phases in lengths of the preset's: a method that starts from a whole person needs fewer steps"""
    max_num_iterations: int | None = None  # type: ignore[assignment]
    """training steps in total, including those of a resumed run; None = the sum of the phases"""
    changed: Suppress[Fixed[dict[str, Any]]] = field(default_factory=dict)
    """settings of the model that differ from preset and defaults; the trainer records them, and no option sets them"""

    def set_timestamp(self) -> None:
        """Fill in what the user left open. nerfstudio calls this once, before it prints and saves the config.

        Raises:
            SageError: a setting is out of its range, or a file that it names does not exist.
        """
        super().set_timestamp()
        self._settle_device()
        self._make_paths_absolute()
        self._check()
        if self.preset == "auto":
            self.preset = "paper" if self.machine.device_type == "cuda" else "small"
        preset = find_preset(self.preset)
        self._settle_phases(preset)
        pipeline: Any = self.pipeline
        apply_preset(preset, pipeline.model)
        if pipeline.model.networks_alone and not (pipeline.model.networks and pipeline.model.with_sdf):
            raise SageError(
                "--pipeline.model.networks-alone needs networks over the field: give --pipeline.model.networks True "
                "and --pipeline.model.with-sdf True, or --pipeline.model.networks-alone False."
            )
        if pipeline.model.prior_mesh is not None and not pipeline.model.with_sdf:
            raise SageError(
                "--pipeline.model.prior-mesh is the first shape of the field: give --pipeline.model.with-sdf True, or "
                "leave it out."
            )
        model, lengths = pipeline.model, pipeline.steps.by_name()
        if pipeline.split_deforming and (
            model.networks_alone or model.primitives == "gaussians" or not all(lengths.values())
        ):
            raise SageError(
                "--pipeline.split-deforming splits surfels with attributes of their own between the two phases: give "
                "both phases steps, --pipeline.model.primitives surfels and --pipeline.model.networks-alone False."
            )
        self.changed = changed_settings(preset, pipeline.model)
        pipeline.seed = self.machine.seed
        for group in self.optimizers.values():
            decay = group["scheduler"]
            if decay is not None and decay.max_steps is None:
                in_phase_1 = decay.in_phase_1 and pipeline.steps.reconstruct
                decay.max_steps = pipeline.steps.reconstruct if in_phase_1 else self.max_num_iterations

    def _settle_phases(self, preset: Preset) -> None:
        """Set the length of each phase; a resumed training keeps the borders of its phases."""
        pipeline: Any = self.pipeline
        checkpoint = checkpoint_to_resume(self)
        begun = None if checkpoint is None else load_checkpoint(checkpoint).header.phases
        try:
            usual = {name: round(self.preset_share * length) for name, length in preset.steps.items()}
            steps, total = settle_steps(pipeline.steps.by_name(), usual, self.max_num_iterations, begun)
        except ValueError as error:
            raise SageError(f"--pipeline.steps: {error}") from error
        pipeline.steps = PhaseSteps(**{name: steps.get(name, 0) for name in pipeline.steps.by_name()})
        self.max_num_iterations = total

    def _settle_device(self) -> None:
        requested = self.machine.device_type
        if self.machine.num_devices * self.machine.num_machines != 1:
            raise SageError(
                "--machine.num-devices and --machine.num-machines must be 1: an avatar trains on one device."
            )
        if requested == "mps" or (requested == "cuda" and not torch.cuda.is_available()):
            CONSOLE.print("Surfels are drawn with CUDA or on the CPU; there is no CUDA device here. Using the CPU.")
            self.machine.device_type = "cpu"

    def _check(self) -> None:
        pipeline: Any = self.pipeline
        model = pipeline.model
        least = {
            "--max-num-iterations": (self.max_num_iterations, 1),
            "--pipeline.model.num-surfels": (model.num_surfels, 1),
            "--pipeline.model.num-rays": (model.num_rays, 1),
            "--pipeline.model.num-surface-points": (model.num_surface_points, 1),
            "--pipeline.model.supersampling": (model.supersampling, 1),
            "--pipeline.model.sh-degree": (model.sh_degree, 0),
        }
        for name, length in pipeline.steps.by_name().items():
            least[f"--pipeline.steps.{name.replace('_', '-')}"] = (length, 0)
        for name, (value, minimum) in least.items():
            if value is not None and value < minimum:
                raise SageError(f"{name} is {value}; it must be at least {minimum}.")
        if self.preset != "auto":
            find_preset(self.preset)
        if model.sh_degree > 3:
            raise SageError(f"--pipeline.model.sh-degree is {model.sh_degree}; it can be 0 to 3.")
        strengths = {
            "--pipeline.model.correction-gamma": (model.correction_gamma, 100.0),
            "--pipeline.model.wrinkles": (model.wrinkles, 100.0),
            "--pipeline.model.wrinkle-dimming": (model.wrinkle_dimming, 100.0),
            "--pipeline.appearance-everywhere": (pipeline.appearance_everywhere, 1.0),
        }
        for name, (value, largest) in strengths.items():
            if not 0.0 <= value <= largest:
                raise SageError(f"{name} is {value:g}; it can be 0 to {largest:g}.")
        if model.lpips_weights is not None:
            load_lpips(model.lpips_weights)

    def _make_paths_absolute(self) -> None:
        # Commands read config.yml from other working directories.
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
            (self.pipeline.model, "mouth_prior"),
            (self.pipeline.model, "prior_mesh"),
        ):
            value = getattr(holder, name)
            if value is not None:
                setattr(holder, name, Path(value).absolute())
        # Names stay names; every other text is a path.
        for holder, name, names in (
            (self.pipeline.model, "complete_from", (NOTHING, *SOURCES)),
            (self.pipeline, "pseudo_views", (NO_VIEWS, *PROVIDERS)),
        ):
            text = getattr(holder, name)
            if text not in names:
                setattr(holder, name, str(Path(text).expanduser().absolute()))
        datamanager.run_dir = self.get_base_dir()

    def save_config(self) -> None:
        """Do nothing. The trainer saves the config after it has read the capture: a failed start leaves no folder."""

    def write(self) -> Path:
        """Write ``config.yml`` into the run's folder, as nerfstudio does but complete or not at all; return its path.

        Raises:
            WriteError: the file cannot be written.
        """
        path = self.get_base_dir() / "config.yml"
        write_text(path, yaml.dump(self))
        return path


class SageTrainer(Trainer):
    """nerfstudio's trainer with atomic checkpoints and a total number of steps."""

    config: SageTrainerConfig
    _resumed: Checkpoint | None = None

    @property
    def num_steps(self) -> int:
        """Training steps in total, including those of a resumed run."""
        total = self.config.max_num_iterations
        assert total is not None, "set_timestamp sets it"
        return total

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Read the capture, build everything, and save the config and the snapshot of the capture.

        If the checkpoint to resume already has all steps, nothing is done or written.

        Raises:
            SageError: the capture or another input cannot be used, or the run's folder cannot be written. Nothing has
                been written then.
            SystemExit: the user has pressed Ctrl-C.
        """
        self.callbacks = []
        path = checkpoint_to_resume(self.config)
        self._resumed = None if path is None else load_checkpoint(path)
        self._start_step = 0 if self._resumed is None else self._resumed.header.step + 1
        if self._start_step >= self.num_steps:
            return
        refuse_unwritable(self.base_dir)
        with one_line(lambda: "Interrupted before the first step."), disk_errors_of(self.base_dir):
            super().setup(test_mode)
            self._print_preset()
            self.pipeline.datamanager.keep(self.base_dir)  # type: ignore[operator]
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], self._after_iteration))

    def _print_preset(self) -> None:
        changed = ", ".join(f"{name} = {value}" for name, value in self.config.changed.items())
        CONSOLE.print(f"Preset {self.config.preset}" + escape(f"; changed from it: {changed}" if changed else ""))

    def setup_optimizers(self) -> Optimizers:
        """Save the config, then build nerfstudio's optimisers. The capture has passed all checks by then."""
        CONSOLE.log(f"Saving config to: {escape(str(self.config.write()))}")
        return super().setup_optimizers()

    def train(self) -> None:
        """Train up to ``max_num_iterations`` steps in total, counting those of a loaded checkpoint.

        Ctrl-C ends the training after the current step, with a checkpoint; a second Ctrl-C ends it at once.

        Raises:
            SystemExit: the user has pressed Ctrl-C before the last step.
            WriteError: the disk is full.
        """
        total = self.num_steps
        if self._start_step >= total:
            CONSOLE.print(f"The checkpoint already has {self._start_step} of {total} steps: nothing left to train.")
            return
        self.config.max_num_iterations = total - self._start_step
        self._stop = StopRequest(lambda: self.training_state == "training")
        try:
            cores = cores_for_kernels() if self.device == "cpu" else nullcontext()
            with one_line(self._how_to_go_on), self._stop.watched(), disk_errors_of(self.base_dir), cores:
                self._train()
        finally:
            self.config.max_num_iterations = total

    def _load_checkpoint(self) -> None:
        """Load the checkpoint to resume, if any, after a check that it fits.

        Raises:
            CheckpointError: the checkpoint does not fit this method or its optimisers; names its file.
        """
        checkpoint = self._resumed
        if checkpoint is None:
            return
        cast(Any, self.pipeline).load_checked(checkpoint)
        self._load_optimizers(checkpoint)
        self._resumed = None
        CONSOLE.print(f"Continuing from {escape(str(checkpoint.path))}", soft_wrap=True)

    def _load_optimizers(self, checkpoint: Checkpoint) -> None:
        # A copy: optimisers may keep the tensors, and these belong to the file until then.
        content, source = deepcopy(dict(checkpoint.content)), str(checkpoint.path)
        parts = {"optimizers": self.optimizers.optimizers, "schedulers": self.optimizers.schedulers}
        for kind, ours in parts.items():
            stored = content.get(kind)
            if not isinstance(stored, dict) or set(stored) != set(ours):
                found = ", ".join(map(str, stored)) if isinstance(stored, dict) else "nothing"
                raise CheckpointError(
                    f"{source}: '{kind}': found {found}, expected {', '.join(ours)}. Resume with the method and the "
                    "settings of the run; to start from its surfels, give --pipeline.model.start-from AVATAR.npz."
                )
        for name, optimizer in self.optimizers.optimizers.items():
            check_optimizer(content["optimizers"][name], optimizer, f"{source}: 'optimizers.{name}'", CheckpointError)
        try:
            self.optimizers.load_optimizers(content["optimizers"])
            if self.config.load_scheduler:
                self.optimizers.load_schedulers(content["schedulers"])
            self.grad_scaler.load_state_dict(content.get("scalers", {}))
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{source}: the state of the optimisers cannot be used ({error}).") from error

    def _train(self) -> None:
        try:
            super().train()
        except KeyboardInterrupt:
            saved = checkpoint_path(self.checkpoint_dir, self.step).is_file()
            if self.training_state == "completed" and saved:  # the viewer shows the finished avatar until Ctrl-C
                return
            if self.training_state == "paused":
                self.save_checkpoint(self.step - 1)
            raise

    def _how_to_go_on(self) -> str:
        if not any(self.checkpoint_dir.glob("*.ckpt")):
            return "Interrupted before the first checkpoint."
        return f"Interrupted. Repeat the command with --load-dir {self.checkpoint_dir} to go on."

    def _after_iteration(self, step: int) -> None:
        schedule = cast(Any, self.pipeline).schedule
        schedule.after_step(step, self.optimizers.optimizers)
        if self._stop.made:
            self.save_checkpoint(step)
            raise KeyboardInterrupt

    def save_checkpoint(self, step: int) -> None:
        """Write the checkpoint atomically."""
        if self.local_rank != 0:
            return
        schedule = cast(Any, self.pipeline).schedule
        content = {
            "pipeline": self.pipeline.state_dict(),
            "optimizers": {name: each.state_dict() for name, each in self.optimizers.optimizers.items()},
            "schedulers": {name: each.state_dict() for name, each in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
        }
        path = write_checkpoint(self.checkpoint_dir, CheckpointHeader(step, schedule.steps()), content)
        if self.config.save_only_latest_checkpoint:
            for other in self.checkpoint_dir.glob("*.ckpt"):
                if other != path:
                    other.unlink()
