"""Find, read, check and write the checkpoints of a training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from nerfstudio.engine.trainer import TrainerConfig

from sage_ns.errors import SageError
from sage_ns.plugin.checkpoint_checks import check_content, read_content
from sage_ns.system.files import whole_file
from sage_ns.system.user_files import check_regular
from sage_ns.training.schedule import PhaseSteps

_NAME = re.compile(r"step-\d{9}\.ckpt")
_MOST_STEPS = 10**9


class CheckpointError(SageError):
    """A checkpoint is missing, truncated, damaged, or of another program."""


@dataclass(frozen=True)
class CheckpointHeader:
    """Step and phases of a training, as its checkpoint stores them."""

    step: int
    """Index of the last step before the checkpoint."""
    phases: Mapping[str, int]
    """Length of each phase by name, in their order."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose arrays have been checked."""

    path: Path
    header: CheckpointHeader
    content: Mapping[str, Any]
    """State dicts by name; "pipeline" is that of the pipeline, the others are missing in runs that were not trained."""


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
    strange = [name for name in names if not _NAME.fullmatch(name)]
    if strange or not names:
        found = f"holds {', '.join(strange[:3])}" if strange else "is empty"
        raise SageError(f"--load-dir {config.load_dir} {found}. Give a run's nerfstudio_models folder (step-*.ckpt).")
    name = names[-1] if config.load_step is None else f"step-{config.load_step:09d}.ckpt"
    if name not in names:
        raise SageError(f"--load-dir {config.load_dir} has no {name}; give one of {', '.join(names)}.")
    return config.load_dir / name


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the highest step of a run's ``nerfstudio_models``; None if there is none."""
    return next(iter(_newest_first(folder)), None)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint onto the CPU without running code from it, and check all of its arrays.

    Raises:
        CheckpointError: the checkpoint cannot be used; names the file, the fault, and the newest good checkpoint in
            the same folder.
    """
    try:
        return _checked(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error} {_fallback(path)}") from error


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


def _checked(path: Path) -> Checkpoint:
    content = read_content(path, CheckpointError)
    header = _header(path, content)
    check_content(content, str(path), CheckpointError)
    return Checkpoint(path, header, content)


def _header(path: Path, content: Mapping[str, Any]) -> CheckpointHeader:
    step: Any = content.get("step")
    phases: Any = content.get("phases")
    if not _is_count(step):
        raise CheckpointError(f"{path}: 'step': found {_brief(step)}, expected the index of a training step.")
    names = [each.name for each in fields(PhaseSteps)]
    if not isinstance(phases, dict) or not phases or not set(phases) <= set(names):
        raise CheckpointError(f"{path}: 'phases': found {_brief(phases)}, expected the steps of {', '.join(names)}.")
    for name, length in phases.items():
        if not _is_count(length):
            raise CheckpointError(f"{path}: 'phases': found {name} = {_brief(length)}, expected a number of steps.")
    return CheckpointHeader(step, phases)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_STEPS


def _brief(value: object) -> str:
    return "nothing" if value is None else repr(value)[:80]


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def _fallback(path: Path) -> str:
    """Say which checkpoint in the same folder can be used in place of a broken one."""
    for other in _newest_first(path.parent):
        if other.name == path.name:
            continue
        try:
            step = int(other.stem.removeprefix("step-"))
            _checked(other)
        except CheckpointError:
            continue
        return (
            f"The newest good checkpoint beside it is {other.name}. To continue the training from it, give --load-dir "
            f"{path.parent} --load-step {step}; for all other commands, move {path.name} out of its folder."
        )
    return "There is no good checkpoint beside it: copy the file again, or train again."
