"""Clones, splits, removals and resets of 3D Gaussians, and what decides about them."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.growth.densification import (
    SHRINK,
    ScreenGradients,
    clone,
    growing,
    prunable,
    reset_opacities,
    split,
)
from sage_ns.avatar.growth.ops import SurfelRows
from sage_ns.avatar.initialise import initialise_gaussians
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import PinholeCamera, rasterize
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
NUM = HEAD.num_triangles
CHOSEN = torch.zeros(NUM, dtype=torch.bool).index_fill(0, torch.tensor([3, 40, 41]), True)


class Growing:
    """Gaussians on the tiny head after a step of Adam, with sums of gradients as optional rows."""

    def __init__(self) -> None:
        self.gaussians = initialise_gaussians(NUM, 1, torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name in BoundSurfels.PARAMETERS:
                value = getattr(self.gaussians, name)
                value.add_(0.2 * torch.randn(value.shape, generator=generator))
        self.sums = ScreenGradients(NUM)
        parameters = {name: getattr(self.gaussians, name) for name in BoundSurfels.PARAMETERS}
        self.optimizer = torch.optim.Adam(parameters.values(), lr=1e-3)
        sum(each.square().sum() for each in parameters.values()).backward()  # type: ignore[union-attr]
        self.optimizer.step()
        sums = dict(self.sums.named_buffers())
        buffers = {"triangle": self.gaussians.triangle, **sums}
        self.rows = SurfelRows(parameters, buffers, (self.optimizer,), frozenset(sums))

    def values(self) -> dict[str, torch.Tensor]:
        return {name: getattr(self.gaussians, name).detach().clone() for name in BoundSurfels.PARAMETERS}

    def moments(self, name: str) -> torch.Tensor:
        return self.optimizer.state[getattr(self.gaussians, name)]["exp_avg_sq"]

    def picture(self) -> torch.Tensor:
        frames = triangle_frames(HEAD.v_template, HEAD.triangles)
        pose = torch.eye(4)
        pose[2, 3] = 0.6
        camera = PinholeCamera.from_opengl(pose, 90.0, 90.0, 16.0, 20.0, 32, 40)
        with torch.no_grad():
            return rasterize(self.gaussians.place(frames, camera.center), camera).alpha


def test_one_gaussian_on_every_triangle_at_the_start() -> None:
    gaussians = initialise_gaussians(NUM, 3, torch.Generator().manual_seed(0))
    frames = triangle_frames(HEAD.v_template, HEAD.triangles)
    placed = gaussians.place(frames, torch.zeros(3))
    assert torch.equal(gaussians.triangle, torch.arange(NUM)) and not gaussians.are_flat
    torch.testing.assert_close(placed.means, frames.origin)
    torch.testing.assert_close(placed.scales, frames.scale[:, None].expand(-1, 3))
    torch.testing.assert_close(placed.opacities, torch.full((NUM,), 0.1))
    assert float((placed.colors - 0.5).abs().max()) <= 0.2821 / 255


def test_clones_are_copies_on_the_same_triangles_with_fresh_moments() -> None:
    growing_set = Growing()
    before, moments = growing_set.values(), growing_set.moments("means").clone()
    clone(growing_set.rows, CHOSEN)
    assert growing_set.gaussians.num_surfels == NUM + 3
    for name, after in growing_set.values().items():
        assert torch.equal(after[:NUM], before[name]) and torch.equal(after[NUM:], before[name][CHOSEN])
    assert growing_set.gaussians.triangle[NUM:].tolist() == [3, 40, 41]
    assert torch.equal(growing_set.moments("means")[:NUM], moments)
    assert not growing_set.moments("means")[NUM:].any()
    assert len(growing_set.sums.total) == NUM + 3


def test_a_clone_of_a_faint_gaussian_doubles_its_alpha_and_leaves_the_rest() -> None:
    """Two equal layers of alpha a cover 1 - (1 - a)^2, nearly 2 a: other pixels do not change."""
    growing_set = Growing()
    with torch.no_grad():
        growing_set.gaussians.opacity_logits.fill_(-4.0)
        growing_set.gaussians.opacity_logits[~CHOSEN] = -9.0
    before = growing_set.picture()
    clone(growing_set.rows, CHOSEN)
    after = growing_set.picture()
    assert float(before.max()) > 0.004
    assert torch.equal(after[before == 0], before[before == 0])
    assert float((after - 2 * before).abs().max()) < 0.02 * float(before.max()) + 0.004


def test_a_split_puts_two_smaller_gaussians_at_the_samples() -> None:
    growing_set = Growing()
    before = growing_set.values()
    samples = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(4))
    split(growing_set.rows, CHOSEN, samples)
    after = growing_set.values()
    assert growing_set.gaussians.num_surfels == NUM + 3, "three parents have gone, six children are new"
    for name in BoundSurfels.PARAMETERS:
        assert torch.equal(after[name][: NUM - 3], before[name][~CHOSEN])
    scales = before["log_scales"][CHOSEN].exp()
    torch.testing.assert_close(after["log_scales"][NUM - 3 :].exp(), (scales / SHRINK).repeat(2, 1))
    assert pytest.approx(1.6) == SHRINK
    turned = quaternion_to_matrix(before["quaternions"][CHOSEN])
    for child, sample in enumerate(samples):
        expected = before["means"][CHOSEN] + (turned @ (scales * sample)[..., None])[..., 0]
        torch.testing.assert_close(after["means"][NUM - 3 + 3 * child :][:3], expected)
    assert growing_set.gaussians.triangle[NUM - 3 :].tolist() == [3, 40, 41] * 2
    assert not growing_set.moments("log_scales")[NUM - 3 :].any()


def test_an_empty_choice_changes_nothing() -> None:
    growing_set = Growing()
    before, nothing = growing_set.values(), torch.zeros(NUM, dtype=torch.bool)
    clone(growing_set.rows, nothing)
    split(growing_set.rows, nothing, torch.zeros(2, 0, 3))
    assert all(torch.equal(after, before[name]) for name, after in growing_set.values().items())


def test_large_gradients_grow_and_the_largest_ones_first() -> None:
    gradients = torch.tensor([0.0, 3.0, 1.0, 2.0, 4.0])
    assert growing(gradients, 1.0, None).tolist() == [False, True, True, True, True]
    assert growing(gradients, 1.0, 2).tolist() == [False, True, False, False, True]
    assert not growing(gradients, 1.0, 0).any() and not growing(gradients, 1.0, -3).any()
    assert growing(gradients, 3.5, 3).tolist() == [False] * 4 + [True]


def test_no_triangle_loses_all_of_its_gaussians() -> None:
    triangle = torch.tensor([0, 0, 1, 1, 2])
    unwanted = torch.tensor([True, False, True, True, True])
    assert prunable(unwanted, triangle, 4).tolist() == [True, False, False, False, False]


def test_a_reset_lowers_opacities_and_forgets_their_moments() -> None:
    growing_set = Growing()
    with torch.no_grad():
        growing_set.gaussians.opacity_logits[5] = -7.0
    before = growing_set.values()
    reset_opacities(growing_set.rows, 0.01)
    after = growing_set.values()
    expected = before["opacity_logits"].clamp_max(torch.logit(torch.tensor(0.01)).item())
    torch.testing.assert_close(after.pop("opacity_logits"), expected)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not growing_set.moments("opacity_logits").any() and growing_set.moments("means").any()


def test_gradients_are_averaged_over_pictures_that_show_a_gaussian_in_units_of_half_the_picture() -> None:
    sums = ScreenGradients(3)
    visible = torch.tensor([True, True, False])
    sums.add(torch.tensor([[0.3, 0.4], [0.0, 0.1], [9.0, 9.0]]), visible, 20, 20)
    sums.add(torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0]]), torch.tensor([True, False, False]), 20, 10)
    torch.testing.assert_close(sums.mean(), torch.tensor([2.5, 1.0, 0.0]))
    sums.clear()
    assert not sums.mean().any()


def test_sums_take_the_size_of_a_checkpoint() -> None:
    stored = ScreenGradients(7)
    stored.total.fill_(2.0)
    sums = ScreenGradients(3)
    sums.load_state_dict(stored.state_dict())
    assert torch.equal(sums.total, stored.total) and len(sums.count) == 7
