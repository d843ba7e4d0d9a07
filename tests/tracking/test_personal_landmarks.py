"""A detector that slides this person's landmarks as the head turns: the slide is no expression, a movement is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.face import Face, width_of_face
from sage_ns.tracking.joint_fit import KnownCamera, Sighting, landmark_problem
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.personal_landmarks import fit_faces, own_slides
from tests.tracking.known_head import FOCAL, SIZE, face_seen, random_embedding, seen_head

COUNT = 16
CAMERA = KnownCamera.at_rest(FOCAL, SIZE)


@pytest.fixture(scope="module")
def rig() -> LandmarkRig:
    model = builtin_head()
    return LandmarkRig(model, random_embedding(model))


def turning(rig: LandmarkRig) -> Tensor:
    """One face that turns from the left to the right and nods."""
    heads = seen_head(rig, 3, turn=0.0).repeat(COUNT, 1)
    heads[:, rig.unknowns.focal] = 0.0
    heads[:, rig.unknowns.rotation.start + 1] = torch.linspace(-0.8, 0.8, COUNT).double()
    heads[:, rig.unknowns.rotation.start] = 0.25 * torch.linspace(0, 9, COUNT).sin().double()
    return heads


def slid(face: Face, x: Tensor, rig: LandmarkRig, size: float) -> Face:
    """The face as a detector sees it that slides landmarks by a share of its width, each to a side of its own."""
    turn = axis_angle_to_matrix(x[rig.unknowns.rotation])
    to_camera = -rig.points(x, CAMERA.view()).mean(dim=0)
    direction = (to_camera / to_camera.norm()) @ turn
    generator = torch.Generator().manual_seed(7)
    along, square, fixed = (torch.randn(478, 2, generator=generator).double() for _ in range(3))
    off = size * (0.5 * fixed + direction[0] * along + direction[0] ** 2 * square) * width_of_face(face)
    points = face.points.clone()
    points[:, :2] += off.float()
    return replace(face, points=points)


def test_slides_with_the_direction_are_found_and_movements_are_not_taken_for_them(rig: LandmarkRig) -> None:
    heads = turning(rig)
    plain = [face_seen(rig, x, view=CAMERA.view()) for x in heads]
    faces = [slid(face, x, rig, 0.01) for face, x in zip(plain, heads, strict=True)]
    opened = heads[9].clone()
    opened[rig.unknowns.jaw.start] += 0.3
    movement = face_seen(rig, opened, view=CAMERA.view()).points - plain[9].points
    faces[9] = replace(faces[9], points=faces[9].points + movement)
    sightings = [Sighting(moment, 0, face) for moment, face in enumerate(faces)]
    problem = landmark_problem(rig, sightings, [CAMERA.view()] * COUNT, 0.0)
    widths = torch.tensor([width_of_face(face) for face in plain]).double()
    found = own_slides(rig, heads, problem, widths)
    true = torch.stack(
        [slid(f, x, rig, 0.01).points[:, :2] - f.points[:, :2] for f, x in zip(plain, heads, strict=True)]
    )
    still = torch.arange(COUNT) != 9
    assert float((found - true)[still].norm(dim=-1).mean()) < 0.25 * float(true[still].norm(dim=-1).mean())
    # At the moment of the movement, the landmarks that move most are not followed.
    moved = movement[:, :2].norm(dim=1)
    most = moved > 0.7 * moved.max()
    assert float((found - true)[9][most].norm(dim=-1).mean()) < 0.25 * float(moved[most].mean())


def test_turned_faces_keep_their_expression_and_an_open_mouth_is_seen(rig: LandmarkRig) -> None:
    model, embedding = builtin_head(), random_embedding(builtin_head())
    true = turning(rig)
    jaw = rig.unknowns.jaw.start
    true[6:9, jaw] += 0.25
    faces = [slid(face_seen(rig, x, view=CAMERA.view()), x, rig, 0.01) for x in true]
    sightings = [Sighting(moment, 0, face) for moment, face in enumerate(faces)]
    heads = turning(rig)
    heads[:, rig.unknowns.expression] += 0.3 * torch.linspace(-1, 1, COUNT)[:, None].double()
    fit = fit_faces(heads, sightings, CAMERA, model, embedding, torch.arange(COUNT).double() / 5)
    opened = fit.params.jaw_pose[:, 0] - fit.params.jaw_pose[0, 0]
    expected = (true[:, jaw] - true[0, jaw]).float()
    assert float((opened - expected).abs().max()) < 0.08
    spread = fit.params.expr[:, : true[0, rig.unknowns.expression].numel()].std(dim=0)
    assert float(spread.mean()) < 0.12
    assert torch.allclose(fit.params.rotation, true[:, rig.unknowns.rotation].float(), atol=1e-5)
    assert float(fit.disagreement.max()) < 0.02
