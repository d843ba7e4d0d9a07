"""How far a photo's camera was zoomed: focal lengths in pixels, from the file, from the user, or as a guess."""

from __future__ import annotations

import math
from dataclasses import dataclass

FULL_FRAME_DIAGONAL = math.hypot(36.0, 24.0)
"""Millimetres; focal lengths "in 35 mm film" are relative to this picture diagonal (CIPA DCG-001)."""
USUAL_MM, USUAL_SPREAD = 50.0, 0.35
"""Focal length that a photo of a face usually has, as for 35 mm film, and the standard deviation of its logarithm: from
a phone's camera at 26 mm to a portrait lens at 100 mm."""
EXIF_SPREAD = 0.03
"""Standard deviation of the logarithm of what cameras state: rounded to whole millimetres, and lenses breathe."""
RANGE_MM = (8.0, 2000.0)


@dataclass(frozen=True)
class FocalLength:
    """What is known about a focal length before the fit."""

    pixels: float
    spread: float
    """Standard deviation of its logarithm; 0 = known."""
    source: str
    """In words, for the report: "given", "EXIF: 26 mm", "guess"."""


def in_pixels(mm: float, width: int, height: int) -> float:
    """Return a focal length as for 35 mm film [mm] in pixels of a picture of this size."""
    return mm / FULL_FRAME_DIAGONAL * math.hypot(width, height)


def in_mm(pixels: float, width: int, height: int) -> float:
    """Return a focal length in pixels as for 35 mm film [mm]."""
    return pixels * FULL_FRAME_DIAGONAL / math.hypot(width, height)


def usual_focal_length(width: int, height: int) -> FocalLength:
    """Return the guess for a photo that states no focal length."""
    return FocalLength(in_pixels(USUAL_MM, width, height), USUAL_SPREAD, f"guess: {USUAL_MM:g} mm")


def given_focal_length(mm: float, size: tuple[int, int]) -> FocalLength:
    """Return the focal length that a user states as for 35 mm film [mm], for pictures of this width and height."""
    return FocalLength(in_pixels(mm, *size), 0.0, f"given: {mm:g} mm")
