"""What a subject of the corpus is: a whole input of a reader, and what the reader makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from tests.corpus.damage import Kind, Verdict


@dataclass(frozen=True)
class Subject:
    """A file that a user gives, and the reader of it."""

    name: str
    kind: Kind
    write: Callable[[Path], Path]
    """writes whole inputs into an empty folder and returns the file to damage"""
    read: Callable[[Path], Any]
    """reads the input of which this file is a part, and returns all that the program takes from it"""
    optional: frozenset[str] = frozenset()
    """names of arrays that the input need not have, or that the reader does not use"""
    verdicts: Mapping[str, tuple[Verdict, str]] = field(default_factory=dict)
    """damages that have another verdict here, and the reason"""
    named: tuple[str, ...] = ()
    """other files that an error may name: a damage shows where two files do not fit each other"""


def fingerprint(value: Any) -> str:
    """The same text for the same values, whatever their memory layout.

    Raises:
        ValueError: a number in it is not finite.
    """
    digest = hashlib.sha256()
    _feed(digest, value, 0)
    return digest.hexdigest()


def _feed(digest: Any, value: Any, depth: int) -> None:
    if depth > 30:
        raise ValueError("it is nested too deep")
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if sparse.issparse(value):
        value = value.toarray()
    if isinstance(value, (np.ndarray, np.generic)):
        _feed_array(digest, np.ascontiguousarray(value))
    elif isinstance(value, (set, frozenset)):
        _feed(digest, sorted(value, key=str), depth)
    elif isinstance(value, (list, tuple)):
        digest.update(f"{len(value)}".encode())
        for each in value:
            _feed(digest, each, depth + 1)
    elif value is None or isinstance(value, (str, int, float, bytes, bool, Enum, type, Path)):
        _feed_plain(digest, value)
    else:
        digest.update(type(value).__name__.encode())
        for key, each in sorted(_parts(value).items(), key=lambda pair: str(pair[0])):
            digest.update(str(key).encode())
            _feed(digest, each, depth + 1)


def _feed_array(digest: Any, array: np.ndarray) -> None:
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        raise ValueError("it holds numbers that are not finite")
    numeric = array.dtype.kind in "fiub"
    digest.update(f"{numeric or array.dtype.kind}{array.shape}".encode())
    digest.update(array.astype(np.float64 if numeric else array.dtype.newbyteorder("=")).tobytes())


def _feed_plain(digest: Any, value: Any) -> None:
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError("it holds a number that is not finite")
    digest.update(str(value.name if isinstance(value, Path) else value).encode(errors="surrogatepass"))


def _parts(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, torch.nn.Module):
        return value.state_dict()
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: each for name, each in getattr(value, "__dict__", {}).items() if not callable(each)}
