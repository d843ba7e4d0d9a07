from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from sage_ns.geometry import axis_angle_to_matrix, barycentric_to_points
from sage_ns.rig import (
    FlameParams,
    HeadModel,
    identity_vertices,
    joints,
    load_head_model,
    pose_vertices,
    rebind,
    rebinding_labels,
    sample_binding,
)
from tests.tiny import tiny_head_model, tiny_params


@pytest.fixture(params=["tiny", "facekit"])
def model(request: pytest.FixtureRequest) -> HeadModel:
    if request.param == "tiny":
        return tiny_head_model()
    shared: Path = request.getfixturevalue("shared")
    return load_head_model(shared / "facekit" / "head_model.pkl")


def double(value):
    """A copy of a model or of parameters in float64."""
    tensors = {f.name: getattr(value, f.name) for f in fields(value)}
    return replace(
        value, **{k: v.double() for k, v in tensors.items() if isinstance(v, Tensor) and v.is_floating_point()}
    )


def skin_by_hand(model: HeadModel, params: FlameParams, t: int) -> np.ndarray:
    """FLAME's forward pass, vertex by vertex and joint by joint, in float64."""
    unposed = (
        model.v_template.double().numpy()
        + model.shape_basis.double().numpy() @ params.shape.double().numpy()
        + model.expression_basis.double().numpy() @ params.expr[t].double().numpy()
    )
    if params.static_offset is not None:
        unposed = unposed + params.static_offset.double().numpy()
    centers = model.joint_regressor.double().numpy() @ unposed
    poses = [
        params.rotation[t],
        params.neck_pose[t],
        params.jaw_pose[t],
        params.eyes_pose[t, :3],
        params.eyes_pose[t, 3:],
    ]
    turns = [Rotation.from_rotvec(pose.double().numpy()).as_matrix() for pose in poses]
    feature = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    corrected = unposed + (feature @ model.pose_basis.double().numpy()).reshape(-1, 3)
    chain = []
    for joint, (turn, parent) in enumerate(zip(turns, model.parents.tolist(), strict=True)):
        about_center = np.eye(4)
        about_center[:3, :3] = turn
        about_center[:3, 3] = centers[joint] - turn @ centers[joint]
        chain.append(about_center if parent < 0 else chain[parent] @ about_center)
    blended = np.einsum("vj,jab->vab", model.skinning_weights.double().numpy(), np.stack(chain))
    posed = np.einsum("vab,vb->va", blended[:, :3, :3], corrected) + blended[:, :3, 3]
    return posed + params.translation[t].double().numpy()


def test_rest_pose_is_the_template(model: HeadModel) -> None:
    posed = pose_vertices(model, FlameParams.neutral(model))
    assert posed.shape == (1, model.num_vertices, 3)
    torch.testing.assert_close(posed[0], model.v_template, rtol=0, atol=1e-7)


@pytest.mark.parametrize("with_offset", [True, False])
def test_agreement_with_skinning_by_hand(model: HeadModel, with_offset: bool) -> None:
    params = tiny_params(model, num_timesteps=2, size=0.4)
    if not with_offset:
        params = replace(params, static_offset=None)
    posed = pose_vertices(double(model), double(params))
    single = pose_vertices(model, params)
    for t in range(2):
        expected = torch.from_numpy(skin_by_hand(model, params, t))
        torch.testing.assert_close(posed[t], expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(single[t].double(), expected, rtol=0, atol=2e-6)


def test_global_rotation_is_rigid_about_the_root_joint(model: HeadModel) -> None:
    still = replace(tiny_params(model, num_timesteps=1), rotation=torch.zeros(1, 3), translation=torch.zeros(1, 3))
    turned = replace(still, rotation=torch.tensor([[0.3, -0.8, 0.4]]))
    root = joints(model, still)[0, 0]
    matrix = axis_angle_to_matrix(turned.rotation[0])
    expected = (pose_vertices(model, still)[0] - root) @ matrix.T + root
    torch.testing.assert_close(pose_vertices(model, turned)[0], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(joints(model, turned)[0, 0], root)


def test_translation_comes_last(model: HeadModel) -> None:
    params = tiny_params(model, num_timesteps=1)
    shift = torch.tensor([[0.1, -0.2, 0.3]])
    moved = replace(params, translation=params.translation + shift)
    torch.testing.assert_close(pose_vertices(model, moved), pose_vertices(model, params) + shift, rtol=0, atol=1e-6)
    torch.testing.assert_close(joints(model, moved), joints(model, params) + shift, rtol=0, atol=1e-6)


def test_the_jaw_moves_only_vertices_that_follow_it(model: HeadModel) -> None:
    model = replace(model, pose_basis=torch.zeros_like(model.pose_basis))
    neutral = FlameParams.neutral(model)
    opened = pose_vertices(model, replace(neutral, jaw_pose=torch.tensor([[0.3, 0, 0]])))
    moved = (opened - pose_vertices(model, neutral)).norm(dim=-1)[0]
    on_jaw = model.skinning_weights[:, 2] > 0
    assert moved[~on_jaw].max() < 1e-7 < moved[model.skinning_weights[:, 2] > 0.5].min()
    chin_before, chin_after = model.v_template[on_jaw, 1].mean(), opened[0, on_jaw, 1].mean()
    assert chin_after < chin_before  # positive opens


def test_eyes_turn_about_their_own_joints(model: HeadModel) -> None:
    model = replace(model, pose_basis=torch.zeros_like(model.pose_basis))
    neutral = FlameParams.neutral(model)
    looking = replace(neutral, eyes_pose=torch.tensor([[0.0, 0.4, 0, 0, 0, 0]]))
    moved = (pose_vertices(model, looking) - pose_vertices(model, neutral)).norm(dim=-1)[0]
    left, right = model.regions.vertices("left_eyeball"), model.regions.vertices("right_eyeball")
    assert moved[left].max() > 1e-3 and moved[right].max() < 1e-7
    torch.testing.assert_close(joints(model, looking), joints(model, neutral))


def test_identity_vertices_are_those_of_the_unposed_head(model: HeadModel) -> None:
    params = tiny_params(model, num_timesteps=1)
    unposed = replace(FlameParams.neutral(model), shape=params.shape, static_offset=params.static_offset)
    torch.testing.assert_close(identity_vertices(model, params), pose_vertices(model, unposed)[0], rtol=0, atol=1e-6)


def test_gradients_reach_every_parameter(model: HeadModel) -> None:
    params = FlameParams.neutral(model)  # at the identity, the textbook rotation formulas divide zero by zero
    params = replace(params, static_offset=torch.zeros(model.num_vertices, 3))
    leaves = {f.name: getattr(params, f.name).requires_grad_() for f in fields(params)}
    aim = torch.randn(model.num_vertices, 3, generator=torch.Generator().manual_seed(0))
    (pose_vertices(model, replace(params, **leaves)) * aim).sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None and leaf.grad.isfinite().all(), name
        assert (leaf.grad != 0).any(), name


def test_gradients_agree_with_finite_differences() -> None:
    model, params = (
        double(tiny_head_model(num_shape=2, num_expression=2)),
        double(tiny_params(tiny_head_model(2, 2), 1)),
    )
    vector = params.motion_vector().requires_grad_()
    chosen = torch.arange(0, model.num_vertices, 9)
    assert torch.autograd.gradcheck(
        lambda v: pose_vertices(model, FlameParams.from_motion_vector(v, params))[:, chosen], vector
    )


@pytest.mark.gpu
def test_the_gpu_poses_and_binds_alike() -> None:
    model, params = tiny_head_model(), tiny_params(tiny_head_model())
    on_gpu, params_on_gpu = model.to("cuda"), params.to("cuda")
    posed = pose_vertices(on_gpu, params_on_gpu)
    assert posed.is_cuda
    torch.testing.assert_close(posed.cpu(), pose_vertices(model, params), rtol=0, atol=1e-5)
    between = params_on_gpu.interpolate(torch.tensor([0.5]))
    torch.testing.assert_close(
        between.to("cpu").motion_vector(), params.interpolate(torch.tensor([0.5])).motion_vector()
    )

    camera = torch.tensor([[0.0, 0.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    binding = sample_binding(posed[0], on_gpu, 500, camera.cuda(), generator)
    points = barycentric_to_points(posed[0], on_gpu.triangles, binding.triangle, binding.barycentric)
    labels = rebinding_labels(on_gpu)
    nearest = rebind(points, posed[0], on_gpu.triangles, binding.triangle, labels)
    assert nearest.is_cuda and (nearest == binding.triangle).float().mean() > 0.95
