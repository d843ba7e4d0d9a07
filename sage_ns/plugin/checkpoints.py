"""Checkpoints on disk: which one a training resumes from, what it holds, and how one is written."""

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
    """What a checkpoint says about its training."""

    step: int
    """Index of the last step that it has seen."""
    phases: Mapping[str, int]
    """Length of each phase by name, in their order."""


def checkpoint_to_resume(config: TrainerConfig) -> Path | None:
    """The checkpoint that ``config`` tells to load, by ``load_dir`` (and ``load_step``) or ``load_checkpoint``.

    Raises:
        SageError: it does not exist.
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
        raise SageError(f"--load-dir {config.load_dir} has no {name}; it has {', '.join(names)}.")
    return config.load_dir / name


def read_header(checkpoint: Path) -> CheckpointHeader:
    """What a checkpoint says about its training, without reading its tensors.

    Raises:
        SageError: it is no checkpoint of this program.
    """
    check_torch_file(checkpoint, SageError, "Give a checkpoint of a run (step-*.ckpt).")
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        phases = {str(name): int(length) for name, length in content["phases"].items()}
        return CheckpointHeader(int(content["step"]), phases)
    except (*BROKEN, AttributeError, ImportError, UnpicklingError) as error:
        raise SageError(f"{checkpoint} is not a checkpoint of a training: {error}") from error


def write_checkpoint(folder: Path, header: CheckpointHeader, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint beside its final name and rename it: a kill leaves the last checkpoint whole.

    Args:
        folder: the run's ``nerfstudio_models``.
        header: names the file, too.
        content: state dicts by name, as nerfstudio stores them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{header.step:09d}.ckpt"
    unfinished = folder.parent / f".{path.name}.{os.getpid()}"
    torch.save({"step": header.step, "phases": dict(header.phases), **content}, unfinished)
    os.replace(unfinished, path)
    return path
