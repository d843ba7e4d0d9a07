"""Fit a head model and a camera to the landmarks of a face in one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.geometry.similarity import similarity
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import NUM_POINTS, Face
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.landmark_rig import LandmarkRig, Unknowns
from sage_ns.tracking.least_squares import cauchy_weights, minimise

ERROR_OF_A_LANDMARK = 0.04
"""Standard deviation of a landmark, relative to the width of the face. The detector's own is a third of it; errors of
neighbouring landmarks agree, so that they count for less than their number."""
_OUTLIER = 3.0
"""Standard deviations from which on a landmark counts for less (Cauchy's loss)."""
_SPREADS = {"jaw": (0.25, 0.03, 0.03), "eyes": (0.3, 0.3, 0.02), "shape": 1.0, "expression": 1.0}
"""Standard deviations of radians and coefficients in people who are photographed."""
_VERGENCE = 0.05
"""Radians: eyes look at one point."""
_LEAST_FACING = 0.15
"""Weight of landmarks on the side of the face that turns away, relative to those that face the camera."""


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


def width_of_face(face: Face) -> float:
    """Return the larger side of the box around a face's landmarks, pixels: also a turned head keeps its height."""
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)


def fit_landmarks(
    face: Face,
    model: HeadModel,
    embedding: Embedding,
    focal: FocalLength,
    size: tuple[int, int],
    error: float = ERROR_OF_A_LANDMARK,
) -> HeadFit:
    """Fit shape, expression, jaw, eyes, pose and focal length to the landmarks of one face.

    Levenberg-Marquardt in float64 on ``sum_k w_k |p_k(x) - d_k|^2 / s^2 + sum_i (x_i / s_i)^2``: d_k are the detected
    landmarks, p_k those of the rig, s is the error of a landmark, and s_i are the spreads of people. Weights w_k are
    those of the embedding, lower where the skin turns away from the camera, and robust (Cauchy). The neck stays at
    rest.

    Args:
        face: landmarks of one face.
        model: head model.
        embedding: of that head model.
        focal: what is known about the focal length.
        size: width and height of the picture, whose middle is the principal point.
        error: standard deviation of a landmark, relative to the width of the face.
    """
    width, height = size
    rig = LandmarkRig(model, embedding, (width / 2, height / 2))
    detected = face.points[:, :2].double()
    unit = error * width_of_face(face)
    trust = embedding.weight.double()
    x: Tensor = _placed(rig, face, trust, focal.pixels)
    facing = facing_weights(rig, x)
    active = torch.ones(len(x), dtype=torch.bool)
    active[rig.unknowns.focal] = focal.spread > 0
    for stage in ("pose", "all"):
        chosen = active.clone()
        if stage == "pose":
            chosen[rig.unknowns.focal :] = False
        base, root = x, (trust * facing).sqrt() / unit
        select = torch.eye(len(x), dtype=x.dtype)[:, chosen]

        def landmarks_and_priors(
            free: Tensor, base: Tensor = base, root: Tensor = root, select: Tensor = select
        ) -> Tensor:
            return landmark_residuals(rig, base + select @ free, detected, root, focal)

        found = minimise(landmarks_and_priors, x.new_zeros(select.shape[1]), weights=robust_weights)
        x = base + select @ found.unknowns
        facing = facing_weights(rig, x)
    return head_fit(rig, x, model, face)


def landmark_residuals(
    rig: LandmarkRig, x: Tensor, detected: Float[Tensor, "478 2"], root: Float[Tensor, "478"], focal: FocalLength
) -> Float[Tensor, "num_residuals"]:
    """Return what `fit_landmarks` squares: distances of landmarks, then unknowns relative to the spreads of people.

    Args:
        rig: the landmarks as a function of the unknowns.
        x: unknowns.
        detected: landmarks, pixels.
        root: root of the weight of each landmark, 1 / pixels.
        focal: what is known about the focal length.
    """
    distances = (rig.pixels(x) - detected) * root[:, None]
    return torch.cat([distances.flatten(), from_people(x, rig.unknowns, focal)])


def robust_weights(residuals: Float[Tensor, "num_residuals"]) -> Float[Tensor, "num_residuals"]:
    """Return the weights of `landmark_residuals`: less for landmarks far off, 1 for the spreads of people."""
    weights = torch.ones_like(residuals)
    distances = residuals[: 2 * NUM_POINTS].reshape(-1, 2).norm(dim=-1)
    weights[: 2 * NUM_POINTS] = cauchy_weights(distances, _OUTLIER).repeat_interleave(2)
    return weights


def head_fit(rig: LandmarkRig, x: Float[Tensor, "num_unknowns"], model: HeadModel, face: Face) -> HeadFit:
    """Return unknowns as a head in a picture, with its distances from the landmarks of the face."""
    detected = face.points[:, :2].double()
    points = rig.pixels(x)
    rotation = axis_angle_to_matrix(x[rig.unknowns.rotation])
    to_camera = -rig.points(x).mean(dim=0)
    cosine = float(rotation[:, 2] @ to_camera / to_camera.norm())
    return HeadFit(
        params=rig.whole(x, model),
        focal=float(x[rig.unknowns.focal].exp()),
        points=points.float(),
        errors=(points - detected).norm(dim=-1).float(),
        face_width=width_of_face(face),
        turn=math.degrees(math.acos(min(max(cosine, -1.0), 1.0))),
    )


def _placed(rig: LandmarkRig, face: Face, trust: Tensor, focal: float) -> Tensor:
    """Return the mean head where the landmarks with their relative depth lie: the similarity that fits them best."""
    x = rig.start(focal)
    model_points = rig.points(x)
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    found = similarity(model_points, face.points.double() * flip, trust)
    x[rig.unknowns.rotation] = matrix_to_axis_angle(found.rotation)
    # One metre on the head is `scale` pixels: at this depth, with this focal length.
    depth = focal / found.scale
    x[rig.unknowns.translation] = 0.0
    turned = rig.points(x)
    middle = (trust[:, None] * face.points[:, :2].double()).sum(dim=0) / trust.sum()
    aim = torch.cat([(middle - rig._center) * flip[:2] / found.scale, x.new_tensor([-depth])])
    x[rig.unknowns.translation] = aim - (trust[:, None] * turned).sum(dim=0) / trust.sum()
    return x


def facing_weights(rig: LandmarkRig, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "478"]:
    """Return 1 for landmarks on the side of the face that is nearer to the camera, less on the other side."""
    points = rig.points(x)
    middle = points.mean(dim=0)
    rotation = axis_angle_to_matrix(x[rig.unknowns.rotation])
    aside = (points - middle) @ rotation[:, 0]
    direction = (-middle / middle.norm()) @ rotation[:, 0]
    # From the front, both sides count fully; from the side, the far half of the face slides.
    hidden = (-direction * aside / aside.abs().max()).clamp_min(0.0) * direction.abs()
    return (1 - 3 * hidden).clamp_min(_LEAST_FACING)


def from_people(x: Float[Tensor, "num_unknowns"], part: Unknowns, focal: FocalLength) -> Float[Tensor, "num_residuals"]:
    """Return the unknowns relative to the spreads of people, and the focal length relative to what is known of it."""
    eyes = x[part.eyes].reshape(2, 3)
    pulls = [
        x[part.jaw] / x.new_tensor(_SPREADS["jaw"]),
        (eyes / x.new_tensor(_SPREADS["eyes"])).flatten(),
        (eyes[0] - eyes[1]) / _VERGENCE,
        x[part.shape] / _SPREADS["shape"],
        x[part.expression] / _SPREADS["expression"],
    ]
    if focal.spread > 0:
        pulls.append((x[part.focal] - math.log(focal.pixels))[None] / focal.spread)
    return torch.cat(pulls)
