"""One capture of a batch: its folder, its config, and fingerprints of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage_ns.bench.job import RUN_NAME, Settings, config_of_training
from sage_ns.errors import SageError
from sage_ns.jobs.task import JOB_FILE
from sage_ns.plugin.trainer import SageTrainerConfig
from sage_ns.system.files import read_json, write_json
from sage_ns.system.typed_json import load_typed, plain

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class BatchSettings(Settings):
    """Settings of all captures of a batch."""

    method: str = "sage-multiview"
    seed: int = 42
    exports: tuple[str, ...] = ("avatar",)
    """names, see :data:`sage_ns.batch.exports.EXPORTS`"""


@dataclass(frozen=True)
class CaptureJob:
    """Training and exports of one capture. Paths are absolute."""

    out: Path
    """folder of the batch"""
    capture: Path
    settings: BatchSettings
    training_key: str = ""
    """fingerprint of all inputs of the training"""
    key: str = ""
    """fingerprint of all inputs of the exports"""

    @property
    def folder(self) -> Path:
        """Folder of the training and the exports."""
        return self.out / self.capture.name

    @property
    def run_folder(self) -> Path:
        """Run of the training in nerfstudio's layout."""
        return self.folder / self.settings.method / RUN_NAME

    def config(self) -> SageTrainerConfig:
        """Return the config of the training, as ns-train would start with it.

        Raises:
            SageError: there is no such method.
        """
        settings = self.settings
        return config_of_training(settings.method, self.capture, self.folder, settings.seed, settings, {})

    def save(self) -> None:
        """Write the job into its folder, for the process that runs it."""
        write_json(self.folder / JOB_FILE, plain(self))

    @classmethod
    def load(cls, folder: Path) -> CaptureJob:
        """Read a job back.

        Raises:
            SageError: ``folder`` contains no job, or a broken one; names the file and the field.
        """
        hint = "It is not a job of a batch; sage-batch writes and starts jobs."
        return load_typed(cls, folder / JOB_FILE, SageError, hint)

    def result(self) -> Mapping[str, Any] | None:
        """Return the result of an earlier run with the same inputs, whose files are still there; None without one."""
        content = read_json(self.folder / RESULT_FILE)
        if not isinstance(content, dict) or content.get("key") != self.key:
            return None
        files = [*content["exports"].values(), content["picture"]]
        return content if all(Path(self.out / each).exists() for each in files) else None
