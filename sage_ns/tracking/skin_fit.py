"""Move a head that was fitted to landmarks onto points of its skin (`sage_ns.tracking.skin_points`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import width_of_face
from sage_ns.tracking.joint_fit import JointFit, KnownCamera, Sighting
from sage_ns.tracking.joint_problem import SPREADS
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.least_squares import cauchy_weights, minimise

FEWEST = 60
"""Points from which on they say more than landmarks."""
_ERROR, _OUTLIER = 0.001, 2.0
"""Metres from a point to the skin: standard deviation, and how many of them count in full (Cauchy's loss)."""
_WORTH = 150.0
"""Points that all of them count for: errors of the cameras move neighbours alike."""
_ROUNDS, _STEPS = 3, 3
_STILL = 1e8
"""Weight of the squares of unknowns that stay where they are."""


def fit_to_skin(
    fit: JointFit,
    points: Float[np.ndarray, "num_points 3"],
    sightings: Sequence[Sighting],
    cameras: Sequence[KnownCamera],
    model: HeadModel,
    embedding: Embedding,
    error: float,
) -> JointFit:
    """Return the fit of one moment, moved onto points of the skin.

    In rounds, every point is tied to the nearest place of the skin (Chen and Medioni 1992), and Levenberg-Marquardt
    minimises ``(x - x0)^T H (x - x0) + w sum_j rho(n_j (S_j(x) - p_j) / s)``: x0 is the fit to landmarks, H the normal
    matrix of landmarks and priors there, S_j the place, n_j its normal, p_j the point.

    Args:
        fit: one moment, fitted to landmarks.
        points: on the skin, metres; fewer than `FEWEST` change nothing.
        sightings: of that fit.
        cameras: of that fit.
        model: head model.
        embedding: of that head model.
        error: standard deviation of a landmark, relative to the width of the face, as of that fit.
    """
    if len(points) < FEWEST:
        return fit
    rig = LandmarkRig(model, embedding)
    start = rig.unknowns_of(fit.params)
    root = torch.linalg.cholesky(_normal(rig, start, fit, sightings, cameras, embedding, error)).mT
    aims = torch.from_numpy(points)
    weight = math.sqrt(min(1.0, _WORTH / len(points))) / _ERROR
    x = start
    for _ in range(_ROUNDS):
        vertices = pose_vertices(model, rig.whole(x, model))[0]
        nearest = TriangleMesh(vertices, model.triangles.cpu()).closest(aims.float())
        normals = triangle_frames(vertices, model.triangles).rotation[:, :, 1][nearest.triangle].double()
        count = len(points)
        places = Embedding(nearest.triangle, nearest.barycentric.double(), torch.ones(count), torch.zeros(count, 3, 2))
        skin = LandmarkRig(model, places)

        def residuals(moved: Tensor, skin: LandmarkRig = skin, normals: Tensor = normals) -> Tensor:
            full = start + moved
            return torch.cat([root @ moved, weight * ((skin.points(full) - aims) * normals).sum(dim=1)])

        def robust(values: Tensor) -> Tensor:
            scale = _OUTLIER * _ERROR * weight
            return torch.cat([torch.ones_like(values[: len(start)]), cauchy_weights(values[len(start) :], scale)])

        x = start + minimise(residuals, x - start, _STEPS, robust).unknowns
    return _result(rig, x, fit, sightings, cameras, model)


def _normal(
    rig: LandmarkRig,
    x: Tensor,
    fit: JointFit,
    sightings: Sequence[Sighting],
    cameras: Sequence[KnownCamera],
    embedding: Embedding,
    error: float,
) -> Float[Tensor, "num_unknowns num_unknowns"]:
    """Return the normal matrix of landmarks and priors; focal lengths are known."""
    part = rig.unknowns
    prior = torch.zeros(len(part), dtype=torch.float64)
    prior[part.shape] = 1 / SPREADS["shape"] ** 2
    # Spots do not tell an open jaw from a long chin: what moves stays as the landmarks have it.
    for still in (part.focal, part.jaw, part.eyes, part.expression):
        prior[still] = _STILL
    normal = torch.diag(prior)
    for index, each in enumerate(sightings):
        unit = error * width_of_face(each.face)
        robust = cauchy_weights(fit.errors[index].double() / unit, 3.0)
        weight = (embedding.weight.double() * robust / unit**2).repeat_interleave(2)
        jacobian = rig.jacobian(x, cameras[each.camera].view()).flatten(1)
        normal += (jacobian * weight) @ jacobian.mT
    return normal


def _result(
    rig: LandmarkRig,
    x: Tensor,
    fit: JointFit,
    sightings: Sequence[Sighting],
    cameras: Sequence[KnownCamera],
    model: HeadModel,
) -> JointFit:
    points = torch.stack([rig.pixels(x, cameras[each.camera].view()) for each in sightings])
    detected = torch.stack([each.face.points[:, :2].double() for each in sightings])
    return replace(
        fit,
        params=rig.whole(x, model),
        points=points.float(),
        errors=(points - detected).norm(dim=-1).float(),
    )
