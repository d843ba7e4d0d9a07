"""Read files of a network's weights, of torch.save or safetensors, without running code from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.system.torch_files import leaves, load_torch_file
from sage_ns.system.user_files import check_regular

_LARGEST = 1e6
"""Largest weight; those of trained networks are at most some thousands."""


def load_weights(path: Path, hint: str) -> dict[str, Any]:
    """Return the arrays of a file by name; there may be containers around them.

    Args:
        path: a file that ends in .safetensors, or one of torch.save.
        hint: what the user should do; ends every message.

    Raises:
        SageError: the file is missing or damaged, holds more than arrays, or numbers that no network has.
    """
    check_regular(path, SageError, hint)
    content = _READERS.get(path.suffix.lower(), _read_torch)(path, hint)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SageError(f"{path}: found {type(content).__name__}, expected arrays by name (a state dict). {hint}")
    for name, value in leaves(content):
        # NaN passes no comparison
        if isinstance(value, Tensor) and not bool((value.double().abs() <= _LARGEST).all()):
            raise SageError(f"{path}: '{name}': found numbers that are not finite or above {_LARGEST:g}. {hint}")
    return content


def _read_torch(path: Path, hint: str) -> Any:
    return load_torch_file(path, SageError, "a file of weights that torch.save wrote", hint)


def _read_safetensors(path: Path, hint: str) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise SageError(f"{path}: not a readable safetensors file ({error}). {hint}") from error


_READERS: dict[str, Callable[[Path, str], Any]] = {".safetensors": _read_safetensors}
"""Readers by the end of the file's name; every other file is one of torch.save."""
