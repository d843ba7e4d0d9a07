"""Fingerprints of settings and captures: figures are computed again if any of their inputs has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nerfstudio.data.dataparsers.base_dataparser import DataParser
from torch import Tensor

from sage_ns.capture.record import CaptureRecord

_CAMERA_FIELDS = ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "metadata")


def fingerprint(*values: Any) -> str:
    """Return a hash of the values, as sixteen hexadecimal digits.

    Args:
        values: numbers, strings, paths, tensors, arrays, types and functions, and dataclasses, mappings and
            sequences of them. The order of mappings does not matter.

    Raises:
        TypeError: a value has another type.
    """
    digest = hashlib.sha256()
    for value in values:
        _feed(digest, value)
    return digest.hexdigest()[:16]


def _feed(digest: Any, value: Any) -> None:
    def update(*parts: object) -> None:
        digest.update("\0".join(map(str, (*parts, ""))).encode())

    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        update("array", value.dtype, value.shape)
        digest.update(np.ascontiguousarray(value).tobytes())
    elif value is None or isinstance(value, (bool, int, float, str, Path)):
        update(type(value).__name__ if not isinstance(value, Path) else "path", repr(str(value)))
    elif isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        update("name", value.__module__, value.__qualname__)
    elif is_dataclass(value):
        update("dataclass", type(value).__qualname__)
        _feed(digest, {each.name: getattr(value, each.name) for each in fields(value)})
    elif isinstance(value, Mapping):
        update("mapping", len(value))
        for name in sorted(value, key=str):
            _feed(digest, name)
            _feed(digest, value[name])
    elif isinstance(value, (list, tuple)):
        update("sequence", len(value))
        for each in value:
            _feed(digest, each)
    else:
        raise TypeError(f"a {type(value).__name__} has no fingerprint")


def capture_fingerprint(dataparser: DataParser) -> str:
    """Return the fingerprint of a capture: cameras, motion, head model, and names and sizes of the picture files.

    Pictures are not read. The path of the folder does not matter.

    Raises:
        SageError: the capture cannot be used.
    """
    parts: list[Any] = []
    for split in ("train", "val", "test"):
        outputs = dataparser.get_dataparser_outputs(split=split)
        record = CaptureRecord.of(outputs.metadata)
        pictures = [*outputs.image_filenames, *record.mask_filenames, *record.hidden_filenames]
        parts.append([(path.name, path.stat().st_size) for path in pictures if path is not None])
        parts.append({name: getattr(outputs.cameras, name) for name in _CAMERA_FIELDS})
        if split == "train":
            shared = ("head_model", "flame_params", "timesteps", "canonical_row", "background")
            parts += [getattr(record, name) for name in shared]
    return fingerprint(parts)
