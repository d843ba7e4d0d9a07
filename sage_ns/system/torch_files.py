"""Read files of `torch.save` without running code from them, and check them before torch opens them.

torch's loader trusts what a file claims about its arrays: kernels would read past the end of short ones.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.pickle_limits import MAX_PICKLE_BYTES
from sage_ns.system.user_files import in_bytes, open_regular

_ENCRYPTED = 1
"""Bit of a zip member's flags."""
_UNSAFE = re.compile(r"GLOBAL (\S+)")


def load_torch_file(path: Path, error: type[SageError], kind: str, hint: str) -> Any:
    """Return the content of a file on the CPU; arrays stay in the file until they are used.

    Args:
        path: the file.
        error: class of the error to raise.
        kind: what the file should be, for messages: "a checkpoint of a training".
        hint: what the user should do; ends every message.

    Raises:
        SageError: of the given class; the file is missing, truncated or damaged, holds more than tensors and plain
            values, or a tensor that is not plain or larger than the file.
    """
    check_torch_file(path, error, hint)
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # A damaged file can raise almost any error in torch's reader.
    except Exception as cause:
        raise error(f"{path} is not {kind} ({_reason(cause)}). {hint}") from cause
    size = path.stat().st_size
    for name, tensor in leaves(content):
        if isinstance(tensor, Tensor):
            _check_storage(path, name, tensor, size, error)
    return content


def check_torch_file(path: Path, error: type[SageError], hint: str = "") -> None:
    """Refuse a file that is no archive of `torch.save`, or whose members claim more than the file holds.

    torch stores tensors as they are; a compressed or encrypted member comes from another program, and torch would
    reserve as much memory as it claims. Nothing but the table of contents is read.

    Raises:
        SageError: Of the given class; the path is not a regular file, the file is no such archive or truncated, or a
            member is compressed, encrypted or too large. Names the file and the member.
    """
    with open_regular(path, error, hint) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except BROKEN as cause:
            problem = f"not a checkpoint that torch.save wrote, or truncated ({cause}; {in_bytes(size)})"
            raise error(f"{path}: {problem}. {hint}".rstrip()) from cause
    fault = _fault(members, size)
    if fault:
        raise error(f"{path}: {fault}. {hint}".rstrip())


def _fault(members: list[zipfile.ZipInfo], size: int) -> str | None:
    """Return what is wrong with the members of an archive; None if nothing is."""
    pickles = [info for info in members if info.filename.rpartition("/")[2] == "data.pkl"]
    if not pickles:
        return "found no 'data.pkl' in the archive, expected a checkpoint that torch.save wrote"
    for info in members:
        if info.flag_bits & _ENCRYPTED:
            return f"'{info.filename}': found an encrypted member, expected plain ones"
        if info.compress_type != zipfile.ZIP_STORED:
            return f"'{info.filename}': found a compressed member, expected plain ones, as torch.save writes them"
    largest = max(info.file_size for info in pickles)
    if largest > MAX_PICKLE_BYTES:
        return f"'data.pkl': claims {in_bytes(largest)}, expected at most {in_bytes(MAX_PICKLE_BYTES)}"
    total = sum(info.file_size for info in members)
    if total > size:
        return f"its members claim {in_bytes(total)}, but the file has {in_bytes(size)}"
    return None


def _check_archive(path: Path) -> None:
    """Check the zip archive that a checkpoint is: nothing compressed, and every entry as it was written."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("its entries are compressed, which torch never does")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its entry {damaged} is damaged")


def _check_storage(path: Path, name: str, tensor: Tensor, size: int, error: type[SageError]) -> None:
    """Check that a tensor is plain and no larger than its file: strides of 0 could claim any size."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise error(f"{path}: '{name}': found a sparse, quantised or empty-device tensor, expected a plain one.")
    if tensor.numel() * tensor.element_size() > size:
        raise error(f"{path}: '{name}': found shape {list(tensor.shape)}, which is more than the file holds.")


def leaves(content: Any) -> Iterator[tuple[str, Tensor | float]]:
    """Yield tensors and numbers of nested containers with their dotted names; each container only once."""
    waiting: list[tuple[str, Any]] = [("", content)]
    visited: set[int] = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, (Tensor, float)):
            yield name.removeprefix("."), value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in visited:
            visited.add(id(value))  # a container may contain itself, or appear a billion times
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}", each) for key, each in items]


def _reason(cause: Exception) -> str:
    """Return why torch refused a file, without torch's advice to load it unsafely."""
    text = str(cause)
    if "weights_only" in text or "Weights only" in text:
        named = _UNSAFE.search(text)
        return f"it holds more than tensors and numbers: {named[1] if named else 'unknown objects'}; it could run code"
    return f"{type(cause).__name__}: {text.splitlines()[0][:200] if text else 'unreadable'}"
