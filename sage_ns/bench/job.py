"""One row of one capture with one seed: its folders, its configs, and fingerprints of its inputs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from sage_ns.bench.rows import ROWS, check_rows
from sage_ns.errors import SageError
from sage_ns.jobs.task import JOB_FILE
from sage_ns.jobs.workplace import Device
from sage_ns.plugin.methods import configured
from sage_ns.plugin.trainer import SageTrainerConfig
from sage_ns.system.files import write_json
from sage_ns.system.typed_json import load_typed, plain

RUN_NAME = "training"
"""Time stamp of the run in nerfstudio's terms; a fixed one lets an interrupted training continue in its folder."""


@dataclass(frozen=True)
class Settings:
    """Settings of all rows of a benchmark."""

    preset: str = "auto"
    """preset of sizes: paper or small; auto = paper with CUDA, small without"""
    steps: int | None = None
    """training steps; None = the preset's"""
    downscale_factor: int = 1
    """shrink the pictures by this factor"""
    head_model: Path | None = None
    """head model file; None = search near each capture"""
    device: Device | None = None
    """device of all jobs; None = the one that torch finds where they run"""

    def check_device(self) -> None:
        """Check, where a job runs, that its device is there.

        Raises:
            SageError: torch finds another one.
        """
        found = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device not in (None, found):
            raise SageError(
                f"The job needs the device {self.device}, but torch finds {found} on {platform.node()}. Install a "
                "torch for its GPU there, or start Ray there with --num-gpus 0."
            )


SomeSettings = TypeVar("SomeSettings", bound=Settings)


def on_device(settings: SomeSettings, device: Device | None) -> SomeSettings:
    """Return settings for a device: it chooses the preset if that is auto, not the machine that plans."""
    if device is None:
        return settings
    preset = ("paper" if device == "cuda" else "small") if settings.preset == "auto" else settings.preset
    return replace(settings, device=device, preset=preset)


@dataclass(frozen=True)
class Job:
    """One row of one capture with one seed. Paths are absolute."""

    out: Path
    """folder of the benchmark"""
    capture: Path
    row: str
    seed: int
    settings: Settings
    trained_as: str
    """row whose folder contains the training: several rows may share one"""
    training_key: str = ""
    """fingerprint of all inputs of the training"""
    key: str = ""
    """fingerprint of all inputs of the figures"""

    @property
    def folder(self) -> Path:
        """Folder of the figures."""
        return self.out / self.capture.name / self.row / f"seed-{self.seed}"

    @property
    def training_folder(self) -> Path:
        """Folder of the training and its clock."""
        return self.out / self.capture.name / self.trained_as / f"seed-{self.seed}"

    @property
    def run_folder(self) -> Path:
        """Run of the training in nerfstudio's layout (``config.yml``, ``nerfstudio_models``)."""
        return self.training_folder / ROWS[self.row].method / RUN_NAME

    def training_config(self) -> SageTrainerConfig:
        """Return the config of the training, as ns-train would start with it.

        Raises:
            SageError: the row names a setting that the method does not have.
        """
        return self._config(ROWS[self.row].trained_with)

    def drawing_config(self) -> SageTrainerConfig:
        """Return the config for loading the trained avatar: settled, with the row's settings for drawing.

        Raises:
            SageError: the row names a setting that the method does not have, or a setting is out of range.
        """
        row = ROWS[self.row]
        return settled(self._config({**row.trained_with, **row.drawn_with}))

    def _config(self, of_row: Mapping[str, Any]) -> SageTrainerConfig:
        row = ROWS[self.row]
        overrides = {"pipeline.datamanager.dataparser.frames": row.frames, **of_row, **self.files_beside()}
        try:
            return config_of_training(
                row.method, self.capture, self.training_folder, self.seed, self.settings, overrides
            )
        except SageError as error:
            raise SageError(f"The row '{self.row}' cannot be set up: {error}") from error

    def files_beside(self) -> dict[str, Path]:
        """Return the files in the capture's folder that the row's training reads, by setting.

        Raises:
            SageError: the capture has none of the possible files; names the row, the folder and the files.
        """
        found = {}
        for setting, names in ROWS[self.row].beside.items():
            paths = [self.capture / name for name in names if (self.capture / name).is_file()]
            if not paths:
                raise SageError(f"The row '{self.row}' needs one of {', '.join(names)} in {self.capture}.")
            found[setting] = paths[0]
        return found

    def save(self) -> None:
        """Write the job into its folder, for the process that runs it."""
        write_json(self.folder / JOB_FILE, plain(self))

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Read a job back.

        Raises:
            SageError: ``folder`` contains no job, or a broken one; names the file and the field.
        """
        path = folder / JOB_FILE
        job = load_typed(cls, path, SageError, "It is not a job of a benchmark; sage-bench writes and starts jobs.")
        try:
            check_rows([job.row, job.trained_as])
        except SageError as error:
            raise SageError(f"{path}: {error}") from error
        return job


def config_of_training(
    method: str, capture: Path, folder: Path, seed: int, settings: Settings, overrides: Mapping[str, Any]
) -> SageTrainerConfig:
    """Return the config of a training whose run is ``folder/METHOD/training``.

    Args:
        method: name of a method of ns-train.
        capture: absolute folder of the capture.
        folder: absolute folder of the training.
        seed: random seed.
        settings: sizes and files.
        overrides: further settings by dotted name.

    Raises:
        SageError: there is no such method or setting.
    """
    common = {
        "output_dir": folder.parent,
        "experiment_name": folder.name,
        "timestamp": RUN_NAME,
        "vis": "tensorboard",
        "machine.seed": seed,
        "machine.device_type": "cuda" if torch.cuda.is_available() else "cpu",
        "max_num_iterations": settings.steps,
        "steps_per_eval_image": 0,
        "pipeline.datamanager.dataparser.downscale_factor": settings.downscale_factor,
    }
    return configured(method, capture, settings.head_model, settings.preset, {**common, **overrides})


def settled(config: SageTrainerConfig) -> SageTrainerConfig:
    """Return a copy of ``config`` with all values that the preset and the machine determine."""
    config = deepcopy(config)
    config.set_timestamp()
    return config
