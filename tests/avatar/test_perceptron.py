"""The small network: chunked products equal plain torch, whatever the number of threads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.perceptron import Perceptron
from sage_ns.system.parallel import cores_for_kernels


def value_and_gradients(network: Perceptron, inputs: Tensor) -> list[Tensor]:
    leaf = inputs.clone().requires_grad_()
    outputs = network(leaf)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(output.shape, generator=generator).to(output) for output in outputs]
    return [*outputs, *torch.autograd.grad(outputs, [leaf, *network.parameters()], weights)]


@pytest.fixture
def network() -> Perceptron:
    torch.manual_seed(0)
    return Perceptron(5, (6, 1), hidden=16, num_layers=2)


@pytest.mark.parametrize("num_points", [0, 1, 2048, 5000])
def test_chunks_equal_plain_torch(network: Perceptron, num_points: int):
    inputs = torch.randn(num_points, 5)
    with cores_for_kernels():
        found = value_and_gradients(network, inputs)
    expected = value_and_gradients(network.double(), inputs.double())
    assert len(found) == len(expected) == 2 + 1 + 8
    for value, expected_value in zip(found, expected, strict=True):
        torch.testing.assert_close(value.double(), expected_value, rtol=1e-4, atol=1e-4)


def test_result_does_not_depend_on_the_number_of_threads(network: Perceptron):
    inputs, before = torch.randn(5000, 5), torch.get_num_threads()
    with cores_for_kernels():
        expected = value_and_gradients(network, inputs)
    torch.set_num_threads(1)
    try:
        found = value_and_gradients(network, inputs)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_an_unused_output_passes_no_gradients(network: Perceptron):
    with cores_for_kernels():
        network(torch.randn(10, 5))[0].sum().backward()
    used, unused = (network.get_parameter(name).grad for name in ("layers.0.weight", "heads.1.weight"))
    assert used is not None and used.any()
    assert unused is not None and not unused.any()


def test_gradients_may_be_taken_where_torch_has_all_its_threads(network: Perceptron):
    before = torch.get_num_threads()
    with cores_for_kernels():
        outputs = network(torch.randn(5000, 5))
    (outputs[0].sum() + outputs[1].sum()).backward()
    assert torch.get_num_threads() == before
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
