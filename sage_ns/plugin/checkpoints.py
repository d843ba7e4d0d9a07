"""Find, read and write the checkpoints of a training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from nerfstudio.engine.trainer import TrainerConfig

from sage_ns.errors import SageError
from sage_ns.system.files import whole_file


@dataclass(frozen=True)
class CheckpointHeader:
    """Step and phases of a training, as its checkpoint stores them."""

    step: int
    """Index of the last step before the checkpoint."""
    phases: Mapping[str, int]
    """Length of each phase by name, in their order."""


def checkpoint_to_resume(config: TrainerConfig) -> Path | None:
    """Return the checkpoint to load by ``load_dir`` (and ``load_step``) or ``load_checkpoint``; None without these.

    Raises:
        SageError: the checkpoint or its folder does not exist.
    """
    if config.load_dir is None:
        path = config.load_checkpoint
        if path is not None and not path.is_file():
            raise SageError(f"--load-checkpoint {path} does not exist. Give a file step-*.ckpt of a run.")
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
        raise SageError(f"--load-dir {config.load_dir} has no {name}; give one of {', '.join(names)}.")
    return config.load_dir / name


def read_header(checkpoint: Path) -> CheckpointHeader:
    """Read step and phases of a checkpoint without loading its tensors.

    Raises:
        SageError: the file is not a checkpoint of this program.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        phases = {str(name): int(length) for name, length in content["phases"].items()}
        return CheckpointHeader(int(content["step"]), phases)
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError, UnpicklingError) as error:
        raise SageError(
            f"{checkpoint} is not a checkpoint of a training ({error}). Give a file step-*.ckpt of a run."
        ) from error


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint after ``step``, the index of a training step."""
    return folder / f"step-{step:09d}.ckpt"


def write_checkpoint(folder: Path, header: CheckpointHeader, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint under a temporary name, then rename it: a killed training keeps its last checkpoint intact.

    Args:
        folder: the run's ``nerfstudio_models``.
        header: step and phases; the step gives the file its name.
        content: state dicts by name, as nerfstudio stores them.

    Returns:
        The path of the checkpoint.

    Raises:
        WriteError: the file cannot be written, e.g. on a full disk; older checkpoints stay.
    """
    path = checkpoint_path(folder, header.step)
    # nerfstudio takes every file in `folder` for a checkpoint. A file object: torch hides the system's error if it
    # opens the file itself.
    with whole_file(path, folder.parent) as unfinished, unfinished.open("wb") as file:
        torch.save({"step": header.step, "phases": dict(header.phases), **content}, file)
    return path
