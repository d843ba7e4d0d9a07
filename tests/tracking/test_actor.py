"""An actor whose motion is known gives it back: landmarks of a posed head become its pose and expression again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.errors import TrackingError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams, HeadModel, identity_vertices, joints
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.actor import calibrated
from sage_ns.tracking.actor_head import ActorHead, rotation_derivatives
from sage_ns.tracking.embedding import Embedding, builtin_embedding
from sage_ns.tracking.film_faces import FilmFaces
from sage_ns.tracking.performance import Performance, acted
from tests.tiny import tiny_head_model, tiny_params
from tests.tracking.acted_film import FOCAL, SIZE, faces, film, landmarks, moments
from tests.tracking.known_head import random_embedding

CENTER = (SIZE[0] / 2, SIZE[1] / 2)
BLINK = builtin_head().expression_names.index("blink_left")
COUNT, NEUTRAL = 18, 10
"""Moments of the film, and those of its first second."""


def without_slides(embedding: Embedding) -> Embedding:
    return replace(embedding, slide=torch.zeros_like(embedding.slide))


@pytest.fixture(scope="module")
def tiny() -> tuple[HeadModel, Embedding]:
    model = tiny_head_model()
    return model, random_embedding(model)


def unknowns(head: ActorHead, params: FlameParams) -> torch.Tensor:
    x = head.neutral()
    parts = (params.rotation, params.translation, params.jaw_pose, params.eyes_pose, params.expr)
    flat = torch.cat([part[0] for part in parts]).double()
    x[:] = flat[: len(x)]
    return x


def test_landmarks_are_those_of_the_posed_rig(tiny: tuple[HeadModel, Embedding]) -> None:
    model, embedding = tiny
    params = replace(tiny_params(model, 1), neck_pose=torch.zeros(1, 3), static_offset=None)
    params = replace(params, translation=torch.tensor([[0.02, 0.01, -0.7]]))
    personal = replace(model, v_template=identity_vertices(model, params), shape_basis=model.shape_basis[..., :0])
    head = ActorHead(personal, embedding, CENTER, FOCAL)
    expected = landmarks(model, embedding, params)[0][:, :2]
    torch.testing.assert_close(head.sight(unknowns(head, params)).pixels, expected, atol=2e-3, rtol=0)
    moved = ActorHead(personal, embedding, CENTER, FOCAL, torch.full((478, 3), 0.01))
    torch.testing.assert_close(moved.resting_points() - head.resting_points(), torch.full((478, 3), 0.01).double())


def test_derivatives_are_right(tiny: tuple[HeadModel, Embedding]) -> None:
    model, embedding = tiny
    head = ActorHead(model, embedding, CENTER, FOCAL)
    generator = torch.Generator().manual_seed(0)
    x = 0.2 * torch.randn(head.num_unknowns, generator=generator).double()
    x[head.translation] = torch.tensor([0.02, 0.01, -0.7]).double()
    jacobian, step = head.jacobian(head.sight(x)), 1e-6
    for place in range(len(x)):
        ahead, behind = x.clone(), x.clone()
        ahead[place] += step
        behind[place] -= step
        change = (head.sight(ahead).pixels - head.sight(behind).pixels) / (2 * step)
        torch.testing.assert_close(jacobian[..., place].T, change, atol=1e-3, rtol=1e-5)


def test_derivatives_of_rotations_hold_at_rest_and_beyond() -> None:
    angles = torch.tensor([[0.0, 0.0, 0.0], [1e-5, 0.0, 0.0], [0.3, -0.8, 1.1]]).double()
    found = rotation_derivatives(angles, axis_angle_to_matrix(angles))
    for row, angle in enumerate(angles):
        steps = 1e-5 * torch.eye(3).double()
        expected = (axis_angle_to_matrix(angle + steps) - axis_angle_to_matrix(angle - steps)) / 2e-5
        torch.testing.assert_close(found[row], expected, atol=1e-6, rtol=0)


# ---- the built-in head ---------------------------------------------------------------------------------------------


def script(model: HeadModel) -> FlameParams:
    """A second of rest; then a jaw that opens, a blink of one frame, and a head that turns."""
    params = moments(model, COUNT)
    params.jaw_pose[NEUTRAL + 1 : NEUTRAL + 5, 0] = torch.tensor([0.1, 0.25, 0.25, 0.1])
    params.expr[NEUTRAL + 3, [BLINK, BLINK + 1]] = 1.0
    params.rotation[NEUTRAL + 4 :, 1] = torch.tensor([0.1, 0.2, 0.3, 0.3])
    return params


@pytest.fixture(scope="module")
def filmed() -> FilmFaces:
    model, embedding = builtin_head(), without_slides(builtin_embedding())
    found = faces(landmarks(model, embedding, script(model)))
    # What no rig shows of a person, the same in every frame: half a centimetre at each landmark.
    odd = 6.0 * torch.randn(478, 2, generator=torch.Generator().manual_seed(9))
    for face in found:
        face.points[:, :2] += odd
    return film([*found[:15], None, None, *found[17:]])


@pytest.fixture(scope="module")
def motion(filmed: FilmFaces) -> Motion:
    return acted(filmed, builtin_head(), without_slides(builtin_embedding()), "clip.mp4")


def test_jaw_blink_and_turn_come_back(motion: Motion) -> None:
    truth, params = script(builtin_head()), motion.params
    assert motion.num_rows == COUNT and motion.fps == 10.0
    rest = slice(0, NEUTRAL)
    assert float(params.jaw_pose[rest].abs().max()) < 0.02, "what is odd about a person is not their expression"
    assert float(params.expr[rest].abs().max()) < 0.2
    off = (params.jaw_pose[:, 0] - truth.jaw_pose[:, 0]).abs()
    assert float(off[:15].max()) < 0.04 and float(off[17:].max()) < 0.04
    lids = params.expr[:, [BLINK, BLINK + 1]].mean(dim=1)
    assert lids[NEUTRAL + 3] > 0.7, "a blink of one frame stays"
    assert float(lids[:NEUTRAL].abs().max()) < 0.1
    assert float(params.neck_pose[-1, 1]) == pytest.approx(0.3, abs=0.03) and not params.rotation.any()


def test_frames_without_a_face_hold_the_last_pose(motion: Motion) -> None:
    turns = motion.params.neck_pose[:, 1]
    assert float((turns[16] - turns[15]).abs()) < 0.03
    assert any("2 of 18 frames show no face" in note and "hold the last pose" in note for note in motion.notes)


def test_the_skull_is_where_it_was_seen(tiny: tuple[HeadModel, Embedding]) -> None:
    """A turn about the root in the film becomes a turn at the neck and a shift of the avatar."""
    model, embedding = tiny
    params = moments(model, 4)
    params.rotation[2:, 1] = 0.3
    params.translation[3] += torch.tensor([0.03, 0.0, 0.05])
    found = faces(landmarks(model, embedding, params), noise=0.0)
    actor = calibrated(found[:2], model, embedding, SIZE)
    performance = Performance(actor)
    vectors = [performance.see(face) for face in found]
    assert all(vector is not None for vector in vectors)
    driven = FlameParams.from_motion_vector(torch.stack([vector for vector in vectors if vector is not None]))
    assert float(driven.neck_pose[2, 1]) == pytest.approx(0.3, abs=0.04)
    eyes = joints(model, driven)[:, 3:].mean(dim=1)
    true = joints(model, replace(params, shape=torch.zeros_like(params.shape)))[:, 3:].mean(dim=1)
    moved, expected = eyes - eyes[0], true - true[0]
    assert float((moved - expected)[:, :2].norm(dim=1).max()) < 0.012
    assert not driven.rotation.any()


def test_landmarks_that_no_head_has_are_no_pose(tiny: tuple[HeadModel, Embedding]) -> None:
    model, embedding = tiny
    (face, other) = faces(landmarks(model, embedding, moments(model, 2)))
    performance = Performance(calibrated([face], model, embedding, SIZE))
    assert performance.see(other) is not None
    other.points[:, :2] = other.points[torch.randperm(478, generator=torch.Generator().manual_seed(0)), :2]
    assert performance.see(other) is None
    assert performance.see(face) is not None, "found again from anywhere"


def test_a_rig_without_identity_serves_too(tiny: tuple[HeadModel, Embedding]) -> None:
    model, embedding = tiny
    found = faces(landmarks(model, embedding, moments(model, 2)))
    avatar = replace(model, shape_basis=model.shape_basis[..., :0])
    vector = Performance(calibrated(found, avatar, embedding, SIZE)).see(found[1])
    assert vector is not None and float(vector[FlameParams.FROM_NECK].abs().max()) < 0.25


def test_a_clip_begins_with_a_face(tiny: tuple[HeadModel, Embedding]) -> None:
    model, embedding = tiny
    (face,) = faces(landmarks(model, embedding, moments(model, 1)))
    with pytest.raises(TrackingError, match=r"clip.mp4: the first 1 s show no face. Begin the clip with"):
        acted(film([None] * 10 + [face]), model, embedding, "clip.mp4")
