"""Adam by rows against torch's Adam, which sees only the steps of one row."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from sage_ns.training.row_adam import RowAdam

STEPS = 40


def gradients(shape: tuple[int, ...], rows_at_once: int) -> list[Tensor]:
    """Random gradients, each zero in all but a few rows."""
    generator = torch.Generator().manual_seed(3)
    result = []
    for _ in range(STEPS):
        gradient = torch.zeros(shape, dtype=torch.float64)
        chosen = torch.randperm(shape[0], generator=generator)[:rows_at_once]
        gradient[chosen] = torch.randn((rows_at_once, *shape[1:]), generator=generator, dtype=torch.float64)
        result.append(gradient)
    return result


def start(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4, 3), (5,), (3, 2, 2)])
@pytest.mark.parametrize("rows_at_once", [1, 2])
def test_each_row_moves_as_in_an_adam_of_its_own(shape: tuple[int, ...], rows_at_once: int):
    together = start(shape).requires_grad_()
    alone = [start(shape)[row].clone().requires_grad_() for row in range(shape[0])]
    optimizer = RowAdam([together], lr=0.05, betas=(0.8, 0.95), eps=1e-10)
    others = [torch.optim.Adam([row], lr=0.05, betas=(0.8, 0.95), eps=1e-10) for row in alone]
    for gradient in gradients(shape, rows_at_once):
        together.grad = gradient
        before = together.detach().clone()
        optimizer.step()
        for row, (parameter, other) in enumerate(zip(alone, others, strict=True)):
            if bool((gradient[row] != 0).any()):
                parameter.grad = gradient[row].clone()
                other.step()
            else:
                assert torch.equal(together[row], before[row])
    torch.testing.assert_close(together.detach(), torch.stack([row.detach() for row in alone]), rtol=1e-12, atol=1e-12)


def test_learning_rates_of_groups_and_their_changes():
    first, second = start((2, 3)).requires_grad_(), start((1, 2)).requires_grad_()
    optimizer = RowAdam([{"params": [first], "lr": 0.1}, {"params": [second]}], lr=0.5)
    first.grad, second.grad = torch.ones_like(first), torch.ones_like(second)
    before = first.detach().clone(), second.detach().clone()
    optimizer.step()  # the first step of Adam has the length of the learning rate
    torch.testing.assert_close(before[0] - first.detach(), torch.full_like(first, 0.1), rtol=1e-6, atol=0)
    torch.testing.assert_close(before[1] - second.detach(), torch.full_like(second, 0.5), rtol=1e-6, atol=0)
    optimizer.param_groups[0]["lr"] = 0.0
    kept = first.detach().clone()
    optimizer.step()
    assert torch.equal(first.detach(), kept)


def test_a_resumed_optimiser_goes_on_as_the_unbroken_one():
    parameter = start((4, 3)).float().requires_grad_()
    optimizer = RowAdam([parameter], lr=0.05)
    todo = [gradient.float() for gradient in gradients((4, 3), 1)]
    for gradient in todo[:20]:
        parameter.grad = gradient
        optimizer.step()
    resumed = parameter.detach().clone().requires_grad_()
    other = RowAdam([resumed], lr=0.05)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for gradient in todo[20:]:
        parameter.grad, resumed.grad = gradient, gradient.clone()
        optimizer.step()
        other.step()
    assert torch.equal(parameter, resumed)


def test_without_gradient_nothing_happens():
    parameter, scalar = start((2, 2)).requires_grad_(), torch.tensor(1.0, requires_grad=True)
    optimizer = RowAdam([parameter, scalar], lr=0.1)
    scalar.grad = torch.tensor(2.0)
    optimizer.step()
    assert torch.equal(parameter.detach(), start((2, 2))) and float(scalar) == pytest.approx(0.9)
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(parameter.detach(), start((2, 2)))


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"eps": -1e-8}, {"betas": (0.9, 1.0)}])
def test_settings_out_of_range_are_refused(wrong: dict):
    with pytest.raises(ValueError, match="must be"):
        RowAdam([torch.zeros(2, requires_grad=True)], **wrong)


@pytest.mark.gpu
def test_no_step_waits_for_the_cpu():
    parameter = torch.zeros(6, 3, device="cuda", requires_grad=True)
    optimizer = RowAdam([parameter], lr=0.1)
    parameter.grad = torch.zeros_like(parameter)
    parameter.grad[2] = 1.0
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert float(parameter[2, 0]) == pytest.approx(-0.2, abs=1e-5) and float(parameter.detach()[:2].abs().max()) == 0.0
