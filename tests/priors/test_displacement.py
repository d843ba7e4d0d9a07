"""The code of an expression: linear, 0 at neutral, the same for every pose of the head; it foretells what it can."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sage_ns.avatar.atlas import places_on
from sage_ns.priors.displacement import face_motion, learn_expression_code, probes
from sage_ns.priors.sitter import reference_atlas, reference_head
from sage_ns.rig import FlameParams
from tests.priors.people import NUM_PLACES

NUM_PROBES = 30


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def motion_of(params: FlameParams) -> Tensor:
    head, atlas = reference_head(), reference_atlas(NUM_PLACES)
    return face_motion(head, params, places_on(atlas, head, head), probes(atlas))


def expressive() -> FlameParams:
    neutral = FlameParams.neutral(reference_head())
    return replace(neutral, expr=random(*neutral.expr.shape), jaw_pose=torch.tensor([[0.2, 0.0, 0.0]]))


def test_the_neutral_face_does_not_move_and_neither_pose_nor_gaze_count() -> None:
    assert motion_of(FlameParams.neutral(reference_head())).abs().max() < 1e-7
    params = expressive()
    turned = replace(
        params, rotation=random(1, 3), neck_pose=random(1, 3), eyes_pose=random(1, 6), translation=random(1, 3)
    )
    assert torch.equal(motion_of(turned), motion_of(params)) and motion_of(params).abs().max() > 1e-3


def test_motion_is_linear_in_the_expression_and_has_gradients() -> None:
    one = replace(expressive(), jaw_pose=torch.zeros(1, 3))
    torch.testing.assert_close(motion_of(replace(one, expr=2 * one.expr)), 2 * motion_of(one), atol=1e-6, rtol=0)
    expr = one.expr.clone().requires_grad_()
    motion_of(replace(one, expr=expr)).square().sum().backward()
    assert expr.grad is not None and expr.grad.abs().max() > 0


def test_displacement_that_is_linear_in_few_motions_is_foretold_whole() -> None:
    motions = [0.01 * random(9, NUM_PROBES, 3, seed=person) for person in range(6)]
    into, onto = random(NUM_PROBES * 3, 2, seed=8), random(2, NUM_PROBES * 3, seed=9)
    still = [0.1 * random(1, NUM_PROBES, 3, seed=20 + person) for person in range(6)]  # belongs to the identity
    offsets = [
        (motion.flatten(1) @ into @ onto).reshape(-1, NUM_PROBES, 3) * 10 + own
        for motion, own in zip(motions, still, strict=True)
    ]
    found = learn_expression_code(motions, offsets, length=15)
    assert found.explained > 0.95
    codes = torch.cat([found.code(motion) for motion in motions])
    torch.testing.assert_close(codes.square().mean(dim=0).sqrt()[:2], torch.ones(2), atol=1e-3, rtol=0)
    assert found.code(torch.zeros(1, NUM_PROBES, 3)).abs().max() == 0
    one, other = motions[0][1:2], motions[1][2:3]
    torch.testing.assert_close(found.code(one - 2 * other), found.code(one) - 2 * found.code(other), atol=1e-4, rtol=0)


def test_without_truth_the_code_holds_the_largest_motions() -> None:
    shapes = torch.linalg.qr(random(NUM_PROBES * 3, 3))[0].T
    sizes = torch.tensor([0.03, 0.01, 0.001])
    motions = [(random(40, 3, seed=person) * sizes @ shapes).reshape(-1, NUM_PROBES, 3) for person in range(2)]
    found = learn_expression_code(motions, [None, None], length=5)
    assert found.explained == 0 and found.directions[3:].abs().max() == 0  # there are three kinds of motion
    largest = found.directions[0].flatten() @ shapes.T
    assert (largest / largest.norm()).abs()[0] > 0.98
    codes = torch.cat([found.code(motion) for motion in motions])
    torch.testing.assert_close(codes[:, :3].T @ codes[:, :3] / 80, torch.eye(3), atol=1e-3, rtol=0)


def test_probes_are_on_the_face_and_not_too_many() -> None:
    for count in (1000, 12_000):
        atlas = reference_atlas(count)
        rows = probes(atlas)
        assert atlas.labelled("face", "lips")[rows].all() and 100 < len(rows) <= 2000
