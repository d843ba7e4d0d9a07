"""Reads the files of `sage_ns.exchange.web.array_file`, following their documentation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def read_arrays(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file."""
    assert data[:8] == b"SAGEWEB1"
    length = int(np.frombuffer(data, "<u4", 1, 8)[0])
    header = json.loads(data[16 : 16 + length])
    arrays = {}
    for name, entry in header.pop("arrays").items():
        assert entry["offset"] % 8 == 0
        count = int(np.prod(entry["shape"], dtype=int))
        flat = np.frombuffer(data, np.dtype(entry["type"]).newbyteorder("<"), count, entry["offset"])
        arrays[name] = flat.reshape(entry["shape"])
    return header, arrays
