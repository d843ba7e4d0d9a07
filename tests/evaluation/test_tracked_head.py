"""Figures of a tracked head: closed forms of heads that were moved, scaled, turned and opened by known amounts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.evaluation.tracked_head import (
    DELIVERED,
    JAW,
    LIDS,
    LIPS,
    TRUE_SURFACE,
    TRUE_VERTICES,
    SeenHead,
    TrueFace,
    camera_figures,
    face_figures,
    motion_figures,
    require_same_vertices,
    true_face,
)
from sage_ns.evaluation.true_surface import TRUTH_FILE, Truth, plain_mesh, true_timesteps, write_truth
from sage_ns.geometry.rotations import axis_angle_to_matrix, degrees_between, matrix_to_axis_angle
from sage_ns.geometry.similarity import Similarity
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from tests.tiny import tiny_head_model, tiny_params


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return tiny_head_model()


MOVED = Similarity(1.25, axis_angle_to_matrix(torch.tensor([0.3, -0.5, 0.2])).double(), torch.tensor([0.4, 0.0, -2.0]))


def at(params: FlameParams, camera: Tensor | None = None) -> SeenHead:
    return SeenHead(params, torch.eye(4) if camera is None else camera)


def camera_at(*turn: float) -> Tensor:
    pose = torch.eye(4)
    pose[:3, :3] = axis_angle_to_matrix(torch.tensor(turn))
    pose[:3, 3] = torch.tensor([0.2, 0.1, 1.0])
    return pose


def test_a_head_after_a_known_similarity_is_exact_but_for_its_scale() -> None:
    model = tiny_head_model()
    params = tiny_params(model, 1)
    true = true_face(model, params)
    vertices = pose_vertices(model, params)[0].double()
    figures = face_figures(MOVED(vertices), true, model)
    assert true.against == DELIVERED
    assert figures.surface < 1e-3 and figures.correspondence < 1e-4
    assert figures.scale == pytest.approx(1 / 1.25)
    assert figures.surface_no_scale > 5  # a face of 16 cm that is a quarter too large
    exact = face_figures(replace(MOVED, scale=1.0)(vertices), true, model)
    assert exact.surface_no_scale < 1e-3


def test_vertices_that_slide_over_the_skin_cost_correspondence_alone() -> None:
    model = tiny_head_model()
    flat = model.v_template.double() * torch.tensor([1.0, 1.0, 0.0]).double()
    true = TrueFace(flat, TriangleMesh(flat, model.triangles), DELIVERED)
    slid = flat.clone()
    inside = (1 - (flat[:, 0] / 0.08).square() - (flat[:, 1] / 0.11).square()).clamp_min(0.0)
    slid[:, 0] += 0.01 * inside * torch.sin(60 * flat[:, 1])
    figures = face_figures(slid, true, model)
    assert figures.correspondence > 50 * figures.surface


def test_true_surfaces_are_laid_onto_the_delivered_head_unless_they_know_its_vertices(head: HeadModel) -> None:
    neutral = FlameParams.neutral(head)
    face = head.regions.triangle_mask("face", head.triangles)
    dented = head.v_template + 0.001 * torch.randn(head.v_template.shape, generator=torch.Generator().manual_seed(0))
    known = true_face(head, neutral, Truth(plain_mesh(dented, head.triangles), face))
    assert known.against == TRUE_VERTICES
    assert face_figures(dented, known, head).correspondence < 1e-3
    # The same skin with other triangles, turned by a degree and shifted: the delivered pose is off, the face is not.
    order = torch.randperm(len(head.triangles), generator=torch.Generator().manual_seed(1))
    turn = axis_angle_to_matrix(torch.tensor([0.0, math.radians(1.0), 0.0]))
    moved = head.v_template @ turn.T + torch.tensor([0.001, -0.002, 0.001])
    laid = true_face(head, neutral, Truth(plain_mesh(moved, head.triangles[order]), face[order]))
    figures = face_figures(head.v_template, laid, head)
    assert laid.against == TRUE_SURFACE
    assert figures.surface < 0.1 and figures.correspondence < 1e-3


def test_a_truth_that_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / TRUTH_FILE
    model = tiny_head_model()
    face = model.regions.triangle_mask("face", model.triangles)
    both = torch.stack([model.v_template, model.v_template + 0.01]).numpy()
    write_truth(path, [3, 7], both, model.triangles.numpy(), face.numpy())
    truth = Truth.load(path, 7)
    assert true_timesteps(path) == [3, 7]
    assert torch.equal(truth.mesh.vertices, model.v_template + 0.01) and torch.equal(truth.face, face)


def test_rotation_is_that_against_the_camera_and_neck_and_head_count_together() -> None:
    model = tiny_head_model()
    params = replace(FlameParams.neutral(model), rotation=torch.tensor([[0.1, 0.3, 0.0]]))
    camera = camera_at(0.0, 0.4, 0.0)
    # Head and camera turned alike: the same picture. Then five degrees more, of the neck.
    turn = axis_angle_to_matrix(torch.tensor([0.2, -0.7, 0.5]))
    world = torch.eye(4)
    world[:3, :3] = turn
    rotation = matrix_to_axis_angle(turn @ axis_angle_to_matrix(params.rotation[0]))[None]
    same = at(replace(params, rotation=rotation), world @ camera)
    nods = replace(params, neck_pose=torch.tensor([[math.radians(5.0), 0.0, 0.0]]))
    figures = motion_figures([same, at(nods, camera)], [at(params, camera)] * 2, model)
    assert figures.rotation_largest == pytest.approx(5.0, abs=1e-3)
    assert figures.rotation_mean == pytest.approx(2.5, abs=1e-3)
    assert figures.jaw_rms == pytest.approx(0.0, abs=1e-4) and figures.correlations == {}
    tiny = axis_angle_to_matrix(torch.tensor([1e-6, 0.0, 0.0]).double())
    assert float(degrees_between(tiny, torch.eye(3).double())) == pytest.approx(math.degrees(1e-6), rel=1e-3)


def acting(head: HeadModel, strength: float = 1.0) -> list[SeenHead]:
    """A jaw that opens and closes, and an expression at other times."""
    neutral = FlameParams.neutral(head)
    rows = []
    for step in range(8):
        expr = torch.zeros_like(neutral.expr)
        expr[0, 0] = 0.8 * (step % 2) * strength
        jaw = torch.tensor([[0.25 * math.sin(step / 2) ** 2 * strength, 0.0, 0.0]])
        rows.append(at(replace(neutral, expr=expr, jaw_pose=jaw), camera_at(0.0, 0.1 * step, 0.0)))
    return rows


def test_movements_that_follow_at_half_the_strength_correlate(head: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tiny head has no rims of lids and lips: any two vertices far apart do.
    rims = SimpleNamespace(upper=np.array([1, 2]), lower=np.array([3, 4]))
    monkeypatch.setattr("sage_ns.evaluation.tracked_head.eye_opening", lambda *_: rims)
    monkeypatch.setattr("sage_ns.evaluation.tracked_head.mouth_opening", lambda *_: rims)
    true, half = acting(head), acting(head, 0.5)
    figures = motion_figures(half, true, head)
    assert set(figures.correlations) == {LIDS, LIPS, JAW}
    assert figures.correlations[JAW] > 0.95 and figures.correlations[LIPS] > 0.99
    jaws = [0.125 * math.sin(step / 2) ** 2 for step in range(8)]
    assert figures.jaw_rms == pytest.approx(math.degrees(math.sqrt(sum(each**2 for each in jaws) / 8)), rel=1e-3)
    still = [at(FlameParams.neutral(head), each.camera_to_world) for each in true]
    assert motion_figures(still, true, head).correlations == {LIDS: 0.0, LIPS: 0.0, JAW: 0.0}
    assert motion_figures(true, still, head).correlations == {}, "nothing can follow what rests"
    monkeypatch.setattr("sage_ns.evaluation.tracked_head.eye_opening", lambda *_: None)
    monkeypatch.setattr("sage_ns.evaluation.tracked_head.mouth_opening", lambda *_: None)
    assert set(motion_figures(half, true, head).correlations) == {JAW}


def test_cameras_are_compared_after_the_similarity_of_their_places() -> None:
    true = torch.stack([camera_at(0.0, 0.2 * step, 0.05 * step) for step in range(5)]).double()
    true[:, :3, 3] += torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    found = true.clone()
    found[:, :3, 3] = MOVED(true[:, :3, 3])
    found[:, :3, :3] = MOVED.rotation @ true[:, :3, :3]
    exact = camera_figures(found, true)
    assert exact.rotation_largest < 1e-4 and exact.position_largest < 1e-4
    found[2, :3, :3] = found[2, :3, :3] @ axis_angle_to_matrix(torch.tensor([0.0, 0.0, math.radians(2.0)])).double()
    off = camera_figures(found, true)
    # One of five is off by 2 degrees: the best common turn takes a fifth of it.
    assert off.rotation_largest == pytest.approx(1.6, abs=0.01) and off.rotation_mean == pytest.approx(0.64, abs=0.01)


def test_heads_without_a_common_vertex_are_not_compared(head: HeadModel) -> None:
    other = replace(head, name="other", triangles=head.triangles.flip(0))
    with pytest.raises(SageError, match=r"p1 is tracked with the head model 'tiny' \(54 vertices\), and the head to"):
        require_same_vertices(other, head, "p1")
    require_same_vertices(tiny_head_model(), tiny_head_model(), "p1")
