"""The field's network: gradients of the definition, and the compiled twin in first and second order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sage_ns.field.network import NetworkOutput, evaluate_network, evaluate_network_torch


def arguments(num_points: int, num_encoded: int = 16, num_hidden: int = 64, num_outputs: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(num_points + num_hidden)
    shapes = [
        (num_points, num_encoded),
        (num_points, 3),
        (num_hidden, num_encoded + 3),
        (num_hidden,),
        (num_outputs, num_hidden),
        (num_outputs,),
    ]
    return [0.2 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def weighted_sum(output: NetworkOutput, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    terms = [
        (part * torch.randn(part.shape, generator=generator).to(part)).sum() for part in output if part is not None
    ]
    return torch.stack(terms).sum()


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("sizes", [(1, 16, 64, 16), (700, 16, 64, 16), (3000, 2, 10, 1), (0, 16, 64, 16)])
def test_compiled_outputs_and_gradients_equal_the_definition(sizes: tuple[int, ...], derivative: bool):
    tensors = arguments(*sizes)

    def run(dtype: torch.dtype, function: Callable[..., NetworkOutput]) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
        output = function(*leaves, derivative)
        loss = weighted_sum(output)
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        plain = torch.autograd.grad(loss, leaves, retain_graph=True)
        second = torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), leaves[:-1])
        return [*(part for part in output if part is not None), *first, *plain, *second]

    found, expected = run(torch.float32, evaluate_network), run(torch.float64, evaluate_network_torch)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert float((one.detach().double() - other.detach()).norm()) <= 2e-5 * float(other.detach().norm()) + 1e-9


@pytest.mark.parametrize("used", range(4))
def test_a_loss_may_use_one_output_alone(used: int):
    def run(dtype: torch.dtype) -> tuple[Tensor, ...]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in arguments(40)]
        part = evaluate_network(*leaves, derivative=True)[used]  # type: ignore[arg-type]
        assert part is not None
        return torch.autograd.grad(part.square().sum(), leaves, allow_unused=True)

    for found, expected in zip(run(torch.float32), run(torch.float64), strict=True):
        if expected is not None:
            assert torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_derivative_is_that_of_the_first_output():
    tensors = arguments(9)
    leaves = [tensor.requires_grad_() for tensor in tensors[:2]]
    output = evaluate_network(*tensors, derivative=True)  # type: ignore[arg-type]
    expected = torch.autograd.grad(output.distance.sum(), leaves)
    assert output.to_encoding is not None and output.to_position is not None
    assert torch.allclose(output.to_encoding, expected[0])
    assert torch.allclose(output.to_position, expected[1])


def test_far_from_zero_the_activation_is_a_rectifier():
    hidden = torch.tensor([-3.0, -0.5, -1e-8, 1e-8, 0.5, 3.0, 1e6, -1e6])
    one, zero = torch.ones(1, 1), torch.zeros(1)
    position, weight = torch.zeros(8, 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    output = evaluate_network(hidden[:, None], position, weight, zero, one, zero, derivative=True)
    expected = hidden.clamp(min=0.0) + torch.tensor([0, 0, 1, 1, 0, 0, 0, 0]) * 0.01 * 0.693147
    assert torch.allclose(output.distance, expected, atol=1e-7)
    assert output.to_encoding is not None
    assert torch.allclose(output.to_encoding[:, 0], torch.tensor([0, 0, 0.5, 0.5, 1, 1, 1, 0]), atol=1e-6)


def test_sums_do_not_depend_on_the_number_of_threads():
    tensors = [tensor.float() for tensor in arguments(5000)]

    def run(threads: int) -> tuple[Tensor, ...]:
        torch.set_num_threads(threads)
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        return torch.autograd.grad(weighted_sum(evaluate_network(*leaves, derivative=True)), leaves)  # type: ignore[arg-type]

    before = torch.get_num_threads()
    try:
        for one, two in zip(run(1), run(2), strict=True):
            assert torch.equal(one, two)
    finally:
        torch.set_num_threads(before)
