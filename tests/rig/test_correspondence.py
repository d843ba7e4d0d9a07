"""Landmarks of any head, and registration of one head model to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.geometry.mesh_queries import barycentric_to_points, nearest_triangles
from sage_ns.rig import HeadModel, Regions, load_head_model
from sage_ns.rig import correspondence as module
from sage_ns.rig.correspondence import Correspondence, RegistrationError, correspondence
from sage_ns.rig.landmarks import LANDMARKS, head_landmarks
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_CACHE", str(tmp_path / "cache"))


def other_head(with_regions: bool) -> tuple[HeadModel, torch.Tensor]:
    """The built-in head, larger, longer and with its vertices in another order; and the place of each vertex."""
    head = builtin_head()
    order = torch.randperm(head.num_vertices, generator=torch.Generator().manual_seed(0))
    rank = order.argsort()
    vertices = head.v_template * torch.tensor([1.03, 1.06, 1.02]) + torch.tensor([0.0, 0.004, 0.002])
    moved = replace(
        head,
        name="other",
        v_template=vertices[order],
        triangles=rank[head.triangles].flip(0),
        shape_basis=head.shape_basis[order],
        expression_basis=head.expression_basis[order],
        pose_basis=head.pose_basis.reshape(36, -1, 3)[:, order].reshape(36, -1),
        joint_regressor=head.joint_regressor[:, order],
        skinning_weights=head.skinning_weights[order],
        regions=Regions({name: rank[head.regions.vertices(name)] for name in head.regions.names if with_regions}),
    )
    return moved, vertices


def test_landmarks_are_where_a_face_has_them() -> None:
    points = dict(zip(LANDMARKS, 1e3 * head_landmarks(builtin_head()), strict=True))
    assert points["left_eye"][0] > 25 and points["right_eye"][0] < -25
    assert points["nose_tip"][2] == max(point[2] for point in points.values())
    heights = ["crown", "forehead", "nose_bridge", "nose_tip", "mouth", "chin", "throat"]
    assert [float(points[name][1]) for name in heights] == sorted((float(points[n][1]) for n in heights), reverse=True)
    assert points["left_ear"][0] == -points["right_ear"][0] > 75
    assert points["back"][2] < -110
    torch.testing.assert_close(points["left_mouth_corner"][0], -points["right_mouth_corner"][0], atol=0.5, rtol=0)


@pytest.mark.parametrize("with_regions", [True, False])
def test_registration_finds_the_same_vertices_on_a_head_of_other_numbering(with_regions: bool) -> None:
    target, expected = other_head(with_regions)
    found = correspondence(builtin_head(), target)
    off = 1e3 * (found.vertices - expected).norm(dim=-1)
    assert off.mean() < 0.4 and off.quantile(0.95) < 1.6  # smooth skin has no features along it
    assert found.mean_mm < 0.1 and found.p95_mm < 0.3


def test_a_head_is_registered_to_itself_exactly() -> None:
    head = builtin_head()
    found = correspondence(head, head)
    torch.testing.assert_close(found.vertices, head.v_template, atol=2e-5, rtol=0)


def test_the_result_is_computed_once_and_a_damaged_cache_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []

    def register(reference: HeadModel, target: HeadModel) -> Correspondence:
        calls.append(target.name)
        return Correspondence(reference.v_template, 0.25, 0.5)

    monkeypatch.setattr(module, "_register", register)
    head = builtin_head()
    for _ in range(2):
        found = correspondence(head, head)
        assert torch.equal(found.vertices, head.v_template) and (found.mean_mm, found.p95_mm) == (0.25, 0.5)
    assert len(calls) == 1
    correspondence(head, replace(head, v_template=head.v_template + 1e-5))
    assert len(calls) == 2
    for file in (tmp_path / "cache").glob("correspondence-*.npz"):
        file.write_bytes(b"damaged")
    correspondence(head, head)
    assert len(calls) == 3


def test_an_absurd_residual_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head = builtin_head()
    monkeypatch.setattr(module, "_register", lambda *_: Correspondence(head.v_template, 5.0, 20.0))
    with pytest.raises(RegistrationError, match=r"head model 'built-in head': found no .* mean 5.00 mm, p95 20.00 mm"):
        correspondence(head, head)


def test_what_is_no_head_is_refused() -> None:
    with pytest.raises(RegistrationError, match=r"'tiny'.*cannot be registered to 'built-in head'"):
        correspondence(builtin_head(), tiny_head_model())
    upside_down = replace(
        builtin_head(), name="upside", v_template=builtin_head().v_template * torch.tensor([1, -1, 1])
    )
    with pytest.raises(RegistrationError, match="upside"):
        correspondence(builtin_head(), upside_down)


@pytest.mark.shared
def test_facekit_has_its_features_where_its_own_landmarks_are(shared: Path) -> None:
    reference, target = builtin_head(), load_head_model(shared / "facekit" / "head_model.pkl")
    for model in (target, replace(target, regions=Regions())):
        found = correspondence(reference, model)
        assert found.mean_mm < 0.6 and found.p95_mm < 2.0
        assert target.landmark_triangles is not None and target.landmark_barycentric is not None
        landmarks = barycentric_to_points(
            target.v_template, target.triangles, target.landmark_triangles, target.landmark_barycentric
        )
        near = nearest_triangles(landmarks, found.vertices, reference.triangles)
        there = 1e3 * barycentric_to_points(reference.v_template, reference.triangles, near.triangle, near.barycentric)
        # Multi-PIE: 17-26 brows, 30 nose tip, 36-47 eyes, 48 and 54 corners of the mouth, 51 and 57 lips
        brows = there[17:27]
        assert ((brows[:, 1] > 43) & (brows[:, 1] < 62)).all() and (brows[:, 0].abs() > 8).all()
        assert (there[30] - torch.tensor([0.0, -2.0, 89.0])).norm() < 4
        for side, sign in ((slice(36, 42), -1), (slice(42, 48), 1)):
            assert (there[side].mean(dim=0)[:2] - torch.tensor([sign * 31.0, 31.0])).norm() < 3
        assert (there[48, :2] - torch.tensor([-28.0, -39.0])).norm() < 4
        assert (there[54, :2] - torch.tensor([28.0, -39.0])).norm() < 4
        assert there[51, 1] > -34 and there[57, 1] < -44
