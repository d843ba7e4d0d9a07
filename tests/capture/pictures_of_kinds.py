"""Writers of picture files that Pillow cannot write, for tests."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def write_png_16(path: Path, samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> Path:
    """Write uint16 samples [h, w, channels] as a PNG with 16 bits per channel, and further chunks before the pixels."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPES[channels], 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))
    return path


def write_tiff_16(path: Path, samples: np.ndarray, order: str = "<") -> Path:
    """Write uint16 samples [h, w, 3] as an uncompressed RGB TIFF with 16 bits per channel, of a byte order."""
    height, width, _ = samples.shape
    data = samples.astype(f"{order}u2").tobytes()
    values = {256: width, 257: height, 259: 1, 262: 2, 277: 3, 278: height, 279: len(data), 284: 1}
    bits_at = 8
    values[273] = bits_at + 6
    entries = {tag: struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in values.items()}
    entries[258] = struct.pack(f"{order}HHII", 258, 3, 3, bits_at)
    directory = b"".join(entries[tag] for tag in sorted(entries))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", values[273] + len(data))
    table = struct.pack(f"{order}H", len(entries)) + directory + struct.pack(f"{order}I", 0)
    path.write_bytes(head + struct.pack(f"{order}HHH", 16, 16, 16) + data + table)
    return path


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
