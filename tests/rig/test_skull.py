"""The skull's rigid motion against posed vertices that hang at the neck's joint alone."""

from __future__ import annotations

from dataclasses import replace

import torch

from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.rig.skull import skull_motions, without_neck
from tests.tiny import tiny_head_model, tiny_params


def still(model: HeadModel, params: FlameParams) -> FlameParams:
    """Only root, neck and translation move."""
    zero = torch.zeros_like
    return replace(params, expr=zero(params.expr), jaw_pose=zero(params.jaw_pose), eyes_pose=zero(params.eyes_pose))


def test_the_skull_moves_as_skin_that_hangs_at_the_neck() -> None:
    model = replace(tiny_head_model(), pose_basis=torch.zeros(36, 54 * 3))
    params = still(model, tiny_params(model, 4))
    on_skull = model.skinning_weights[:, 1] == 1
    neutral = replace(params[0], rotation=torch.zeros(1, 3), neck_pose=torch.zeros(1, 3), translation=torch.zeros(1, 3))
    unposed = pose_vertices(model, neutral)[0, on_skull]
    motions = skull_motions(model, params)
    moved = torch.einsum("tij,nj->tni", motions[:, :3, :3], unposed) + motions[:, None, :3, 3]
    torch.testing.assert_close(moved, pose_vertices(model, params)[:, on_skull], atol=1e-6, rtol=0)
    assert on_skull.sum() > 5


def test_expression_jaw_and_gaze_do_not_move_the_skull() -> None:
    model = tiny_head_model()
    params = tiny_params(model, 3)
    torch.testing.assert_close(skull_motions(model, params), skull_motions(model, still(model, params)))


def test_the_root_turns_instead_of_the_neck() -> None:
    model = tiny_head_model()
    params = tiny_params(model, 4, size=0.3)
    rigid = without_neck(model, params)
    assert not rigid.neck_pose.any() and rigid.rotation.norm() > 0
    torch.testing.assert_close(skull_motions(model, rigid), skull_motions(model, params), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(rigid.jaw_pose, params.jaw_pose)
