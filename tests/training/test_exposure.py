"""Exposure of frames: the gauge, and gradients of the seen frame alone."""

from __future__ import annotations

import pytest
import torch

from sage_ns.training.exposure import Exposure
from sage_ns.training.row_adam import RowAdam


def exposure(num_frames: int = 5) -> Exposure:
    made = Exposure(num_frames).double()
    with torch.no_grad():
        made.log_gain.copy_(torch.randn(num_frames, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double))
    return made


def test_without_training_every_factor_is_one():
    untrained = Exposure(3)
    assert torch.equal(untrained(1), torch.ones(3)) and untrained.penalty(2).item() == 0.0


def test_gains_multiply_to_one_over_the_frames():
    made = exposure()
    product = torch.stack([made(index) for index in range(5)]).prod(dim=0)
    torch.testing.assert_close(product, torch.ones(3, dtype=torch.double))
    torch.testing.assert_close(made.factors()[3], made(3))


def test_what_all_frames_share_has_no_effect():
    made = exposure()
    before = made(2), made.penalty(2)
    with torch.no_grad():
        made.log_gain += torch.tensor([0.3, -1.0, 2.0])
    torch.testing.assert_close((made(2), made.penalty(2)), before)


@pytest.mark.parametrize("index", [0, 4])
def test_gradients_in_float64(index: int):
    """Finite differences of the row with the mean held still; exactly zero in all other rows."""
    made = exposure()
    mean = made.log_gain.detach().mean(dim=0)
    weights = torch.tensor([0.2, -1.5, 0.7], dtype=torch.double)
    (made(index) @ weights + 3 * made.penalty(index)).backward()
    gradient = made.log_gain.grad
    assert gradient is not None

    def loss(row: torch.Tensor) -> torch.Tensor:
        return (row - mean).exp() @ weights + (row - mean).square().sum()

    row = made.log_gain.detach()[index]
    for channel in range(3):
        probe = torch.zeros(3, dtype=torch.double)
        probe[channel] = 1e-6
        expected = (loss(row + probe) - loss(row - probe)) / 2e-6
        torch.testing.assert_close(gradient[index, channel], expected, rtol=1e-6, atol=1e-8)
    others = [each for each in range(5) if each != index]
    assert torch.equal(gradient[others], torch.zeros(4, 3, dtype=torch.double))


def test_gains_of_frames_are_recovered_up_to_the_gauge():
    """A grey patch seen with known gains: brightness and gains are learned together."""
    true = torch.tensor([[0.2, 0.0, -0.1], [-0.3, 0.1, 0.0], [0.1, -0.1, 0.1]])
    made, patch = Exposure(3), torch.full((3,), 0.4, requires_grad=True)
    rows, dense = RowAdam(made.parameters(), lr=0.02), torch.optim.Adam([patch], lr=0.01)
    for step in range(900):
        index = step % 3
        loss = (patch * made(index) - 0.5 * true[index].exp()).square().sum()
        rows.zero_grad()
        dense.zero_grad()
        loss.backward()
        rows.step()
        dense.step()
    torch.testing.assert_close(made.factors(), (true - true.mean(dim=0)).exp(), rtol=0, atol=5e-3)
