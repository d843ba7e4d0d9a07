"""Find, read and write the checkpoints of a training."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from nerfstudio.engine.trainer import TrainerConfig

from sage_ns.errors import SageError
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.torch_files import check_torch_file
from sage_ns.system.user_files import check_regular


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
        if path is not None:
            check_regular(path, SageError, "Give a checkpoint of a run (step-*.ckpt) as --load-checkpoint.")
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
    check_torch_file(checkpoint, SageError, "Give a checkpoint of a run (step-*.ckpt).")
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        phases = {str(name): int(length) for name, length in content["phases"].items()}
        return CheckpointHeader(int(content["step"]), phases)
    except (*BROKEN, AttributeError, ImportError, UnpicklingError) as error:
        raise SageError(f"{checkpoint} is not a checkpoint of a training: {error}") from error


def write_checkpoint(folder: Path, header: CheckpointHeader, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint under a temporary name, then rename it: a killed training keeps its last checkpoint intact.

    Args:
        folder: the run's ``nerfstudio_models``.
        header: step and phases; the step gives the file its name.
        content: state dicts by name, as nerfstudio stores them.

    Returns:
        The path of the checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{header.step:09d}.ckpt"
    unfinished = folder.parent / f".{path.name}.{os.getpid()}"
    torch.save({"step": header.step, "phases": dict(header.phases), **content}, unfinished)
    os.replace(unfinished, path)
    return path
