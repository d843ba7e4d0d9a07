"""The motion of an actor, from the face of one frame after the other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import TrackingError
from sage_ns.motion.motion import Motion
from sage_ns.motion.smoothing import smoothed
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.flame_params import NUM_POSE
from sage_ns.system.progress import tracked
from sage_ns.tracking.actor import CALIBRATION_SECONDS, MOST_DISAGREEMENT, Actor, calibrated
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.film_faces import FilmFaces

_MOST_CALIBRATED = 12
"""Frames of the first second that are used, spread evenly."""


class Performance:
    """Reads motion from faces as they come; every fit begins at the last one.

    Args:
        actor: whose faces they are.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._last: Tensor | None = None

    def see(self, face: Face | None) -> Float[Tensor, "num_coefficients"] | None:
        """Return the motion vector of a frame; None without a face, or if no pose of the actor has its landmarks."""
        if face is None:
            self._last = None
            return None
        fit = self._actor.fit(face, self._last)
        if not fit.disagreement <= MOST_DISAGREEMENT:
            self._last = None
            return None
        self._last = fit.x
        return self._actor.motion(fit.x)


def acted(faces: FilmFaces, model: HeadModel, embedding: Embedding, name: str) -> Motion:
    """Return the motion of the actor of a film, relative to the neutral face of its first second.

    Frames without a face hold the last pose. Smoothing (`smoothed`) does not delay the motion.

    Args:
        faces: of the film.
        model: head model whose coefficients are wanted.
        embedding: of that head model.
        name: of the film, for messages.

    Raises:
        TrackingError: no face is seen in the first second.
    """
    actor = calibrated(first_faces(faces, name), model, embedding, faces.size)
    performance = Performance(actor)
    held = torch.zeros(NUM_POSE + model.num_expression)
    vectors, lost = [], 0
    with tracked(range(faces.num_frames), "fitting the head to every frame") as frames:
        for frame in frames:
            vector = performance.see(faces.at(frame))
            lost += vector is None
            held = held if vector is None else vector
            vectors.append(held)
    params = FlameParams.from_motion_vector(smoothed(torch.stack(vectors), faces.fps, model))
    notes = [f"The first {CALIBRATION_SECONDS:g} s of the clip count as the actor's neutral face"]
    if lost:
        notes.append(f"{lost} of {faces.num_frames} frames show no face that fits: they hold the last pose")
    return Motion.of(params, name, fps=faces.fps, notes=notes)


def first_faces(faces: FilmFaces, name: str) -> list[Face]:
    """Return faces of the first second.

    Raises:
        TrackingError: there are none.
    """
    count = min(math.ceil(CALIBRATION_SECONDS * faces.fps), faces.num_frames)
    found = [face for face in map(faces.at, range(count)) if face is not None]
    if not found:
        raise TrackingError(
            f"{name}: the first {CALIBRATION_SECONDS:g} s show no face. Begin the clip with the actor's neutral face, "
            "upright, from the front, in light: ffmpeg -ss SECONDS -i CLIP part.mp4 cuts what comes before."
        )
    return found[:: math.ceil(len(found) / _MOST_CALIBRATED)]
