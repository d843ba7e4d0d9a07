"""Set up the pipeline of a finished run, like nerfstudio's ``eval_setup``, but without running code from its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from sage_ns.plugin.checkpoints import CheckpointError, load_checkpoint, newest_checkpoint
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.plugin.run_config import load_run_config
from sage_ns.plugin.trainer import SageTrainerConfig


@dataclass(frozen=True)
class LoadedRun:
    """A run with the state of its newest checkpoint."""

    config: SageTrainerConfig
    pipeline: SagePipeline
    step: int
    """Index of the last step before the checkpoint."""


def load_run(
    config_path: Path, test_mode: Literal["test", "inference"], config: SageTrainerConfig | None = None
) -> LoadedRun:
    """Load a run for evaluation, on the GPU if there is one.

    Args:
        config_path: config.yml of the run.
        test_mode: "test" reads the capture's test pictures if the capture is there, "inference" none.
        config: settled config that replaces the one in the file.

    Raises:
        RunConfigError: the config.yml is missing, or not one of ours.
        CheckpointError: there is no checkpoint, or it cannot be used.
        CaptureError: the run's capture and its snapshot cannot be read.
    """
    config = config or load_run_config(config_path)
    folder = config.get_checkpoint_dir()
    path = newest_checkpoint(folder)
    if path is None:
        raise CheckpointError(f"{config_path}: found no checkpoint step-*.ckpt in {folder}. Train, or copy them there.")
    checkpoint = load_checkpoint(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline: SagePipeline = config.pipeline.setup(device=device, test_mode=test_mode)
    pipeline.eval()
    pipeline.load_checked(checkpoint)
    return LoadedRun(config, pipeline, checkpoint.header.step)
