"""Fit a head model and a camera to the landmarks of a face in one picture: one moment of a joint fit."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sage_ns.rig import FlameParams, HeadModel
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face, width_of_face
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import (
    ERROR_OF_A_LANDMARK,
    JointFit,
    KnownCamera,
    Sighting,
    fit_moments,
    keep_moments,
)
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.placement import turn


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head in a picture, in the axes of a camera at the origin that looks along -z (y up, metres)."""

    params: FlameParams
    """One moment of the whole head model, float32."""
    focal: float
    """Pixels."""
    points: Float[Tensor, "478 2"]
    """Landmarks of the fitted head in the picture, pixels."""
    errors: Float[Tensor, "478"]
    """Distances from the detector's landmarks, pixels."""
    face_width: float
    """Pixels, see `width_of_face`."""
    turn: float
    """Degrees between the front of the face and the direction to the camera."""

    @property
    def rms(self) -> float:
        """Root of the mean squared distance, pixels."""
        return float((self.errors**2).mean().sqrt())

    @property
    def disagreement(self) -> float:
        """Root of the mean squared distance, relative to the width of the face."""
        return self.rms / self.face_width


def fit_landmarks(
    face: Face,
    model: HeadModel,
    embedding: Embedding,
    focal: FocalLength,
    size: tuple[int, int],
    error: float = ERROR_OF_A_LANDMARK,
    start: FlameParams | None = None,
) -> HeadFit:
    """Fit shape, expression, jaw, eyes, pose and focal length to the landmarks of one face (`fit_moments`).

    Args:
        face: landmarks of one face.
        model: head model.
        embedding: of that head model.
        focal: what is known about the focal length.
        size: width and height of the picture, whose middle is the principal point.
        error: standard deviation of a landmark, relative to the width of the face.
        start: the head to begin with (`fit_moments`), in the axes of the camera.
    """
    camera = KnownCamera.at_rest(focal.pixels, size)
    fit = fit_moments([Sighting(0, 0, face)], [camera], model, embedding, focal.spread, error=error, start=start)
    return _of_one_moment(fit, focal)


def keep_head(
    face: Face, model: HeadModel, embedding: Embedding, focal: FocalLength, size: tuple[int, int], head: FlameParams
) -> HeadFit:
    """Return a head as it is, with its distances from the landmarks of a face (`keep_moments`).

    Args:
        face: landmarks of one face.
        model: head model.
        embedding: of that head model.
        focal: with which the head was placed.
        size: width and height of the picture, whose middle is the principal point.
        head: one moment in the axes of the camera, with the neck at rest.
    """
    camera = KnownCamera.at_rest(focal.pixels, size)
    return _of_one_moment(keep_moments([Sighting(0, 0, face)], [camera], model, embedding, head), focal)


def _of_one_moment(fit: JointFit, focal: FocalLength) -> HeadFit:
    return HeadFit(
        params=fit.params,
        focal=focal.pixels * fit.focal_factor,
        points=fit.points[0],
        errors=fit.errors[0],
        face_width=float(fit.face_widths[0]),
        turn=float(fit.turns[0]),
    )


def head_at(
    rig: LandmarkRig,
    x: Float[Tensor, "num_unknowns"],
    model: HeadModel,
    face: Face,
    focal: FocalLength,
    size: tuple[int, int],
) -> HeadFit:
    """Return unknowns of a rig as a head in a picture, with its distances from the landmarks of a face.

    Args:
        rig: landmarks of the head model.
        x: unknowns; the factor is that of ``focal``.
        model: head model.
        face: landmarks of the face.
        focal: what was known about the focal length.
        size: width and height of the picture, whose middle is the principal point.
    """
    view = KnownCamera.at_rest(focal.pixels, size).view()
    points = rig.pixels(x, view)
    return HeadFit(
        params=rig.whole(x, model),
        focal=focal.pixels * float(x[rig.unknowns.focal].exp()),
        points=points.float(),
        errors=(points - face.points[:, :2].double()).norm(dim=-1).float(),
        face_width=width_of_face(face),
        turn=turn(rig, x, view),
    )
