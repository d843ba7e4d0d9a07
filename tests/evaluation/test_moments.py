from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.evaluation.moments import MomentRuler, hardest_moments
from sage_ns.rig import FlameParams, HeadModel, Regions
from sage_ns.synthetic.head import builtin_head


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module")
def ruler(head: HeadModel) -> MomentRuler:
    return MomentRuler(PersonalRig(head, FlameParams.neutral(head)))


def vector(head: HeadModel, jaw: float = 0.0, expression: float = 0.0, **changes: Any) -> Tensor:
    neutral = FlameParams.neutral(head)
    expr = torch.zeros_like(neutral.expr)
    expr[0, 0] = expression
    return replace(neutral, expr=expr, jaw_pose=torch.tensor([[jaw, 0.0, 0.0]]), **changes).motion_vector()[0]


def test_a_resting_face_has_no_strength_wherever_the_head_is(head: HeadModel, ruler: MomentRuler) -> None:
    assert ruler.strength(vector(head)) == pytest.approx(0.0, abs=1e-6)
    pose: dict[str, Any] = {"rotation": torch.tensor([[0.1, 0.5, 0.0]]), "neck_pose": torch.tensor([[0.2, 0.0, 0.1]])}
    pose["translation"] = torch.tensor([[0.3, 0.0, -0.2]])
    assert ruler.strength(vector(head, **pose)) == pytest.approx(0.0, abs=1e-6)
    assert ruler.strength(vector(head, 0.1, 1.0, **pose)) == pytest.approx(ruler.strength(vector(head, 0.1, 1.0)))


def test_strength_is_the_rms_movement_of_the_face(head: HeadModel, ruler: MomentRuler) -> None:
    """The expression basis is linear: the closed form is the RMS of its first direction, in millimetres."""
    counted = torch.cat([head.regions.vertices("face"), head.regions.vertices("eyes")]).unique()
    rms = head.expression_basis[counted, :, 0].square().sum(dim=-1).mean().sqrt()
    assert ruler.strength(vector(head, expression=0.5)) == pytest.approx(500 * float(rms), rel=0.02)


def test_the_jaw_opens_the_mouth(head: HeadModel, ruler: MomentRuler) -> None:
    states = [ruler.measure(vector(head, jaw)).mouth_open for jaw in (0.0, 0.02, 0.15, 0.3)]
    assert states == [False, False, True, True]


def test_without_regions_all_vertices_count_and_the_mouth_is_unknown(head: HeadModel) -> None:
    bare = replace(head, regions=Regions({}))
    moment = MomentRuler(PersonalRig(bare, FlameParams.neutral(bare))).measure(vector(head, 0.3))
    assert moment.mouth_open is None and moment.strength > 1.0


def test_the_hardest_quarter() -> None:
    strengths = {timestep: float(timestep % 7) for timestep in range(8)}
    assert hardest_moments(strengths) == {5, 6}
    assert hardest_moments({1: 2.0, 2: 2.0, 3: 2.0, 4: 1.0, 5: 2.0}) == {1, 2}  # two of five, the earlier ones
    assert hardest_moments({3: 0.0}) == {3}
    assert hardest_moments({}) == frozenset()
