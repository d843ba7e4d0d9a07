"""Choose the face to track, and refuse faces that cannot be tracked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sage_ns.capture.photo import FARTHEST_TURN
from sage_ns.errors import TrackingError
from sage_ns.tracking.face import Face, width_of_face
from sage_ns.tracking.landmark_fit import HeadFit

LEAST_WIDTH = 40.0
"""Pixels of a face; smaller ones have no eyes."""
LEAST_CONFIDENCE = 0.5
"""Of the detector. It says 0.98 and more up to 65 degrees from the front, and under 0.05 at 90."""
MOST_DISAGREEMENT = 0.05
"""Root mean squared distance between detected and fitted landmarks, relative to the width of the face, beyond which the
fit does not hold: a drawing, a profile, or no face. Photographs have 0.01 to 0.025."""
LARGEST = "largest"
_CLEARLY_SMALLER = 0.5
"""A face of less than this share of the largest one's width is a bystander."""


def choose_face(faces: Sequence[Face], wanted: str | None, name: str) -> Face:
    """Return the face to track.

    Args:
        faces: all faces of the picture, the largest first.
        wanted: "largest", the number of a face (1 = the largest), or None: the largest if it is clearly the largest.
        name: of the picture, for messages.

    Raises:
        TrackingError: there is no face, several faces of similar size, no such face; or the face is too small or the
            detector doubts it.
    """
    if not faces:
        raise TrackingError(
            f"{name}: found no face. Give a photo that shows one face from the front, upright, in light, larger than "
            f"{LEAST_WIDTH:.0f} px."
        )
    face = faces[face_number(faces, wanted, name)]
    fault = fault_of_face(face)
    if fault is not None:
        raise TrackingError(f"{name}: {fault}. Give a larger original (enlarging adds nothing) that shows both eyes.")
    return face


def fault_of_face(face: Face) -> str | None:
    """Return why a face cannot be tracked, in words; None if it can."""
    width = width_of_face(face)
    if width < LEAST_WIDTH:
        return f"the face is {width:.0f} px wide; expected at least {LEAST_WIDTH:.0f}, better 300"
    if face.confidence < LEAST_CONFIDENCE:
        return (
            f"the detector is unsure of the face (confidence {face.confidence:.2f}, expected at least "
            f"{LEAST_CONFIDENCE:g}): it is turned away, hidden or blurred"
        )
    return None


def check_fit(fit: HeadFit, name: str) -> None:
    """Refuse a fit that does not hold.

    Raises:
        TrackingError: the face is turned away, or no head of the rig has these landmarks.
    """
    fault = fault_of_fit(fit.turn, fit.rms, fit.face_width)
    if fault is not None:
        raise TrackingError(
            f"{name}: {fault}. Drawings, profiles and hidden faces cannot be tracked: give a photo from the front that "
            "shows both eyes."
        )


def fault_of_fit(turn: float, rms: float, face_width: float) -> str | None:
    """Return why a fit does not hold, in words; None if it does.

    Args:
        turn: degrees between the front of the face and the direction to the camera.
        rms: root of the mean squared distance of the landmarks, pixels.
        face_width: pixels.
    """
    if turn > FARTHEST_TURN:
        # Rounded up: "60 degrees; expected at most 60" would be no reason.
        return f"the face is turned away by {math.ceil(turn)} degrees; expected at most {FARTHEST_TURN:.0f}"
    if not rms <= MOST_DISAGREEMENT * face_width:
        return (
            f"the landmarks fit no human head: they are off by {rms:.1f} px of a face of {face_width:.0f} px "
            f"({rms / face_width:.1%}, expected at most {MOST_DISAGREEMENT:.0%})"
        )
    return None


def face_number(faces: Sequence[Face], wanted: str | None, name: str) -> int:
    """Return the row of the face to track (see `choose_face`).

    Raises:
        TrackingError: there are several faces of similar size, or no such face.
    """
    if wanted == LARGEST or (wanted is None and len(faces) == 1):
        return 0
    listed = "; ".join(
        f"{index}: {width_of_face(face):.0f} px at ({0.5 * (face.box[0] + face.box[2]):.0f}, "
        f"{0.5 * (face.box[1] + face.box[3]):.0f})"
        for index, face in enumerate(faces, 1)
    )
    if wanted is None:
        if width_of_face(faces[1]) < _CLEARLY_SMALLER * width_of_face(faces[0]):
            return 0
        raise TrackingError(
            f"{name}: found {len(faces)} faces ({listed}). Choose one: --face {LARGEST}, or --face NUMBER."
        )
    if not wanted.isascii() or not wanted.isdigit() or not 1 <= int(wanted) <= len(faces):
        raise TrackingError(
            f"{name}: --face {wanted}: expected {LARGEST}, or a number from 1 to {len(faces)} ({listed})."
        )
    return int(wanted) - 1
