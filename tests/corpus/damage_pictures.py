"""Damages of pictures and mattes (PNG files): bit depths, modes, sizes and headers."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.capture.pictures_of_kinds import write_png_16
from tests.corpus.damage import Damage, Spot, Verdict, rewritten


def picture_damages(role: str) -> list[Damage]:
    """Damages for PNG files with 8 bits; role: "picture" or "mask"."""
    grey = role == "mask"
    return [
        _png16("16 bits", "same"),
        _saved("palette", "any", lambda image: image.convert("P")),
        _saved("as TIFF", "same", lambda image: image, "TIFF"),
        _saved("as BMP", "right", lambda image: image, "BMP"),
        _saved("as GIF", "any", lambda image: image.convert("P"), "GIF"),
        _saved("as animated PNG", "refuse", lambda image: image, "PNG", save_all=True, append_images=[_other(grey)]),
        _saved("interlaced metadata", "same", lambda image: image, "PNG", dpi=(72, 72)),
        _saved("as CMYK JPEG", "any", lambda image: image.convert("CMYK"), "JPEG"),
        _saved("as PDF", "refuse", lambda image: image.convert("RGB"), "PDF"),
        _saved("as EPS", "refuse", lambda image: image.convert("RGB"), "EPS"),
        _saved("opaque alpha", "any" if grey else "same", lambda image: _with_alpha(image, 255)),
        _saved("empty alpha", "any", lambda image: _with_alpha(image, 0)),
        _saved("black and white", "any", lambda image: image.convert("1")),
        _saved(
            "32-bit integers", "any", lambda image: Image.fromarray(np.asarray(image.convert("L")).astype("i4")), "TIFF"
        ),
        _saved(
            "floats", "any", lambda image: Image.fromarray(np.asarray(image.convert("L")) / np.float32(255)), "TIFF"
        ),
        _saved("floats with NaN", "refuse", _nan, "TIFF"),
        _saved("a column too few", "refuse", lambda image: image.crop((0, 0, image.width - 1, image.height))),
        _saved("turned", "refuse", lambda image: image.transpose(Image.Transpose.ROTATE_90)),
        _saved("one pixel", "refuse", lambda image: image.resize((1, 1))),
        _saved("ten times larger", "refuse", lambda image: image.resize((10 * image.width, 10 * image.height))),
        _saved("upside down by its tag", "any", lambda image: image, "PNG", exif=_orientation(3)),
        _saved("lying by its tag", "refuse", lambda image: image, "PNG", exif=_orientation(6)),
        _header("claims 50,000 x 50,000", "refuse", 50_000, 50_000),
        _header("claims 2^31 - 1 pixels of width", "refuse", 2**31 - 1, 1),
        _header("claims no width", "refuse", 0, 1),
        _chunk_more("a text of 200 MB, packed", "any", b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20), 1)),
        _chunk_more("a profile of 200 MB, packed", "any", b"iCCP", b"a\0\0" + zlib.compress(bytes(200 << 20), 1)),
        _chunk_more("a profile of noise", "any", b"iCCP", b"a\0\0" + zlib.compress(bytes(range(256)) * 4)),
        _chunk_more("a gamma of 1", "any", b"gAMA", struct.pack(">I", 100_000)),
        *([_saved("inverted", "any", lambda image: Image.fromarray(255 - np.asarray(image)))] if grey else ()),
    ]


def _other(grey: bool) -> Image.Image:
    return Image.new("L" if grey else "RGB", (32, 40))


def _orientation(value: int) -> Any:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _with_alpha(image: Image.Image, level: int) -> Image.Image:
    changed = image.convert("LA" if image.mode == "L" else "RGBA")
    changed.putalpha(level)
    return changed


def _nan(image: Image.Image) -> Image.Image:
    values = np.asarray(image.convert("L")) / np.float32(255)
    values[::2] = np.nan
    return Image.fromarray(values)


def _saved(
    name: str, verdict: Verdict, change: Callable[[Image.Image], Image.Image], kind: str = "PNG", **options: Any
) -> Damage:
    def apply(spot: Spot) -> None:
        buffer = io.BytesIO()
        with Image.open(spot.path) as image:
            image.load()
            change(image.copy()).save(buffer, kind, **options)
        rewritten(spot, buffer.getvalue())

    return Damage(f"picture: {name}", verdict, apply)


def _png16(name: str, verdict: Verdict) -> Damage:
    def apply(spot: Spot) -> None:
        with Image.open(spot.path) as image:
            samples = np.asarray(image).astype(np.uint16) * 257
        spot.path.unlink()
        write_png_16(spot.path, samples if samples.ndim == 3 else samples[..., None])

    return Damage(f"picture: {name}", verdict, apply)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _header(name: str, verdict: Verdict, width: int, height: int) -> Damage:
    def apply(spot: Spot) -> None:
        content = spot.path.read_bytes()
        header = struct.pack(">II", width, height) + content[24:29]
        rewritten(spot, content[:8] + _chunk(b"IHDR", header) + content[33:])

    return Damage(f"picture: {name}", verdict, apply)


def _chunk_more(name: str, verdict: Verdict, kind: bytes, body: bytes) -> Damage:
    def apply(spot: Spot) -> None:
        content = spot.path.read_bytes()
        rewritten(spot, content[:33] + _chunk(kind, body) + content[33:])

    return Damage(f"picture: {name}", verdict, apply)
