"""Errors that a user can act on. Every message names the file, the field, what was found and what to do."""

from __future__ import annotations


class SageError(Exception):
    """Base of everything that sage_ns raises on purpose."""


class HeadModelError(SageError):
    """A head model file is missing, broken, unsafe, or not in FLAME's format."""


class FlameParamsError(SageError):
    """FLAME parameters are missing, of the wrong shape, not finite, or belong to another head model."""


class CaptureError(SageError):
    """A capture folder cannot be read: missing file, broken field, wrong size, impossible camera."""


class RasterError(SageError):
    """Surfels or a camera cannot be drawn: wrong shapes, mixed types or devices, a backend that is not available."""
