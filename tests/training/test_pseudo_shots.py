"""Pseudo views among the training pictures: how often, the same in every run, and silent where they do not count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera
from sage_ns.training import losses
from sage_ns.training.picture_fit import _counted
from sage_ns.training.pseudo_shots import WithPseudoViews

CAMERA = PinholeCamera(torch.eye(4), torch.tensor([[9.0, 0, 8], [0, 9, 8], [0, 0, 1]]), 16, 16)


def shot(level: float, confidence: float | None = None) -> Shot:
    ones = torch.ones(16, 16, 1)
    picture = level * ones.expand(-1, -1, 3)
    if confidence is None:
        return Shot(CAMERA, picture, ones)
    return Shot(CAMERA, picture, ones, confidence=confidence * ones, is_pseudo=True)


class Real:
    """One picture."""

    cameras = (CAMERA,)
    num_moments = 1

    def shot(self, step: int) -> Shot:
        return shot(0.5)

    def steady(self, step: int) -> Tensor:
        return torch.zeros(16, 16, 1)

    def registered_views(self) -> list[Shot]:
        return [shot(0.5)]


def mixed(share: float, seed: int = 0) -> WithPseudoViews:
    return WithPseudoViews(Real(), [shot(0.1, 1.0), shot(0.9, 0.0)], share, seed)


def test_pseudo_views_get_their_share_of_the_steps() -> None:
    levels = [float(mixed(0.25).shot(step).picture.mean()) for step in range(2000)]
    assert sum(level != 0.5 for level in levels) == pytest.approx(500, abs=60)
    assert sum(round(level, 3) == 0.1 for level in levels) == pytest.approx(250, abs=50)
    assert not any(mixed(0.0).shot(step).is_pseudo for step in range(50))
    assert all(mixed(1.0).shot(step).is_pseudo for step in range(50))


def test_the_picture_of_a_step_depends_on_seed_and_step_alone() -> None:
    def drawn(source: WithPseudoViews, steps: range) -> list[float]:
        return [float(source.shot(step).picture.mean()) for step in steps]

    assert drawn(mixed(0.5), range(40))[20:] == drawn(mixed(0.5), range(20, 40))
    assert drawn(mixed(0.5), range(40)) != drawn(mixed(0.5, seed=1), range(40))


def test_the_canonical_head_is_seen_in_real_views_first_and_in_pseudo_views_where_they_count() -> None:
    views = mixed(0.5).registered_views()
    assert [view.is_pseudo for view in views] == [False, True, True]
    first, second = (view.steady for view in views[1:])
    assert first is not None and second is not None
    assert bool(first.all()) and not bool(second.any())
    assert len(mixed(0.5).cameras) == 3 and mixed(0.5).num_moments == 1


def test_no_gradient_comes_from_where_a_picture_does_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(16, 16, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = torch.rand(16, 16, 3, generator=generator, dtype=torch.float64)
    half = torch.zeros(16, 16, 1, dtype=torch.float64)
    half[:, 8:] = 1.0
    view = Shot(CAMERA, truth, confidence=half)
    losses.squared(drawn, _counted(truth, drawn, view)).backward()
    assert drawn.grad is not None
    expected = 2 * (drawn - truth).detach() * half / drawn.numel()
    torch.testing.assert_close(drawn.grad, expected)


def test_a_real_picture_counts_everywhere() -> None:
    truth = torch.rand(4, 4, 3)
    assert _counted(truth, torch.zeros(4, 4, 3), shot(0.5)) is truth
