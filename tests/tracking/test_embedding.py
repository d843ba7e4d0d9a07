"""Places of the landmarks: files, other head models, and learning them from drawn people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import TrackingError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.array_fields import write_npz
from sage_ns.tracking import learn_embedding as learning
from sage_ns.tracking import rig_embedding
from sage_ns.tracking.embedding import Embedding, builtin_embedding, landmark_parts, load_embedding
from tests.tracking.known_head import random_embedding


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return builtin_head()


def test_files_keep_an_embedding(tmp_path: Path, model: HeadModel) -> None:
    embedding = random_embedding(model)
    embedding.save(tmp_path / "e.npz")
    found = load_embedding(tmp_path / "e.npz", model)
    own, other = (each.points(model.v_template, model.triangles) for each in (embedding, found))
    torch.testing.assert_close(own, other, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("triangle", np.full(478, 10**6), "values in"),
        ("triangle", np.zeros(5, dtype=np.int32), r"shape \[5\]"),
        ("barycentric", np.full((478, 3), 0.5), "do not sum to 1"),
        ("weight", -np.ones(478), "weights from 0"),
        ("weight", np.zeros(478), "some above"),
        ("slide", np.full((478, 3, 2), 9.0), "numbers in"),
        ("slide", np.full((478, 3, 2), np.nan), "non-finite"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, model: HeadModel, name: str, value: np.ndarray, message: str
) -> None:
    embedding = random_embedding(model)
    arrays = {field: np.asarray(tensor) for field, tensor in vars(embedding).items()}
    write_npz(tmp_path / "e.npz", {**arrays, name: value})
    with pytest.raises(TrackingError, match=message):
        load_embedding(tmp_path / "e.npz", model)
    with pytest.raises(TrackingError, match="no such file"):
        load_embedding(tmp_path / "none.npz", model)


def test_the_shipped_embedding_lies_where_a_face_has_its_landmarks(model: HeadModel) -> None:
    embedding = builtin_embedding()
    points = 1e3 * embedding.points(model.v_template, model.triangles)
    tip, chin, brow, left, right = (points[number] for number in (1, 152, 10, 263, 33))
    assert abs(float(tip[0])) < 3 and tip[2] > points[[33, 263, 152, 10], 2].max()
    assert chin[1] < -60 < tip[1] < brow[1]
    assert left[0] > 35 and right[0] < -35
    upper, lower = points[13], points[14]
    assert float((upper - lower).norm()) < 6
    mouth_left, mouth_right = points[291], points[61]
    assert mouth_left[0] > 18 and mouth_right[0] < -18
    for (landmarks, part), side in zip(landmark_parts(model)[1:], (-1, 1), strict=True):
        assert part[embedding.triangle[landmarks]].all()
        assert (side * points[landmarks, 0] > 20).all()


def test_another_head_model_learns_its_own_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: HeadModel
) -> None:
    monkeypatch.setenv("SAGE_CACHE", str(tmp_path))
    monkeypatch.setattr(rig_embedding, "sightings", lambda *_: [])
    learned, calls = random_embedding(model), []
    monkeypatch.setattr(rig_embedding, "learn_embedding", lambda *_: calls.append(1) or learned)
    other = replace(model, name="other", v_template=1.01 * model.v_template)
    for _ in range(2):
        found = rig_embedding.embedding_on(other, lambda picture: [])
        torch.testing.assert_close(found.triangle, learned.triangle)
    rig_embedding.embedding_on(replace(other, triangles=model.triangles.flip(0)), lambda picture: [])
    assert len(calls) == 2
    assert rig_embedding.embedding_on(model, lambda picture: []) is builtin_embedding()


def seen_people(model: HeadModel, embedding: Embedding, count: int, noise: float) -> list[learning.Sighting]:
    """Turned heads without expression, with their landmarks and noise in pixels."""
    generator = torch.Generator().manual_seed(0)
    seen = []
    for number in range(count):
        turn = torch.tensor([[0.3 * ((number % 3) - 1), 0.7 * ((number % 5) / 2 - 1), 0.0]])
        params = replace(FlameParams.neutral(model), rotation=turn)
        vertices = pose_vertices(model, params)[0]
        camera = learning._camera(vertices)
        sighting = learning.Sighting(vertices, axis_angle_to_matrix(turn[0]), camera, torch.zeros(478, 2))
        points = embedding.points(vertices, model.triangles) + learning._slid(sighting, embedding.slide)
        landmarks = sighting.pixels(points) + noise * torch.randn(478, 2, generator=generator)
        seen.append(replace(sighting, landmarks=landmarks))
    return seen


def test_places_and_slides_are_learned_from_pictures(model: HeadModel) -> None:
    truth = random_embedding(model, seed=3)
    truth.slide[:, 0, 0] = 0.003
    found = learning.learn_embedding(model, seen_people(model, truth, 15, noise=0.3))
    places, expected = (each.points(model.v_template, model.triangles) for each in (found, truth))
    away = 1e3 * (places - expected).norm(dim=-1)
    assert float(away.median()) < 1.3 and float(away.quantile(0.9)) < 5.0
    assert float((found.slide[:, 0, 0] / 0.003).median()) > 0.2
    assert float(found.weight.mean()) == pytest.approx(1.0, abs=1e-3)


def test_too_few_faces_are_refused(model: HeadModel) -> None:
    with pytest.raises(TrackingError, match="found 0 of the drawn faces"):
        learning.learn_embedding(model, [])
