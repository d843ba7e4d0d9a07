"""Control surfels and those that follow them: closed forms, parts that touch, and the correction that uses them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from sage_ns.avatar.control import ControlBlend
from sage_ns.avatar.correction import SurfelCorrection
from sage_ns.geometry import axis_angle_to_matrix, triangle_frames
from tests.avatar.test_correction import Rider, assert_drawn_alike, sheet_model

TURN = axis_angle_to_matrix(torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64))


def row_of(count: int = 12) -> Tensor:
    """Places 1 mm apart on a line."""
    means = torch.zeros(count, 3, dtype=torch.float64)
    means[:, 0] = 1e-3 * torch.arange(count)
    return means


def displaced(*controls: int, count: int = 12) -> Tensor:
    return torch.zeros(count, dtype=torch.float64).index_fill(0, torch.tensor(controls), 0.0091)


def test_followers_get_the_weighted_mean_of_what_their_triangles_miss() -> None:
    means, every = row_of(), torch.ones(12, dtype=torch.bool)
    label = torch.zeros(12, dtype=torch.int64)
    blend = ControlBlend(means, label, every, displaced(0, 2))
    assert blend.controls.nonzero()[:, 0].tolist() == [0, 2]
    assert blend.rows.tolist() == [1, 3, 4, 5]  # within three spacings of a control
    own = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = blend.shift(lambda points, which: points + own[which])
    near, far = math.exp(-((1 / 1.5) ** 2)), math.exp(-((3 / 1.5) ** 2))
    expected = torch.zeros_like(own)
    expected[1] = (own[0] + own[2]) / 2 - own[1]
    expected[3] = (near * own[2] + far * own[0]) / (near + far) - own[3]
    expected[4], expected[5] = own[2] - own[4], own[2] - own[5]
    torch.testing.assert_close(shift, expected)


def test_parts_that_touch_and_hair_do_not_follow() -> None:
    label = torch.tensor([0] * 6 + [1] * 6)
    is_skin = torch.ones(12, dtype=torch.bool)
    is_skin[4] = False
    blend = ControlBlend(row_of(), label, is_skin, displaced(5, 4))
    assert blend.controls.nonzero()[:, 0].tolist() == [5]
    assert blend.rows.tolist() == [2, 3]
    assert len(ControlBlend(row_of(), label, is_skin, None).rows) == 0


class Controlled(Rider):
    """Surfels on a sheet whose right half an expression moves far."""

    def __init__(self) -> None:
        super().__init__(sheet_model(), 400, "controlled")
        far = torch.where(self.means[:, 0] > 0, 0.01, 0.0)
        surface = self.triangle, self.model, self.canonical
        self.correction = SurfelCorrection(self.means, *surface, "controlled", displacement=far)
        self.plain = SurfelCorrection(self.means, *surface, "transport")
        assert self.correction._control is not None
        self.control = self.correction._control


def test_nothing_happens_at_the_canonical_moment_or_when_the_whole_moves() -> None:
    rider = Controlled()
    assert 10 < len(rider.control.rows) < 200
    placed = rider.placed(rider.canonical)
    frames = triangle_frames(rider.canonical, rider.model.triangles)
    assert rider.correction.apply(placed, rider.correction.at(rider.canonical.clone(), frames)) is placed
    moved = 1.7 * rider.canonical @ TURN.T + 0.3
    assert_drawn_alike(rider.corrected(moved), rider.placed(moved))


def test_discs_are_those_of_transport_and_only_followers_move() -> None:
    rider = Controlled()
    posed = rider.canonical.clone()
    posed[:, 2] = 0.2 * posed[:, 0].relu() ** 1.5
    frames = triangle_frames(posed, rider.model.triangles)
    found, placed = rider.corrected(posed), rider.placed(posed)
    expected = rider.plain.apply(placed, rider.plain.at(posed, frames))
    assert torch.equal(found.scales, expected.scales) and torch.equal(found.quaternions, expected.quaternions)
    follows = torch.zeros(400, dtype=torch.bool).index_fill(0, rider.control.rows, True)
    assert torch.equal(found.means[~follows], placed.means[~follows])
    assert float((found.means - placed.means)[follows].norm(dim=-1).max()) > 1e-6


def test_gradients_reach_the_means_and_the_motion() -> None:
    rider = Controlled()
    posed = rider.canonical.clone()
    posed[:, 2] = 0.2 * posed[:, 0].relu() ** 1.5
    deformation = rider.correction.at(posed, triangle_frames(posed, rider.model.triangles))
    placed = rider.placed(posed)
    means = placed.means.clone().requires_grad_()
    weights = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = rider.correction.apply(replace(placed, means=means), deformation).means
    assert torch.equal(torch.autograd.grad(moved, means, weights)[0], weights)

    def centers(height: Tensor) -> Tensor:
        vertices = torch.cat([posed[:, :2], height * posed[:, 2:]], dim=1)
        found = rider.correction.at(vertices, triangle_frames(vertices, rider.model.triangles))
        assert found is not None
        return (found.target - found.pivot)[rider.control.rows].sum(dim=0)

    assert torch.autograd.gradcheck(centers, torch.tensor([1.0], dtype=torch.float64, requires_grad=True))
