"""Results of networks as a user's few lines of Python have saved them: one row per picture, under the network's names.

`torch.save` or `numpy.savez` of the dict that the network returned; a list of such dicts, one per picture; or a folder
with one such file per picture. Arrays are [num_rows, width], or [width] for one picture. Files are read without running
code from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.capture.tracker_checkpoints import pickle_of
from sage_ns.errors import CaptureError
from sage_ns.rig import in_time_order
from sage_ns.rig.flame_files import timesteps_of
from sage_ns.system.array_fields import ArrayFields, read_npz
from sage_ns.system.npz_reader import npz_names
from sage_ns.system.torch_files import load_torch_file

_NPZ, _TORCH = ".npz", (".pt", ".pth")
_INNER, _NUMBER = "flame_params", "frame_idx"
"""Keys of an entry of SHeaP's list of results: the network's dict, and the number of the picture."""

_MOST_NUMBER = 2**53


@dataclass(frozen=True, eq=False)
class Rows:
    """Fields of all pictures in the order of time."""

    fields: Mapping[str, Float[Tensor, "num_rows width"]]
    frames: Int[Tensor, "num_rows"]
    places: tuple[str, ...]
    """File, and entry of the file if it has several, of each row."""


def holds(path: Path, names: Collection[str]) -> bool:
    """Return whether a file, or the first file of a folder, has fields of these names, by its beginning alone."""
    files = _files(path)
    if not files:
        return False
    if files[0].suffix == _NPZ:
        return set(names) <= (npz_names(files[0]) or frozenset())
    pickled = pickle_of(files[0])
    return all(name.encode() in pickled for name in names)


def read_rows(path: Path, widths: Mapping[str, int], optional: Collection[str], kind: str, hint: str) -> Rows:
    """Read fields of one file or of a folder.

    Args:
        path: The file or folder.
        widths: Names of the fields, and numbers of their columns.
        optional: Names of fields that may be absent everywhere; they become zeros.
        kind: What a file should be, for messages.
        hint: What the user should do; ends every message.

    Raises:
        CaptureError: A file cannot be read, or a field is missing, misshapen or not finite; names file and field.
    """
    files = _files(path)
    entries = [entry for file in files for entry in _entries(file, widths, kind, hint)]
    if not entries:
        raise CaptureError(f"{path}: found no pictures in it, expected at least one. {hint}")
    rows = [_fields(place, content, widths, optional, hint) for place, content in entries]
    counts = [len(next(iter(fields.values()))) for fields in rows]
    places = tuple(place for (place, _), count in zip(entries, counts, strict=True) for _ in range(count))
    frames = [content.get(_NUMBER) for _, content in entries]
    if all(type(number) is int and 0 <= number < _MOST_NUMBER for number in frames) and set(counts) == {1}:
        numbers = torch.tensor(frames)
    elif len(files) == len(places) > 1:
        numbers = torch.tensor(timesteps_of(files))
    else:
        numbers = torch.arange(len(places))
    joined = {name: torch.cat([fields[name] for fields in rows]) for name in widths}
    return Rows(joined, numbers, places)


def _fields(
    place: str, content: Mapping[str, Any], widths: Mapping[str, int], optional: Collection[str], hint: str
) -> dict[str, Float[Tensor, "num_rows width"]]:
    arrays = {name: _with_rows(content[name]) for name in widths if name in content}
    read = ArrayFields(place, arrays, CaptureError, hint)
    fields = {name: read.floats(name, f"num_rows {width}") for name, width in widths.items() if name in read}
    if not read.sizes.get("num_rows", 1):
        raise read.fail(next(iter(fields)), "no pictures", "at least one")
    missing = [name for name in widths if name not in fields]
    for name in missing:
        if name not in optional:
            raise read.fail(name, "nothing", f"an array of shape [num_rows, {widths[name]}]")
        fields[name] = torch.zeros(read.sizes["num_rows"], widths[name])
    return fields


def _with_rows(value: Any) -> Any:
    """Return a value with one row for one picture, in a type that numpy has."""
    if isinstance(value, Tensor) and value.is_floating_point():
        value = value.detach().float()
    return value[None] if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 1 else value


def _entries(file: Path, names: Collection[str], kind: str, hint: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dicts of a file, with their places."""
    if file.suffix == _NPZ:
        yield str(file), read_npz(file, CaptureError, names)
        return
    content = load_torch_file(file, CaptureError, kind, hint)
    listed = list(content) if isinstance(content, (list, tuple)) else [content]
    for number, entry in enumerate(listed):
        place = f"{file}: entry {number}" if isinstance(content, (list, tuple)) else str(file)
        inner = entry.get(_INNER, entry) if isinstance(entry, Mapping) else entry
        if not isinstance(inner, Mapping):
            raise CaptureError(f"{place}: found {type(inner).__name__}, expected {kind}. {hint}")
        yield place, {**inner, **({_NUMBER: entry[_NUMBER]} if _NUMBER in entry else {})}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        by_kind = ([*path.glob(f"*{_NPZ}")], [each for kind in _TORCH for each in path.glob(f"*{kind}")])
        return in_time_order(by_kind[0] or by_kind[1])
    return [path] if path.suffix in (_NPZ, *_TORCH) else []
