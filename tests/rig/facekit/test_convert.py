"""ICT-FaceKit's layout as a head model: shapes, joints and weights come out as they were put in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from sage_ns.errors import HeadModelError
from sage_ns.rig import FlameParams, HeadModel, load_head_model, pose_vertices, save_head_model
from sage_ns.rig.facekit import head_model_from_facekit
from sage_ns.rig.facekit.files import Layout
from sage_ns.rig.facekit.joints import find_jaw, sphere_center
from tests.rig.facekit.tiny_facekit import EYES, JAW_ANGLE, JAW_AT, ball, model, write_tiny_facekit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Layout]:
    clone = tmp_path_factory.mktemp("facekit")
    return clone, write_tiny_facekit(clone / "FaceXModel")


@pytest.fixture(scope="module")
def head(folder: tuple[Path, Layout]) -> HeadModel:
    return head_model_from_facekit(folder[0], 300, folder[1])


def in_metres(points: np.ndarray) -> np.ndarray:
    """FaceKit's centimetres in the head model's axes: the eyes' middle at (0, 0.031, 0.039)."""
    return 0.01 * (points - EYES.mean(axis=0)) + [0.0, 0.031, 0.039]


def originals(head: HeadModel) -> np.ndarray:
    """Which of FaceKit's vertices each vertex of the head model is."""
    distance = cdist(head.v_template.numpy(), in_metres(model()[0]))
    assert distance.min(axis=1).max() < 1e-6
    return distance.argmin(axis=1)


def test_vertices_are_a_subset_and_shapes_stay_exact(head: HeadModel) -> None:
    assert 250 < head.num_vertices <= 300
    rows, shapes, neutral = originals(head), model()[2], model()[0]
    wider = 0.01 * (shapes["identity000"] - neutral)[rows]
    np.testing.assert_allclose(head.shape_basis[..., 0].numpy(), wider, atol=1e-6)
    smile = 0.01 * (shapes["mouthSmile_L"] - neutral)[rows]
    column = head.expression_names.index("mouthSmile_L")
    np.testing.assert_allclose(head.expression_basis[..., column].numpy(), smile, atol=1e-6)
    assert "jawOpen" not in head.expression_names


def test_the_jaws_joint_opens_the_mouth_as_jaw_open_does(head: HeadModel) -> None:
    neutral = FlameParams.neutral(head)
    opened = pose_vertices(head, replace(neutral, jaw_pose=torch.tensor([[JAW_ANGLE, 0.0, 0.0]])))[0]
    moved = (opened - head.v_template).numpy()
    wanted = 0.01 * (model()[2]["jawOpen"] - model()[0])[originals(head)]
    # Weights are smoothed over the mesh: the middle of the chin follows fully, the rest in part.
    chin = np.linalg.norm(wanted, axis=1) > 0.8 * np.linalg.norm(wanted, axis=1).max()
    assert np.linalg.norm(moved - wanted, axis=1)[chin].mean() < 0.5 * np.linalg.norm(wanted, axis=1)[chin].mean()
    joints = (head.joint_regressor @ head.v_template).numpy()
    np.testing.assert_allclose(joints[2], in_metres(JAW_AT), atol=1e-6)
    np.testing.assert_allclose(joints[3:], in_metres(EYES), atol=1e-6)


def test_eyeballs_follow_their_joints_alone(head: HeadModel) -> None:
    for column, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        rows = head.regions.vertices(name)
        assert len(rows) > 10
        assert bool((head.skinning_weights[rows, column] == 1).all())
        assert not head.expression_basis[rows].any()
    assert head.expression_basis[..., head.expression_names.index("eyeLookUp_L")].any()
    # Identity moves joints with the eyes.
    shape = torch.tensor([1.0, 0.0])
    joints = head.joint_regressor @ (head.v_template + head.shape_basis @ shape)
    assert float(joints[3, 0]) == pytest.approx(1.05 * 0.03, abs=1e-4)


def test_weights_texture_and_landmarks_are_those_of_a_head_model(head: HeadModel, tmp_path: Path) -> None:
    assert head.uv is not None
    assert head.uv_triangles is not None
    assert head.landmark_triangles is not None
    assert head.landmark_barycentric is not None
    save_head_model(head, tmp_path / "head.npz")
    again = load_head_model(tmp_path / "head.npz")
    assert again.expression_names == head.expression_names
    torch.testing.assert_close(head.skinning_weights.sum(dim=1), torch.ones(head.num_vertices))
    corners = head.v_template[head.triangles[head.landmark_triangles]]
    points = (corners * head.landmark_barycentric[..., None]).sum(dim=1).numpy()
    marks = json.loads(json.dumps([index * 3 % 280 for index in range(68)]))
    np.testing.assert_allclose(points[9:], in_metres(model()[0])[marks][9:], atol=1e-6)
    # No triangle of the texture spans the cut.
    skin = ~torch.isin(head.triangles, head.regions.vertices("eyes")).any(dim=1)
    spans = head.uv[head.uv_triangles[skin]][..., 0]
    assert float((spans.amax(dim=1) - spans.amin(dim=1)).max()) < 0.5
    assert {"face", "scalp", "neck", "boundary", "left_eyeball"} <= set(head.regions.names)
    assert len(head.regions.vertices("boundary"))


def test_a_sphere_and_a_jaw_are_found_from_their_points() -> None:
    np.testing.assert_allclose(sphere_center(ball(EYES[0], np.full(3, 1.2), 5, 6)), EYES[0], atol=1e-9)
    with pytest.raises(HeadModelError, match=r"jawOpen turns the lower teeth by 0\.0 degrees"):
        find_jaw(ball(EYES[0], np.ones(3), 4, 4), np.zeros((16, 3)))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("identity001.obj", None, None, r"1 files are missing, identity001\.obj"),
        ("generic_neutral_mesh.obj", None, None, r"found no generic_neutral_mesh\.obj"),
        ("jawOpen.obj", "v ", "w ", r"jawOpen\.obj: \d+ vertices; ICT-FaceKit has"),
        ("identity000.obj", "\nv 0", "\nv nan ", r"identity000\.obj: a line 'v'"),
        ("generic_neutral_mesh.obj", "/", " ", "expected lines 'f v/vt"),
        ("generic_neutral_mesh.obj", "f 1/", "f 99999/", "names a vertex that is not there"),
        ("vertex_indices.json", "jawOpen", "../x", "'expressions' is"),
        ("vertex_indices.json", "idx_to", "idx", "'idx_to_landmark_verts' is None"),
        ("vertex_indices.json", '"jawOpen", ', "", "has no jawOpen"),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, file: str, old: str | None, new: str | None, message: str) -> None:
    layout = write_tiny_facekit(tmp_path / "kit")
    path = tmp_path / "kit" / file
    if old is None or new is None:
        path.unlink()
    else:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    with pytest.raises(HeadModelError, match=message):
        head_model_from_facekit(tmp_path / "kit", 300, layout)
