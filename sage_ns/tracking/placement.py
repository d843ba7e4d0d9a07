"""Where a head is, roughly, from the landmarks that one camera sees, and which of them face the camera."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.geometry.similarity import similarity
from sage_ns.tracking.face import Face
from sage_ns.tracking.landmark_rig import LandmarkRig, View

_LEAST_FACING = 0.15
"""Weight of landmarks on the side of the face that turns away, relative to those that face the camera."""


def placed(rig: LandmarkRig, face: Face, trust: Float[Tensor, "478"], view: View) -> Float[Tensor, "num_unknowns"]:
    """Return the mean head where the landmarks with their relative depth lie: the similarity that fits them best.

    Args:
        rig: landmarks of the head model.
        face: what the camera sees.
        trust: weights of the landmarks.
        view: the camera.
    """
    x = rig.start()
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    seen = face.points.double()
    found = similarity(rig.points(x), seen * flip, trust)
    x[rig.unknowns.rotation] = matrix_to_axis_angle(view.axes.T @ found.rotation)
    # One metre on the head is `scale` pixels: at this depth, with this focal length.
    focal = float(view.focal.mean())
    share = (trust / trust.sum())[:, None]
    aside = ((share * seen[:, :2]).sum(dim=0) - view.center) * flip[:2] / found.scale
    aim = torch.cat([aside, aside.new_tensor([-focal / found.scale])]) @ view.axes + view.place
    x[rig.unknowns.translation] = aim
    x[rig.unknowns.translation] += aim - (share * rig.points(x, view)).sum(dim=0)
    return x


def facing(rig: LandmarkRig, x: Float[Tensor, "num_unknowns"], view: View) -> Float[Tensor, "478"]:
    """Return 1 for landmarks on the side of the face that is nearer to the camera, less on the other side."""
    points, rotation, direction = sighted(rig, x, view)
    aside = (points - points.mean(dim=0)) @ rotation[:, 0]
    sideways = direction @ rotation[:, 0]
    # From the front, both sides count fully; from the side, the far half of the face slides.
    hidden = (-sideways * aside / aside.abs().max()).clamp_min(0.0) * sideways.abs()
    return (1 - 3 * hidden).clamp_min(_LEAST_FACING)


def turn(rig: LandmarkRig, x: Float[Tensor, "num_unknowns"], view: View) -> float:
    """Return the degrees between the front of the face and the direction to the camera."""
    _, rotation, direction = sighted(rig, x, view)
    return math.degrees(math.acos(min(max(float(rotation[:, 2] @ direction), -1.0), 1.0)))


def sighted(
    rig: LandmarkRig, x: Float[Tensor, "num_unknowns"], view: View
) -> tuple[Float[Tensor, "478 3"], Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """Return the landmarks, the rotation of the head, and the unit vector to the camera, in the world."""
    points = rig.points(x, view)
    to_camera = view.place - points.mean(dim=0)
    return points, axis_angle_to_matrix(x[rig.unknowns.rotation]), to_camera / to_camera.norm()
