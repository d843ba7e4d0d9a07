"""The head made by code: a valid rig in FLAME's layout whose lids close, whose lips part, and whose halves mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from torch import Tensor

from sage_ns.rig import FlameParams, HeadModel, joints, load_head_model, pose_vertices, save_head_model
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.head.surface import EYE_RADIUS

EYEBALLS = ("left_eyeball", "right_eyeball")


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return builtin_head()


def posed(model: HeadModel, jaw: float = 0.0, shape: Tensor | None = None, **expressions: float) -> Tensor:
    """Vertices (metres) with named expressions; a name without side sets both."""
    params = FlameParams.neutral(model)
    expr = params.expr.clone()
    for name, value in expressions.items():
        full = [n for n in (name, f"{name}_left", f"{name}_right") if n in model.expression_names]
        assert full, name
        for one in full:
            expr[0, model.expression_names.index(one)] = value
    shape = params.shape if shape is None else shape
    return pose_vertices(model, replace(params, expr=expr, shape=shape, jaw_pose=torch.tensor([[jaw, 0.0, 0.0]])))[0]


def rims(model: HeadModel) -> tuple[Tensor, Tensor]:
    """Vertices of upper and lower lip around the middle of the mouth."""
    lips = model.regions.vertices("lips")
    x, y = model.v_template[lips, 0], model.v_template[lips, 1]
    middle = x.abs() < 0.008
    weight = model.skinning_weights[lips, 2]
    upper = lips[middle & (weight < 0.01) & (y < -0.033)]
    lower = lips[middle & (weight > 0.99) & (y > -0.046)]
    return upper, lower


def test_it_has_flames_layout(model: HeadModel) -> None:
    assert 5000 <= model.num_vertices <= 7000
    assert (model.num_shape, model.num_expression) == (300, 100)
    assert model.joint_regressor.shape == (5, model.num_vertices)
    assert model.parents.tolist() == [-1, 0, 1, 1, 1]
    assert torch.isfinite(model.v_template).all()
    torch.testing.assert_close(model.skinning_weights.sum(dim=1), torch.ones(model.num_vertices))
    assert (model.skinning_weights >= 0).all()
    height = model.v_template[:, 1].max() - model.v_template[:, 1].min()
    assert 0.22 < height < 0.30
    named = [name for name in model.expression_names if not name.startswith("unused")]
    assert len(named) >= 30
    used = model.expression_basis.abs().amax(dim=(0, 1)) > 0
    assert used.sum() == len(named)
    assert (model.shape_basis.abs().amax(dim=(0, 1)) > 0).sum() >= 30


def test_joints_stand_where_flame_has_them(model: HeadModel) -> None:
    root, neck, jaw, left, right = joints(model, FlameParams.neutral(model))[0].numpy()
    np.testing.assert_allclose(left, (0.031, 0.031, 0.0385), atol=1e-5)
    np.testing.assert_allclose(right, (-0.031, 0.031, 0.0385), atol=1e-5)
    assert root[1] < neck[1] < jaw[1] < left[1]
    assert np.abs([root[0], neck[0], jaw[0]]).max() < 1e-5


def test_it_is_one_skin_with_open_eyes_mouth_and_neck_and_two_closed_eyeballs(model: HeadModel) -> None:
    triangles = model.triangles.numpy()
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    directed = edges @ [model.num_vertices, 1]
    assert len(np.unique(directed)) == len(directed), "two triangles share a directed edge: orientation is broken"
    border = edges[~np.isin(edges[:, ::-1] @ [model.num_vertices, 1], directed)]
    after = {int(a): int(b) for a, b in border}
    loops = 0
    while after:
        start = next(iter(after))
        at = after.pop(start)
        while at != start:
            at = after.pop(at)
        loops += 1
    assert loops == 4
    assert len(np.unique(triangles)) == model.num_vertices
    eyes = torch.cat([model.regions.vertices(name) for name in EYEBALLS])
    assert not torch.isin(torch.from_numpy(border), eyes).any()


def test_triangles_face_outwards(model: HeadModel) -> None:
    corner = model.v_template[model.triangles].double()
    normal = torch.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0], dim=-1)
    left = model.regions.triangle_mask("left_eyeball", model.triangles)
    center = model.v_template[model.regions.vertices("left_eyeball")].mean(dim=0)
    assert ((normal[left] * (corner[left].mean(dim=1) - center)).sum(-1) > 0).all()
    scalp = model.regions.triangle_mask("scalp", model.triangles)
    outward = (normal[scalp] * (corner[scalp].mean(dim=1) - torch.tensor([0.0, 0.04, -0.03]))).sum(-1)
    assert (outward > 0).float().mean() > 0.99


def test_left_and_right_mirror_each_other(model: HeadModel) -> None:
    flip = torch.tensor([-1.0, 1.0, 1.0])
    tree = KDTree(model.v_template.numpy())

    def distance(a: Tensor, b: Tensor) -> float:
        assert a.shape == b.shape
        gap, index = tree.query((model.v_template * flip).numpy())
        assert gap.max() < 2e-6
        return float((a[torch.from_numpy(index)] * flip - b).abs().max())

    basis = model.expression_basis
    for name in ("blink", "mouth_smile", "brow_lower", "upper_lip_raise"):
        left, right = (basis[..., model.expression_names.index(f"{name}_{side}")] for side in ("left", "right"))
        assert distance(left, right) < 2e-6
    assert distance(model.shape_basis[..., 4], model.shape_basis[..., 4]) < 2e-6


def test_regions_are_there_and_disjoint_where_they_should_be(model: HeadModel) -> None:
    names = {
        *("face", "scalp", "neck", "forehead", "lips", "nose", "eye_region", "left_eye_region", "right_eye_region"),
        *("left_eyeball", "right_eyeball", "left_ear", "right_ear", "boundary"),
    }
    assert set(model.regions.names) == names
    members = {name: set(model.regions.vertices(name).tolist()) for name in names}
    assert all(len(group) > 20 for group in members.values())
    parts = ("face", "scalp", "neck", "left_ear", "right_ear", *EYEBALLS)
    assert sum(len(members[name]) for name in parts) == model.num_vertices
    assert len(set().union(*(members[name] for name in parts))) == model.num_vertices
    for name in ("forehead", "lips", "nose", "eye_region"):
        assert members[name] <= members["face"], name
    assert members["left_eye_region"] | members["right_eye_region"] == members["eye_region"]
    assert model.v_template[model.regions.vertices("left_ear"), 0].min() > 0.04
    assert model.v_template[model.regions.vertices("left_eyeball"), 0].min() > 0.0


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_lids_stay_outside_the_eyeball_and_close(model: HeadModel, amount: float) -> None:
    from sage_ns.synthetic.light import Caster

    vertices = posed(model, blink=amount).numpy()
    caster = Caster(vertices, model.triangles.numpy())
    center = np.array([0.031, 0.031, 0.0385])
    grid = np.stack(np.meshgrid(np.linspace(-0.011, 0.011, 45), np.linspace(-0.010, 0.010, 41)), -1).reshape(-1, 2)
    targets = center + np.concatenate([grid, np.zeros((len(grid), 1))], axis=-1)
    targets = targets[np.linalg.norm(grid, axis=-1) < EYE_RADIUS * 1e-3]
    triangle, _, _ = caster.first_hit(targets + np.array([0.0, 0.0, 0.3]), np.tile([0.0, 0.0, -1.0], (len(targets), 1)))
    is_eyeball = model.regions.triangle_mask("left_eyeball", model.triangles).numpy()
    seen = is_eyeball[triangle].mean()
    if amount == 1.0:
        assert seen < 0.02
    else:
        assert seen > 0.08
    if amount == 0.0:
        fully_open = seen
        assert fully_open > 0.25


def test_the_jaw_opens_the_mouth_and_leaves_the_upper_lip(model: HeadModel) -> None:
    upper, lower = rims(model)
    assert len(upper) >= 4 and len(lower) >= 4
    closed, opened = posed(model), posed(model, jaw=0.3)
    assert (opened[upper] - closed[upper]).norm(dim=-1).max() < 1e-4
    assert (closed[lower] - opened[lower])[:, 1].min() > 0.015
    gap = opened[upper, 1].min() - opened[lower, 1].max()
    assert gap > 0.005
    assert closed[upper, 1].min() - closed[lower, 1].max() < 0.001


def test_expressions_do_what_they_say(model: HeadModel) -> None:
    rest = posed(model)
    lips = model.regions.vertices("lips")
    corner = lips[rest[lips, 0].argmax()]
    assert (posed(model, mouth_smile=1.0) - rest)[corner, 1] > 0.003
    assert (posed(model, mouth_frown=1.0) - rest)[corner, 1] < -0.003
    assert (posed(model, mouth_pucker=1.0) - rest)[corner, 0] < -0.004
    forehead = model.regions.vertices("forehead")
    assert (posed(model, brow_outer_raise=1.0) - rest)[forehead, 1].max() > 0.003
    left_only = posed(model, mouth_smile_left=1.0) - rest
    assert left_only[rest[:, 0] < -0.01].abs().max() < 1e-4


def test_seeds_are_different_people_and_zero_is_the_mean(model: HeadModel) -> None:
    assert torch.equal(builtin_identity(0), torch.zeros(300))
    first, second = builtin_head(1), builtin_head(2)
    assert torch.equal(first.triangles, model.triangles)
    assert (first.v_template - second.v_template).norm(dim=-1).mean() > 1e-3
    torch.testing.assert_close(first.v_template, posed(model, shape=builtin_identity(1)), atol=1e-6, rtol=0)
    eyes = first.regions.vertices("left_eyeball")
    radius = (first.v_template[eyes] - first.v_template[eyes[[0, -1]]].mean(dim=0)).norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, EYE_RADIUS * 1e-3), atol=1e-5, rtol=0)


def test_it_is_built_once_and_always_alike(model: HeadModel) -> None:
    from sage_ns.synthetic.head.mesh import build_head_mesh

    assert builtin_head() is model
    again = build_head_mesh()
    num_skin = len(again.vertices)
    np.testing.assert_array_equal((again.vertices * 1e-3).astype(np.float32), model.v_template[:num_skin].numpy())


def test_a_saved_head_loads_the_same(model: HeadModel, tmp_path) -> None:
    save_head_model(model, tmp_path / "head.npz")
    loaded = load_head_model(tmp_path / "head.npz")
    assert loaded.expression_names == model.expression_names
    for key, value in model.state().items():
        assert torch.equal(value, loaded.state()[key]), key
