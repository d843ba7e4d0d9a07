"""Which surfels are split for expressions, whose rows they take, and what the two halves are."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.growth.deformation_splitting import Split, choose_split, split_in_place
from sage_ns.avatar.growth.ops import SurfelRows
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.rotations import quaternion_to_matrix

NUM = 40


def test_the_most_stretched_are_split_and_the_least_shown_that_stay_still_are_given_up() -> None:
    stretch, displacement = torch.ones(200), torch.zeros(200)
    stretch[10:30] = torch.linspace(1.4, 1.5, 20)
    displacement[50:60], stretch[50:60] = 0.007, 1.01  # carried along, hardly stretched
    stretch[70], displacement[80] = 1.29, 0.0059  # below both thresholds
    may_split = torch.ones(200, dtype=torch.bool)
    may_split[29] = False
    weight = torch.arange(200.0).flip(0)
    weight[20] = -1.0  # hardly shown, but an expression moves it
    chosen = choose_split(stretch, displacement, weight, may_split)
    assert chosen.parents.tolist() == list(range(19, 29))  # 5 % of 200, without the one that may not be
    assert chosen.replaced.tolist() == list(range(190, 200))
    assert len(choose_split(torch.ones(200), torch.zeros(200), weight, may_split).parents) == 0
    everywhere = choose_split(torch.full((200,), 2.0), displacement, weight, may_split)
    assert len(everywhere.parents) == len(everywhere.replaced) == 0  # nothing can be given up


def test_two_halves_in_closed_form_and_everything_else_stays() -> None:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    parameters = {
        "means": random(NUM, 3), "quaternions": random(NUM, 4), "log_scales": random(NUM, 2),
        "opacity_logits": 3 * random(NUM), "sh_dc": random(NUM, 1, 3), "sh_rest": random(NUM, 3, 3),
    }  # fmt: skip
    surfels = BoundSurfels(torch.arange(NUM) % 7, **{name: value.clone() for name, value in parameters.items()})
    details = {"detail_opacity": torch.nn.Parameter(random(NUM)), "detail_shape": torch.nn.Parameter(random(NUM, 7))}
    named = {**{name: getattr(surfels, name) for name in surfels.PARAMETERS}, **details}
    optimizer = torch.optim.Adam(named.values(), lr=0.0)
    sum(each.square().sum() for each in named.values()).backward()  # type: ignore[union-attr]
    optimizer.step()
    evidence, edits = random(NUM), []
    buffers = {"triangle": surfels.triangle, "evidence": evidence}
    before = {name: each.detach().clone() for name, each in {**named, **buffers}.items()}
    rows = SurfelRows(named, buffers, (optimizer,), edited=lambda: edits.append(1))
    parents, replaced = torch.tensor([3, 20, 21]), torch.tensor([0, 5, 39])
    angle = random(NUM)
    direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
    split_in_place(rows, Split(parents, replaced), direction)

    assert len(edits) == 1 and all(len(each) == NUM for each in named.values())
    touched = torch.cat([parents, replaced])
    others = torch.ones(NUM, dtype=torch.bool).index_fill(0, touched, False)
    for name, each in {**named, **buffers}.items():
        assert torch.equal(each.detach()[others], before[name][others]), name
        if name in named:
            moments = optimizer.state[named[name]]["exp_avg_sq"]
            assert not moments[touched].any() and moments[others].all(), name
    for first, second in ((parents, replaced),):
        for name in ("quaternions", "sh_dc", "sh_rest", "triangle", "evidence"):
            now = {**named, **buffers}[name]
            assert torch.equal(now[first], before[name][first]) and torch.equal(now[second], before[name][first])
        one, two = surfels.means.detach()[first], surfels.means.detach()[second]
        torch.testing.assert_close((one + two) / 2, before["means"][first])
        axes = quaternion_to_matrix(torch.nn.functional.normalize(before["quaternions"][first], dim=-1))[..., :2]
        covariance = axes @ torch.diag_embed((2 * before["log_scales"][first]).exp()) @ axes.mT
        way = (one - two) / (one - two).norm(dim=-1, keepdim=True)
        torch.testing.assert_close(way, (axes @ direction[first][..., None])[..., 0])
        # Half a standard deviation to either side.
        torch.testing.assert_close((one - two).square().sum(-1), (way[:, None] @ covariance @ way[..., None])[:, 0, 0])
        for which in (first, second):
            torch.testing.assert_close(surfels.log_scales[which].exp() * 1.6, before["log_scales"][first].exp())
            through = 1 - surfels.opacity_logits[which].sigmoid()
            torch.testing.assert_close(through**2, 1 - before["opacity_logits"][first].sigmoid())
            thinner = surfels.opacity_logits[which] - before["opacity_logits"][first]
            torch.testing.assert_close(details["detail_opacity"][which] - before["detail_opacity"][first], thinner)
            grown = details["detail_shape"][which, 6] - before["detail_shape"][first, 6]
            assert grown.detach().exp().tolist() == pytest.approx([1 / 1.6] * 3)
