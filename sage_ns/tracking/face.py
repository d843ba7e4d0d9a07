"""A face that a detector found in a picture, and what a detector is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

NUM_POINTS = 478
"""Landmarks of a face: the 468 vertices of MediaPipe's canonical face mesh, then five of each iris."""


@dataclass(frozen=True, eq=False)
class Face:
    """Landmarks, expression and place of one face in a picture."""

    points: Float[Tensor, "478 3"]
    """x and y in pixels from the upper left corner of the picture (the centre of the first pixel is at 0.5, 0.5), and
    a relative depth in pixels of about the same scale, which grows away from the camera. On the CPU."""
    confidence: float
    """0..1: how sure the detector is that the crop shows a face. It falls where the face turns away from the camera."""
    scores: Mapping[str, float]
    """0..1: strength of each of MediaPipe's 52 expressions, by name
    (`sage_ns.motion.files.mediapipe_scores.MEDIAPIPE_NAMES`); empty for a face that was followed in a film."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom of the points, in pixels; may reach beyond the picture."""


def width_of_face(face: Face) -> float:
    """Return the larger side of the box around a face's landmarks, pixels: also a turned head keeps its height."""
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)


class FaceDetector(Protocol):
    """Finds the faces in a picture."""

    def __call__(self, picture: UInt8[Tensor | np.ndarray, "height width 3"]) -> list[Face]:
        """Return the faces of an sRGB picture, the largest first; an empty list if there is none.

        Raises:
            OptionError: the array is no picture of bytes with three channels.
        """
        ...


class FilmDetector(FaceDetector, Protocol):
    """Finds the faces in a picture, and follows one of them from frame to frame."""

    def follow(self, picture: UInt8[Tensor | np.ndarray, "height width 3"], last: Face | None) -> Face | None:
        """Return the face of the next frame of a film; None if there is none.

        Args:
            picture: sRGB.
            last: the face in the frame before; None = look for the largest upright one.

        Raises:
            OptionError: the array is no picture of bytes with three channels.
        """
        ...
