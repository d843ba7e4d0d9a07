"""A head whose landmarks are known is found again: pose, focal length and surface."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.geometry.similarity import similarity
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.landmark_fit import HeadFit, fit_landmarks
from sage_ns.tracking.landmark_rig import LandmarkRig, View
from tests.tracking.known_head import FOCAL, SIZE, face_seen, random_embedding, seen_head

CENTER = (SIZE[0] / 2, SIZE[1] / 2)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return builtin_head()


def truth(rig: LandmarkRig, x: torch.Tensor, model: HeadModel) -> FlameParams:
    params = {name: value.float() for name, value in vars(rig.params(x)).items() if value is not None}
    return FlameParams(**params).check_fits(model)


def rotation_error(fit: HeadFit, x: torch.Tensor) -> float:
    """Degrees."""
    off = axis_angle_to_matrix(fit.params.rotation[0].double()) @ axis_angle_to_matrix(x[:3]).T
    return math.degrees(math.acos(min(1.0, (float(off.trace()) - 1) / 2)))


def surface_error(fit: HeadFit, params: FlameParams, model: HeadModel) -> float:
    """Millimetres between corresponding vertices of the face after a similarity, mean."""
    face = model.regions.vertices("face")
    own, other = (pose_vertices(model, each)[0, face].double() for each in (fit.params, params))
    return 1e3 * float((similarity(own, other)(own) - other).norm(dim=-1).mean())


@pytest.mark.parametrize("seed", [1, 2])
def test_exact_landmarks_give_pose_focal_length_and_surface(model: HeadModel, seed: int) -> None:
    embedding = random_embedding(model)
    rig = LandmarkRig(model, embedding, CENTER)
    x = seen_head(rig, seed)
    focal = FocalLength(0.85 * FOCAL, 0.35, "guess")
    fit = fit_landmarks(face_seen(rig, x), model, embedding, focal, SIZE, error=5e-4)
    assert rotation_error(fit, x) < 0.5
    assert abs(fit.focal / FOCAL - 1) < 0.05
    assert surface_error(fit, truth(rig, x, model), model) < 0.5
    assert fit.rms < 0.1
    assert not fit.params.neck_pose.any()


def test_noise_of_a_pixel_and_outliers_do_little(model: HeadModel) -> None:
    embedding = random_embedding(model)
    rig = LandmarkRig(model, embedding, CENTER)
    x = seen_head(rig, 3, turn=0.5)
    face = face_seen(rig, x, noise=1.0)
    face.points[:20, :2] += 60.0
    fit = fit_landmarks(face, model, embedding, FocalLength(FOCAL, 0.0, "given"), SIZE, error=0.01)
    assert fit.focal == pytest.approx(FOCAL)
    assert rotation_error(fit, x) < 1.5
    assert surface_error(fit, truth(rig, x, model), model) < 1.5
    assert float(fit.errors[20:].median()) < 3.0
    looked, found = x[rig.unknowns.eyes], fit.params.eyes_pose[0]
    assert abs(float(looked[1] - found[1])) < 0.1


def test_slides_move_landmarks_with_the_view(model: HeadModel) -> None:
    embedding = random_embedding(model)
    embedding.slide[:, 0, 0] = 0.01
    rig = LandmarkRig(model, embedding, CENTER)
    front, side = rig.start(FOCAL), rig.start(FOCAL)
    side[rig.unknowns.rotation] = torch.tensor([0.0, 0.5, 0.0]).double()
    still = LandmarkRig(model, random_embedding(model), CENTER)
    assert float((rig.points(front) - still.points(front)).norm(dim=-1).max()) < 5e-4
    moved = rig.points(side) - still.points(side)
    torch.testing.assert_close(moved.norm(dim=-1), torch.full((478,), 0.01 * math.sin(0.5)).double(), atol=6e-4, rtol=0)


def test_pixels_have_the_derivatives_that_the_rig_states(model: HeadModel) -> None:
    embedding = random_embedding(model)
    rig = LandmarkRig(replace(model, pose_basis=1e-3 * torch.randn_like(model.pose_basis)), embedding)
    x, view = seen_head(rig, 4, turn=0.6), View.at_origin(CENTER)
    step = torch.randn(len(x), generator=torch.Generator().manual_seed(0)).double()
    change = torch.func.jvp(lambda y: rig.pixels(y, view), (x,), (step,))[1]
    torch.testing.assert_close(torch.einsum("knc,k->nc", rig.jacobian(x, view), step), change, atol=1e-3, rtol=1e-5)
    embedding.slide[:, 0, 0] = 0.005
    rig = LandmarkRig(model, embedding)
    turn = torch.tensor([0.0, 1.0, 0.0]).double()
    step = torch.cat([turn, torch.zeros(len(x) - 3)])
    change = torch.func.jvp(lambda y: rig.pixels(y, view), (x,), (step,))[1]
    torch.testing.assert_close(rig.jacobian(x, view)[1], change, rtol=1e-2, atol=1.0)
