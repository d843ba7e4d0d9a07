"""How far motions carry and stretch surfels: closed forms on a sheet, and none for a head that only turns."""

from __future__ import annotations

from dataclasses import replace

import torch

from sage_ns.avatar.displacement import MOST_MOMENTS, beyond_skull, largest_stretch, spread_moments
from sage_ns.avatar.initialise import initialise_surfels
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.geometry.rotations import quaternion_multiply, quaternion_to_matrix
from sage_ns.rig import FlameParams
from tests.avatar.test_correction import sheet_model
from tests.tiny import tiny_head_model, tiny_params

STRETCH = torch.diag(torch.tensor([0.5, -0.2, 0.0]))


def test_moments_are_spread_over_the_bank() -> None:
    rows = torch.arange(1000.0)[:, None]
    found = spread_moments(rows)[:, 0]
    assert len(found) == MOST_MOMENTS and float(found[0]) == 0 and float(found[-1]) == 999
    assert torch.equal(spread_moments(rows[:5]), rows[:5])


def test_a_sheet_that_an_expression_pulls() -> None:
    """The first coefficient makes it 1.5 times as wide and 0.8 times as high."""
    model = sheet_model()
    basis = torch.zeros(model.num_vertices, 3, 2)
    basis[..., 0] = model.v_template @ STRETCH
    num = model.num_vertices
    model = replace(
        model,
        expression_basis=basis,
        shape_basis=torch.zeros(num, 3, 0),
        pose_basis=torch.zeros(36, 3 * num),
        joint_regressor=torch.full((5, num), 1 / num),
    )
    rig = PersonalRig(model, FlameParams.neutral(model))
    surfels = initialise_surfels(model, model.v_template, 300, 1, [], 0.0, torch.Generator().manual_seed(0))
    canonical = FlameParams.neutral(model).motion_vector()[0]
    motions = canonical.repeat(3, 1)
    motions[0, -2], motions[1, -2] = 0.4, 1.0
    frames = rig.frames(canonical)
    stretch = largest_stretch(rig, surfels, canonical, motions)
    torch.testing.assert_close(stretch.factor, torch.full((300,), 1.5), atol=2e-3, rtol=0)
    axes = quaternion_to_matrix(quaternion_multiply(frames.quaternion[surfels.triangle], surfels.quaternions))
    along = (axes[..., :2] @ stretch.direction[..., None])[..., 0]
    torch.testing.assert_close(along[:, 0].abs(), torch.ones(300), atol=1e-3, rtol=0)
    before = surfels.centers(frames).detach()
    found = beyond_skull(rig, surfels.centers, canonical, motions)
    torch.testing.assert_close(found, (before @ STRETCH).norm(dim=-1), atol=1e-3, rtol=0)


def test_a_head_that_turns_and_moves_neither_stretches_nor_leaves_its_skull() -> None:
    model = replace(tiny_head_model(), pose_basis=torch.zeros(36, 3 * 54))
    rig = PersonalRig(model, tiny_params(model, 1, size=0.1))
    surfels = initialise_surfels(model, model.v_template, 300, 1, [], 0.0, torch.Generator().manual_seed(0))
    neutral = FlameParams.from_motion_vector(FlameParams.neutral(model).motion_vector().repeat(3, 1))
    turned = replace(neutral, rotation=0.4 * torch.eye(3), translation=0.1 * torch.ones(3, 3))
    motions = turned.motion_vector()
    assert float(beyond_skull(rig, surfels.centers, motions[0], motions).max()) < 1e-5
    assert float(largest_stretch(rig, surfels, motions[0], motions).factor.max()) < 1 + 1e-4
