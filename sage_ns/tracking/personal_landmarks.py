"""Jaw, eyes and expression of a clip whose heads are known: landmarks, without what the detector sees wrongly.

Where a head stands is known by now, so that what landmarks are off by has two parts: what changes with the direction
of view alone, and what changes with the face. The first is how the detector sees this person, a slide of each landmark
beyond that of the embedding; the second is expression. Without this, a part of every turn becomes expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.rig import HeadModel
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import width_of_face
from sage_ns.tracking.joint_fit import (
    ERROR_OF_A_LANDMARK,
    JointFit,
    KnownCamera,
    Sighting,
    joint_result,
    landmark_problem,
)
from sage_ns.tracking.joint_problem import JointProblem
from sage_ns.tracking.landmark_rig import LandmarkRig, View
from sage_ns.tracking.least_squares import cauchy_weights, minimise
from sage_ns.tracking.placement import sighted
from sage_ns.tracking.smoothness import Smoothness

_ROUNDS = 4
"""Of reweighted least squares."""
_MOVES = 0.015
"""Share of the face's width from which on a landmark moves with the face: it counts for less in its slide."""
_RIDGE = (1e-3, 0.5, 0.5, 1.0, 1.0, 1.0)
"""Pulls of a landmark's slide to none, by power of the direction; the constant part is the person's own proportions."""


def fit_faces(
    heads: Float[Tensor, "t num_unknowns"],
    sightings: Sequence[Sighting],
    camera: KnownCamera,
    model: HeadModel,
    embedding: Embedding,
    times: Float[Tensor, "t"],
) -> JointFit:
    """Return heads as they stand with the jaw, eyes and expression that the landmarks ask for.

    Args:
        heads: unknowns of the rig (`Unknowns`) at each moment; their jaws and expressions are where the search begins.
        sightings: one face per moment, in the order of time.
        camera: that has taken all pictures.
        model: head model.
        embedding: of that head model.
        times: seconds of the moments, rising.
    """
    rig, view = LandmarkRig(model, embedding), camera.view()
    part = rig.unknowns
    usual = heads.clone()
    for free in (part.jaw, part.expression):
        usual[:, free] = heads[:, free].median(dim=0).values
    plain = landmark_problem(rig, sightings, [view] * len(sightings), 0.0)
    widths = torch.tensor([width_of_face(each.face) for each in sightings], dtype=torch.float64)
    slides = own_slides(rig, usual, plain, widths)
    moving = torch.zeros_like(plain.free)
    for free in (part.jaw, part.eyes, part.expression):
        moving[free] = True
    layout = plain.layout
    tied = Smoothness.over(times, layout.own_pose, layout.own_jaw, layout.own_expression, len(layout.own))
    problem = replace(plain, detected=plain.detected - slides, free=moving, smoothness=tied)
    flat = layout.flat(usual)
    faced = problem.faced(flat, embedding.weight.double(), ERROR_OF_A_LANDMARK * widths)
    found = minimise(faced.residuals, flat, weights=faced.weights, linearise=faced.linearise, least_gain=1e-5)
    fit = joint_result(faced, found.unknowns, model, sightings, [view] * len(sightings))
    return replace(fit, points=fit.points + slides.float())


def own_slides(
    rig: LandmarkRig,
    heads: Float[Tensor, "t num_unknowns"],
    problem: JointProblem,
    face_widths: Float[Tensor, "t"],
) -> Float[Tensor, "t 478 2"]:
    """Return how the detector slides this person's landmarks in each picture, pixels.

    A landmark's slide is a polynomial of the second degree in the direction to the camera, in the head's axes, that
    explains what its detections are off by in most pictures: robust least squares with a ridge.

    Args:
        rig: landmarks of the head model.
        heads: unknowns of the rig, all with the same face.
        problem: of the landmarks of these moments, one picture each.
        face_widths: pixels.
    """
    off, directions = [], []
    for row, x in enumerate(heads):
        view = View(*(each[row] for each in problem.views))
        off.append((problem.detected[row] - rig.pixels(x, view)) / face_widths[row])
        _, rotation, direction = sighted(rig, x, view)
        directions.append(direction @ rotation)
    goal, (dx, dy, _) = torch.stack(off), torch.stack(directions).unbind(dim=1)
    basis = torch.stack([torch.ones_like(dx), dx, dy, dx * dx, dx * dy, dy * dy], dim=1)
    ridge = torch.diag(basis.new_tensor(_RIDGE))
    weight = torch.ones_like(goal[..., 0])
    for _ in range(_ROUNDS):
        normal = torch.einsum("ta,tk,tb->kab", basis, weight, basis) + ridge
        slope = torch.einsum("ta,tk,tkc->kac", basis, weight, goal)
        slides = torch.einsum("ta,kac->tkc", basis, torch.linalg.solve(normal, slope))
        weight = cauchy_weights((goal - slides).norm(dim=-1), _MOVES)
    return slides * face_widths[:, None, None]
