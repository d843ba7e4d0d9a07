"""The state of learning, kept beside what is learned: a stopped run goes on and equals an unbroken one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.priors.coded import PriorError
from sage_ns.system.files import whole_file
from sage_ns.system.torch_files import load_torch_file


def keep_state(path: Path, key: str, done: int, values: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Write the state of learning.

    Args:
        path: file to write.
        key: what identifies data and settings.
        done: steps that are done.
        values: all that the optimiser changes.
        optimizer: with its own state.

    Raises:
        WriteError: the file cannot be written.
    """
    state = {"key": key, "done": done, "values": [each.detach().cpu() for each in values]}
    state["optimizer"] = optimizer.state_dict()
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        torch.save(state, file)


def resume_state(path: Path, key: str, values: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> int:
    """Go on from a state that was kept; returns the steps that are done, 0 if there is none or it does not fit.

    Args:
        path: file of `keep_state`.
        key: a state with another one is not used.
        values: all that the optimiser changes; they are overwritten.
        optimizer: gets its own state back.
    """
    if not path.exists():
        return 0
    with suppress(SageError):
        state: Any = load_torch_file(path, PriorError, "the state of something that is learned", "")
        if isinstance(state, dict) and state.get("key") == key:
            with torch.no_grad():
                for value, kept in zip(values, state["values"], strict=True):
                    value.copy_(kept)
            optimizer.load_state_dict(state["optimizer"])
            return int(state["done"])
    return 0
