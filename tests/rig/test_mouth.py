"""Placement and motion of the inside of the mouth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.errors import HeadModelError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.geometry.signed_distance import signed_distances
from sage_ns.rig import FlameParams, HeadModel, joints, pose_vertices
from sage_ns.rig.mouth import find_mouth, lip_gap, mouth_model
from sage_ns.rig.mouth_shape import PARTS, mouth_shape
from sage_ns.rig.regions import Regions
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.head.surface import MOUTH_HALF_WIDTH, mouth_line
from tests.tiny import tiny_head_model

NUM = len(mouth_shape().vertices)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module")
def mouth(head: HeadModel) -> HeadModel:
    return mouth_model(head)


def posed(mouth: HeadModel, **motion: list[float]) -> Tensor:
    params = replace(FlameParams.neutral(mouth), **{name: torch.tensor([value]) for name, value in motion.items()})
    return pose_vertices(mouth, params)[0]


def test_finds_the_mouth_that_the_built_in_head_is_drawn_with(head: HeadModel) -> None:
    found = find_mouth(head)
    assert abs(float(found.center[0])) < 1e-3
    drawn = float(np.median(mouth_line(np.linspace(-12.0, 12.0, 49)))) * 1e-3
    assert abs(float(found.center[1]) - drawn) < 1.5e-3
    assert MOUTH_HALF_WIDTH - 1 < found.half_width * 1e3 < MOUTH_HALF_WIDTH + 5


def test_the_rims_of_closed_lips_meet(head: HeadModel) -> None:
    found = find_mouth(head)
    upper, lower = found.rims
    assert abs(upper - lower) < 6e-4
    assert upper == pytest.approx(float(found.center[1]), abs=1.5e-3)


def parted_head(head: HeadModel, by: float) -> HeadModel:
    """The head whose upper lip is higher by so much than its lower one, metres: a tracker may leave lips apart."""
    drop = head.expression_basis[..., head.expression_names.index("lips_part")]
    upper, lower = find_mouth(head).lips
    apart = float((drop[upper, 1] - drop[lower, 1]).mean())
    return replace(head, v_template=head.v_template + by / apart * drop)


def test_upper_teeth_hang_from_the_upper_lip_and_lower_ones_stand_under_the_lower(head: HeadModel) -> None:
    parted = parted_head(head, 4e-3)
    closed_rims, rims = find_mouth(head).rims, find_mouth(parted).rims
    assert rims[0] - rims[1] == pytest.approx(4e-3, abs=1e-3)
    before, after = mouth_model(head), mouth_model(parted)
    for name, rim in (("upper_teeth", 0), ("lower_teeth", 1)):
        moved = (after.v_template - before.v_template)[before.regions.vertices(name), 1]
        assert float(moved.mean()) == pytest.approx(rims[rim] - closed_rims[rim], abs=3e-4), name


def test_the_face_at_rest_and_not_the_one_without_expression_places_the_teeth(head: HeadModel) -> None:
    """A tracker may put half of what a person looks like into the expression."""
    taken = torch.zeros(head.num_expression)
    taken[head.expression_names.index("lips_part")] = 0.5
    odd = replace(head, v_template=head.v_template - head.expression_basis @ taken)
    assert (mouth_model(odd).v_template[:NUM] - mouth_model(head).v_template[:NUM]).norm(dim=-1).max() > 5e-4
    resting = mouth_model(odd, taken).v_template[:NUM]
    torch.testing.assert_close(resting, mouth_model(head).v_template[:NUM], atol=2e-5, rtol=0)


def test_needs_no_regions(head: HeadModel) -> None:
    with_regions, without = find_mouth(head), find_mouth(replace(head, regions=Regions()))
    assert torch.equal(with_regions.center, without.center)
    assert with_regions.scale == without.scale


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_grows_with_the_head(head: HeadModel, factor: float) -> None:
    found = find_mouth(head)
    larger = find_mouth(replace(head, v_template=head.v_template * factor))
    torch.testing.assert_close(larger.center, found.center * factor, atol=1e-3, rtol=0)
    assert larger.scale == pytest.approx(found.scale * factor, rel=0.04)


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_everything_is_behind_the_skin_of_a_closed_mouth(seed: int) -> None:
    head = builtin_head(seed)
    inside = signed_distances(mouth_model(head).v_template[:NUM], head.v_template, head.triangles)
    assert float(inside.max()) < 0.0
    teeth = torch.from_numpy(mouth_shape().part == PARTS.index("upper_teeth"))
    assert float(inside[teeth].max()) < -2e-3


def test_joints_are_the_heads_under_any_expression(head: HeadModel, mouth: HeadModel) -> None:
    generator = torch.Generator().manual_seed(2)
    neutral = FlameParams.neutral(head)
    params = replace(
        neutral,
        expr=0.5 * torch.randn(1, head.num_expression, generator=generator),
        rotation=0.3 * torch.randn(1, 3, generator=generator),
        neck_pose=0.3 * torch.randn(1, 3, generator=generator),
        jaw_pose=torch.tensor([[0.3, 0.1, 0.0]]),
    )
    own = replace(params, shape=torch.zeros(0))
    torch.testing.assert_close(joints(mouth, own), joints(head, params), atol=1e-5, rtol=0)


def test_upper_parts_stay_and_lower_ones_turn_about_the_jaw_joint(head: HeadModel, mouth: HeadModel) -> None:
    opened, rest = posed(mouth, jaw_pose=[0.3, 0.0, 0.0]), mouth.v_template
    for name in ("upper_teeth", "upper_gums"):
        members = mouth.regions.vertices(name)
        torch.testing.assert_close(opened[members], rest[members], atol=1e-6, rtol=0)
    turn = axis_angle_to_matrix(torch.tensor([0.3, 0.0, 0.0]))
    pivot = joints(head, FlameParams.neutral(head))[0, 2]
    for name in ("lower_teeth", "lower_gums", "tongue"):
        members = mouth.regions.vertices(name)
        expected = (rest[members] - pivot) @ turn.T + pivot
        torch.testing.assert_close(opened[members], expected, atol=1e-5, rtol=0)


def test_lips_that_a_smile_draws_apart_open_the_mouth_though_the_jaw_stays(head: HeadModel, mouth: HeadModel) -> None:
    expression = torch.zeros(1, head.num_expression)
    expression[0, head.expression_names.index("lips_part")] = 1.0
    parted = replace(FlameParams.neutral(head), expr=expression)
    upper, lower = find_mouth(head).lips
    skin, inside = pose_vertices(head, parted)[0], pose_vertices(mouth, parted)[0]
    torch.testing.assert_close(inside[mouth.regions.vertices("upper_lip")], skin[upper], atol=1e-6, rtol=0)
    assert (head.v_template[upper, 1] > head.v_template[lower, 1]).all()
    assert float(lip_gap(mouth, inside)) > 0.03


def test_opening_is_zero_at_rest_and_grows_with_the_jaw_alone(mouth: HeadModel) -> None:
    angles = [0.0, 0.1, 0.2, 0.35]
    openings = [float(lip_gap(mouth, posed(mouth, jaw_pose=[a, 0.0, 0.0]))) for a in angles]
    assert openings[0] == pytest.approx(0.0, abs=1e-4)
    assert openings == sorted(openings)
    turned = posed(mouth, jaw_pose=[0.2, 0.0, 0.0], rotation=[0.3, -0.4, 0.1], translation=[0.1, 0.2, 0.3])
    assert float(lip_gap(mouth, turned)) == pytest.approx(openings[2], rel=0.1)


def test_a_head_whose_jaw_opens_nothing_is_refused() -> None:
    model = tiny_head_model()
    stiff = model.skinning_weights.clone()
    stiff[:, 1] += stiff[:, 2]
    stiff[:, 2] = 0.0
    with pytest.raises(HeadModelError, match="no mouth found"):
        mouth_model(replace(model, skinning_weights=stiff))


def test_the_shape_is_a_mesh_of_six_parts_without_stray_triangles() -> None:
    shape = mouth_shape()
    assert set(shape.part.tolist()) == set(range(len(PARTS)))
    assert shape.triangles.min() == 0
    assert shape.triangles.max() == NUM - 1
    one_part = shape.part[shape.triangles]
    assert (one_part == one_part[:, :1]).all()
    assert ((shape.follows_jaw >= 0) & (shape.follows_jaw <= 1)).all()


def test_a_look_into_the_mouth_meets_fronts_of_triangles(head: HeadModel, mouth: HeadModel) -> None:
    from sage_ns.geometry.mesh_queries import first_triangles
    from sage_ns.geometry.triangles import triangle_normals

    neutral = replace(FlameParams.neutral(head), jaw_pose=torch.tensor([[0.35, 0.0, 0.0]]))
    skin, inner = pose_vertices(head, neutral)[0], posed(mouth, jaw_pose=[0.35, 0.0, 0.0])
    vertices = torch.cat([skin, inner])
    triangles = torch.cat([head.triangles, mouth.triangles + len(skin)])
    x, y = torch.meshgrid(torch.linspace(-0.02, 0.02, 40), torch.linspace(-0.075, -0.03, 60), indexing="ij")
    origins = torch.stack([x, y, torch.full_like(x, 0.4)], dim=-1).reshape(-1, 3)
    hits = first_triangles(vertices, triangles, origins, torch.tensor([0.0, 0.0, -1.0]).expand_as(origins))
    seen = hits[hits >= head.num_triangles]
    assert len(seen) > 300
    fronts = triangle_normals(vertices, triangles)[seen, 2] > 0
    assert float(fronts.float().mean()) > 0.97
