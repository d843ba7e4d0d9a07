"""Read the one photo that is tracked: upright sRGB, its alpha, and what its file says about the lens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sage_ns.capture.decode import decode_picture, read_exif, read_header
from sage_ns.errors import CaptureError, TrackingError
from sage_ns.system.user_files import check_regular, open_regular, sha256_of
from sage_ns.tracking.focal import EXIF_SPREAD, RANGE_MM, FocalLength, in_pixels, usual_focal_length

LEAST_SIDE = 64
"""Pixels; no face of the least width that is tracked fits into smaller pictures with its hair."""
_FILM_MM, _EXIF_WIDTH, _EXIF_HEIGHT = 0xA405, 0xA002, 0xA003
"""EXIF 2.32: FocalLengthIn35mmFilm; PixelXDimension and PixelYDimension."""
_SAME_ASPECT = 0.02
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
"""Brands of HEIF files, which follow "ftyp" at the fifth byte (ISO/IEC 23008-12, Annex B)."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as people see it."""

    path: Path
    pixels: UInt8[np.ndarray, "h w 3"]
    """sRGB, upright; where the file has alpha, its colours as stored (straight)."""
    alpha: UInt8[np.ndarray, "h w"] | None
    """The file's transparency; None where it has none or is opaque everywhere."""
    focal: FocalLength
    sha256: str
    """Of the file."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_photo(path: Path) -> Photo:
    """Read a photo.

    Orientation tag, bit depth, palette and colour profile are applied (`sage_ns.capture.decode`).

    Raises:
        TrackingError: the path is a folder, or a kind of picture that is not read; says what to do.
        CaptureError: the picture is broken, too large, or cannot be converted exactly; says what to do.
    """
    if path.is_dir():
        raise TrackingError(f"{path} is a folder; give the file of one picture.")
    check_regular(path, TrackingError, "Give the file of one picture.")
    _refuse_heic(path)
    header = read_header(path)
    if min(header.size) < LEAST_SIDE:
        raise TrackingError(
            f"{path} has {header.size[0]} x {header.size[1]} px; expected at least {LEAST_SIDE} px on each side. Give "
            "the original, not a thumbnail."
        )
    picture = decode_picture(path)
    pixels = np.asarray(picture)
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    if alpha is not None and bool((alpha == 255).all()):
        alpha = None
    return Photo(
        path,
        np.ascontiguousarray(pixels[..., :3]),
        alpha,
        _focal_length(path, picture.size),
        sha256_of(path, CaptureError),
    )


def _focal_length(path: Path, size: tuple[int, int]) -> FocalLength:
    """Return the focal length that the file states, unless the picture was cropped since; else the usual one."""
    exif = read_exif(path)
    try:
        mm = float(exif.get(_FILM_MM) or 0)
        stated = float(exif.get(_EXIF_WIDTH) or 0), float(exif.get(_EXIF_HEIGHT) or 0)
    except (TypeError, ValueError, ZeroDivisionError):
        return usual_focal_length(*size)
    if not RANGE_MM[0] <= mm <= RANGE_MM[1] or _was_cropped(stated, size):
        return usual_focal_length(*size)
    return FocalLength(in_pixels(mm, *size), EXIF_SPREAD, f"EXIF: {mm:g} mm")


def _was_cropped(stated: tuple[float, float], size: tuple[int, int]) -> bool:
    """Return whether the camera's picture had another shape; it may have been turned since."""
    if min(stated) <= 0:
        return False
    before, now = max(stated) / min(stated), max(size) / min(size)
    return abs(before / now - 1) > _SAME_ASPECT


def _refuse_heic(path: Path) -> None:
    with open_regular(path, TrackingError) as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC:
        raise TrackingError(
            f"{path} is a HEIC picture, which is not read. Export it as JPEG or PNG (on an iPhone: Settings, Camera, "
            "Formats, Most Compatible; or share it as JPEG)."
        )
