"""The canonical moment's tracking laid onto a surface that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.field.sdf import FieldConfig, FieldSample, SignedDistanceField
from sage_ns.geometry.triangles import triangle_normals
from sage_ns.rig import FlameParams, HeadModel, Regions, pose_vertices
from sage_ns.training.tracking_refinement import ERROR_EXPECTED, Refinement, refined_motion
from tests.tiny import tiny_head_model

POSE = slice(0, FlameParams.NECK.stop)
"""What is refined: translation, rotation and neck."""
FROM_JAW = slice(FlameParams.JAW.start, None)
"""Of a motion vector: translation, rotation and neck."""
OFFSET = torch.tensor([8e-4, -6e-4, 1.2e-3])


@pytest.fixture(scope="module")
def head() -> HeadModel:
    """The front half of the tiny head is face, but for lips and scalp as wide as a few vertices.

    Bumpy: on an ellipsoid turning and shifting are much the same.
    """
    model = tiny_head_model()
    bumps = 0.012 * torch.randn(model.v_template.shape, generator=torch.Generator().manual_seed(0))
    model = replace(model, v_template=model.v_template + bumps)
    number = torch.arange(model.num_vertices)
    front = number[(model.v_template[:, 2] > -0.03) & (number < 42)]
    eyes = {name: model.regions.vertices(name) for name in ("left_eyeball", "right_eyeball")}
    return replace(model, regions=Regions({"face": front, "lips": front[3:5], "scalp": front[-2:]} | eyes))


@pytest.fixture(scope="module")
def tracked(head: HeadModel) -> Tensor:
    neutral = FlameParams.neutral(head)
    moment = replace(
        neutral,
        rotation=torch.tensor([[0.05, 0.3, -0.1]]),
        neck_pose=torch.tensor([[0.1, 0.0, 0.05]]),
        jaw_pose=torch.tensor([[0.1, 0.0, 0.0]]),
        eyes_pose=torch.tensor([[0.0, 0.1, 0.0, 0.0, 0.1, 0.0]]),
        translation=torch.tensor([[0.02, 0.01, -0.03]]),
    )
    return moment.motion_vector()[0]


def vertices(head: HeadModel, motion: Tensor) -> Tensor:
    return pose_vertices(head, FlameParams.from_motion_vector(motion[None]))[0]


def skin(head: HeadModel) -> Tensor:
    """Vertices of the face without lips, lids and eyeballs: those that the surface can place."""
    chosen = head.regions.vertex_mask("face", head.num_vertices)
    for name in ("lips", "eyes", "scalp"):
        chosen &= ~head.regions.vertex_mask(name, head.num_vertices)
    return chosen.nonzero()[:, 0]


class Tangent:
    """Distance of each vertex to its tangent plane on the true head: a signed distance field, linearised."""

    def __init__(self, head: HeadModel, true: Tensor) -> None:
        self.places = vertices(head, true)[skin(head)]
        self.normals = vertex_normals(head, true)[skin(head)]

    def evaluate(self, x: Tensor, gradient: bool = False) -> FieldSample:
        assert len(x) == len(self.places), "skin vertices alone are asked for"
        distance = ((x - self.places) * self.normals).sum(dim=-1)
        return FieldSample(distance, None, torch.zeros(len(x), 0), torch.zeros(len(x), 0))


def vertex_normals(head: HeadModel, motion: Tensor) -> Tensor:
    posed = vertices(head, motion)
    total = torch.zeros_like(posed)
    for corner in head.triangles.T:
        total.index_add_(0, corner, triangle_normals(posed, head.triangles))
    return torch.nn.functional.normalize(total, dim=-1)


def apart(head: HeadModel, first: Tensor, second: Tensor) -> float:
    """Mean distance between the faces under two motions, metres."""
    return float((vertices(head, first) - vertices(head, second))[skin(head)].norm(dim=-1).mean())


def refined(head: HeadModel, tracked: Tensor, true: Tensor, misfit: Tensor | None = None, **given: Any) -> Refinement:
    field: Any = Tangent(head, true)
    if misfit is not None:
        field.places = field.places - misfit[:, None] * field.normals
    return refined_motion(field, head, tracked, **given)


def moved_away(tracked: Tensor, turned: bool = False) -> Tensor:
    true = tracked.clone()
    true[FlameParams.TRANSLATION] += OFFSET
    if turned:
        true[FlameParams.ROTATION] += torch.tensor([3e-3, -4e-3, 2e-3])
    return true


def misfit(head: HeadModel, seed: int) -> Tensor:
    """Half a millimetre by which the rig cannot take the person's shape."""
    return 5e-4 * torch.randn(len(skin(head)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("turned", [False, True])
def test_a_rigid_offset_of_the_tracker_is_found_again(head: HeadModel, tracked: Tensor, turned: bool) -> None:
    true = moved_away(tracked, turned)
    before = apart(head, tracked, true)
    found = refined(head, tracked, true)
    assert before > 1e-3 and found.acts and found.error > 0.99
    assert apart(head, found.motion, true) < 0.2 * before
    assert found.distance == pytest.approx(apart(head, found.motion, tracked), rel=1e-3)


def test_what_fits_already_stays(head: HeadModel, tracked: Tensor) -> None:
    found = refined(head, tracked, tracked)
    assert not found.acts and found.error < ERROR_EXPECTED and torch.equal(found.motion, tracked)
    assert "stays as tracked" in found.summary()


def test_a_shape_that_the_rig_cannot_take_is_seldom_a_tracking_error(head: HeadModel, tracked: Tensor) -> None:
    found = [refined(head, tracked, tracked, misfit(head, seed)) for seed in range(12)]
    assert sum(each.error > 0.5 for each in found) <= 2
    assert sum(each.distance for each in found) / len(found) < 1e-4


@pytest.mark.parametrize("offset", [-1e-3, 1.5e-3])
def test_a_surface_that_lies_outside_as_a_whole_is_no_tracking_error(
    head: HeadModel, tracked: Tensor, offset: float
) -> None:
    """Young fields are too large. Faces look to the front, so that it looks like a head that is further forward."""
    everywhere = torch.full((len(skin(head)),), offset)
    found = refined(head, tracked, tracked, everywhere + 0.2 * misfit(head, 0))
    assert found.error < ERROR_EXPECTED and found.distance < 5e-5, found.error
    true = moved_away(tracked, turned=True)
    found = refined(head, tracked, true, everywhere)
    assert found.acts and apart(head, found.motion, true) < 0.6 * apart(head, tracked, true)


@pytest.mark.parametrize("seed", range(3))
def test_an_error_is_found_beside_a_misfit(head: HeadModel, tracked: Tensor, seed: int) -> None:
    true = moved_away(tracked)
    found = refined(head, tracked, true, 0.4 * misfit(head, seed))
    assert found.acts and apart(head, found.motion, true) < 0.6 * apart(head, tracked, true)
    assert f"moved by {1000 * found.distance:.2f} mm" in found.summary()


def test_where_an_error_is_certain_the_rig_moves_by_what_is_likely(head: HeadModel, tracked: Tensor) -> None:
    """The more misfit, the less of a small offset is taken for a tracking error."""
    small = tracked.clone()
    small[FlameParams.TRANSLATION] += 0.2 * OFFSET
    moved = [refined(head, tracked, small, size * misfit(head, 1), expected=1.0).distance for size in (0.1, 8.0)]
    assert moved[0] == pytest.approx(apart(head, tracked, small), rel=0.5)
    assert moved[1] < 8 * moved[0]


def test_jaw_eyes_and_expression_are_never_moved(head: HeadModel, tracked: Tensor) -> None:
    true = tracked.clone()
    true[FlameParams.JAW][0] += 0.1  # it would explain all of it
    true[FlameParams.EXPRESSION][0] += 0.5
    found = refined(head, tracked, true, expected=1.0).motion
    assert torch.equal(found[FROM_JAW], tracked[FROM_JAW])


def test_hair_that_stands_off_draws_with_bounded_force(head: HeadModel, tracked: Tensor) -> None:
    """A tenth of the vertices lie 5 cm too deep; they must not affect the others."""
    field: Any = Tangent(head, tracked)
    field.places[::10] += 0.05 * field.normals[::10]
    assert apart(head, refined_motion(field, head, tracked).motion, tracked) < 5e-4


def test_the_learned_field_draws_the_rig_to_its_surface_and_is_left_as_it_is(head: HeadModel, tracked: Tensor) -> None:
    torch.manual_seed(0)
    config = FieldConfig(num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=32, num_features=2)
    low, high = vertices(head, tracked).aminmax(dim=0)
    # As it starts: about a sphere of half its cube's size, here somewhat smaller than the face and to its side.
    aside = torch.tensor([0.02, 0.0, 0.0])
    field = SignedDistanceField(config, (low + high) / 2 + aside, float((high - low).max()) * 0.8)
    before = {name: value.clone() for name, value in field.state_dict().items()}
    with torch.no_grad():
        found = refined_motion(field, head, tracked, expected=1.0).motion
        distances = [field.distance(vertices(head, each)[skin(head)]) for each in (tracked, found)]
    before_it, after = ((each - each.median()).abs().mean() for each in distances)
    assert after < before_it, "nearer, but for an offset"
    assert not found.requires_grad
    assert all(parameter.grad is None for parameter in field.parameters())
    assert all(torch.equal(value, before[name]) for name, value in field.state_dict().items())
    assert torch.equal(found, refined_motion(field, head, tracked, expected=1.0).motion), "no chance in it"


def test_a_rig_without_a_face_region_is_left_as_tracked(head: HeadModel, tracked: Tensor) -> None:
    bare = replace(head, regions=Regions())
    field: Any = None
    assert torch.equal(refined_motion(field, bare, tracked).motion, tracked)
