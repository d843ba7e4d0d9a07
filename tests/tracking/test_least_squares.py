"""Levenberg-Marquardt and robust weights."""

from __future__ import annotations

import torch

from sage_ns.tracking.least_squares import cauchy_weights, minimise


def test_a_linear_problem_is_solved_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix, goal = torch.randn(9, 4, generator=generator).double(), torch.randn(9, generator=generator).double()
    found = minimise(lambda x: matrix @ x - goal, torch.zeros(4).double())
    torch.testing.assert_close(found.unknowns, torch.linalg.lstsq(matrix, goal[:, None]).solution[:, 0])
    assert found.num_steps < 12


def test_rosenbrocks_valley_is_followed_to_its_end() -> None:
    def valley(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    found = minimise(valley, torch.tensor([-1.2, 1.0]).double(), most_steps=60)
    torch.testing.assert_close(found.unknowns, torch.ones(2).double(), atol=1e-5, rtol=0)


def test_robust_weights_ignore_an_outlier() -> None:
    values = torch.tensor([1.0, 1.1, 0.9, 1.0, 50.0]).double()
    found = minimise(lambda x: x - values, torch.zeros(1).double(), weights=lambda r: cauchy_weights(r, 0.3))
    assert abs(float(found.unknowns) - 1.0) < 0.02


def test_the_search_ends_at_once_in_a_minimum() -> None:
    assert minimise(lambda x: x, torch.zeros(3).double()).num_steps == 0
