"""Small fully connected network with several outputs, for about ten thousand points per training step."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sage_ns.system.parallel import cores_for_kernels, run_chunks

_CHUNK = 2048
"""Points whose hidden layer fits into the cache of a core. Constant: sums do not depend on the number of threads."""


class Perceptron(nn.Module):
    """Hidden layers with ReLU, then one linear output ("head") of each given width.

    Args:
        num_inputs: number of inputs per point.
        heads: width of each output.
        hidden: width of the hidden layers.
        num_layers: number of hidden layers, at least one.
    """

    def __init__(self, num_inputs: int, heads: Sequence[int], hidden: int = 64, num_layers: int = 1) -> None:
        super().__init__()
        widths = [num_inputs] + [hidden] * num_layers
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.heads = nn.ModuleList(nn.Linear(hidden, width) for width in heads)
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    @property
    def linear(self) -> list[nn.Linear]:
        """The linear layers, those of the heads last."""
        return [layer for layer in (*self.layers, *self.heads) if isinstance(layer, nn.Linear)]

    def forward(self, inputs: Float[Tensor, "num_points num_inputs"]) -> tuple[Float[Tensor, "num_points _"], ...]:
        """Return one tensor per head. On the CPU with one torch thread, the result is not twice differentiable."""
        linear = self.linear
        parameters = [parameter for layer in linear for parameter in (layer.weight, layer.bias)]
        # If torch is limited to one thread (`cores_for_kernels`), use the idle threads of the kernels.
        in_chunks = torch.get_num_threads() == 1 and all(
            tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in (inputs, *parameters)
        )
        if in_chunks:
            return _ChunkedPerceptron.apply(inputs, len(self.layers), *parameters)
        hidden = inputs
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        return tuple(head(hidden) for head in self.heads)


class _ChunkedPerceptron(torch.autograd.Function):
    """The network, computed in chunks that fit into the cache of one core, on all threads of the kernels."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, num_layers: int, *parameters: Tensor) -> tuple[Tensor, ...]:
        weights, biases = ([p.detach() for p in parameters[i::2]] for i in (0, 1))
        hidden = [inputs.detach(), *(inputs.new_empty(len(inputs), len(b)) for b in biases[:num_layers])]
        outputs = tuple(inputs.new_empty(len(inputs), len(bias)) for bias in biases[num_layers:])

        def work(start: int, stop: int) -> None:
            _one_thread()
            for layer in range(num_layers):
                target = hidden[layer + 1][start:stop]
                torch.addmm(biases[layer], hidden[layer][start:stop], weights[layer].T, out=target).relu_()
            for output, weight, bias in zip(outputs, weights[num_layers:], biases[num_layers:], strict=True):
                torch.addmm(bias, hidden[-1][start:stop], weight.T, out=output[start:stop])

        run_chunks(work, _bounds(len(inputs)))
        ctx.hidden, ctx.weights = hidden, weights
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weights = ctx.hidden, ctx.weights
        num_layers = len(hidden) - 1
        bounds = _bounds(len(hidden[0]))
        # Each chunk writes its share of the gradients to a row of its own.
        shares = [weight.new_empty(len(bounds) - 1, len(weight), weight.shape[1] + 1) for weight in weights]
        to_inputs = torch.empty_like(hidden[0]) if ctx.needs_input_grad[0] else None

        def work(start: int, stop: int) -> None:
            _one_thread()
            chunk = start // _CHUNK
            slope = hidden[-1].new_zeros(stop - start, hidden[-1].shape[1])
            for head, gradient in enumerate(gradients, start=num_layers):
                _add_share(shares[head][chunk], gradient[start:stop], hidden[-1][start:stop])
                slope.addmm_(gradient[start:stop], weights[head])
            for layer in reversed(range(num_layers)):
                slope = torch.ops.aten.threshold_backward(slope, hidden[layer + 1][start:stop], 0.0)
                _add_share(shares[layer][chunk], slope, hidden[layer][start:stop])
                if layer > 0:
                    slope = slope @ weights[layer]
            if to_inputs is not None:
                torch.mm(slope, weights[0], out=to_inputs[start:stop])

        with cores_for_kernels():
            run_chunks(work, bounds)
        totals = [share.sum(0) for share in shares]
        return to_inputs, None, *(part for total in totals for part in (total[:, :-1], total[:, -1]))


def _add_share(share: Tensor, gradient: Tensor, inputs: Tensor) -> None:
    """Write the gradients of the weight (all columns but the last) and bias (last column) of a layer."""
    share[:, :-1] = gradient.T @ inputs
    share[:, -1] = gradient.sum(0)


def _bounds(num_points: int) -> list[int]:
    return [*range(0, num_points, _CHUNK), num_points]


def _one_thread() -> None:
    """Limit torch to the calling thread; torch sets its default number of threads for each new thread."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
