"""Some vertices of a head as a rig of their own."""

from __future__ import annotations

import torch

from sage_ns.rig import FlameParams, joints, pose_vertices
from sage_ns.rig.few_vertices import few_vertices
from tests.tiny import tiny_head_model, tiny_params


def test_chosen_vertices_and_joints_move_as_in_the_whole_head() -> None:
    model = tiny_head_model()
    params = tiny_params(model)
    whole = FlameParams(**{**vars(params), "static_offset": None})
    chosen = torch.tensor([5, 50, 17, 3])
    few = few_vertices(model, chosen)
    torch.testing.assert_close(pose_vertices(few, whole)[:, :4], pose_vertices(model, whole)[:, chosen])
    torch.testing.assert_close(joints(few, whole), joints(model, whole))


def test_fewer_directions_are_the_first_ones() -> None:
    model = tiny_head_model()
    few = few_vertices(model, torch.arange(7), 8, 4)
    assert (few.num_shape, few.num_expression, few.num_vertices) == (8, 4, 12)
    params = tiny_params(model, 1)
    shape, expr = params.shape.clone(), params.expr.clone()
    shape[8:], expr[:, 4:] = 0, 0
    whole = FlameParams(**{**vars(params), "static_offset": None, "shape": shape, "expr": expr})
    short = FlameParams(**{**vars(whole), "shape": shape[:8], "expr": expr[:, :4]})
    torch.testing.assert_close(pose_vertices(few, short)[:, :7], pose_vertices(model, whole)[:, :7])
