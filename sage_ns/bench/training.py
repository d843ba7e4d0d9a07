"""Trainings that go on where they were interrupted, unless their settings have changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from sage_ns.bench.clock import CLOCK_FILE, Clock, clocked
from sage_ns.jobs.task import Progress
from sage_ns.plugin.trainer import SageTrainerConfig
from sage_ns.system.files import read_json, write_json

TRAINING_FILE = "training.json"
"""File with the key of the training in a folder, written when the training starts."""


def train_or_continue(config: SageTrainerConfig, folder: Path, run_folder: Path, key: str) -> None:
    """Start or continue a training; a finished training is not changed.

    Args:
        config: config of the training, as ns-train would start with it.
        folder: folder of the training and its clock.
        run_folder: the run in it; deleted if it was trained with another key.
        key: fingerprint of all inputs of the training.

    Raises:
        SageError: the capture or a setting cannot be used.
    """
    from sage_ns.plugin.scripted_training import train

    content = {"key": key}
    if read_json(folder / TRAINING_FILE) != content:
        shutil.rmtree(run_folder, ignore_errors=True)
        (folder / CLOCK_FILE).unlink(missing_ok=True)
        write_json(folder / TRAINING_FILE, content)
    checkpoints = run_folder / config.relative_model_dir
    if any(checkpoints.glob("*.ckpt")):
        config.load_dir = checkpoints
    train(clocked(config))


def progress_of(folder: Path, then: str) -> Progress | None:
    """Return how far the training of a folder is; None before its first step.

    Args:
        folder: folder of the training.
        then: what follows the training: "evaluating".
    """
    clock = Clock.read(folder)
    if clock is None:
        return None
    return Progress("training" if clock.step < clock.num_steps else then, clock.step, clock.num_steps)
