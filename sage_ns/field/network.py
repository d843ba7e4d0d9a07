"""The field's network: two layers, and the derivative of the first output to the inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.system.parallel import run_chunks, scratch

SHARPNESS = 100.0
"""softplus(h) = log(1 + exp(SHARPNESS h)) / SHARPNESS."""

_MULTIPLE = 4


class NetworkOutput(NamedTuple):
    """Outputs of the network at each point.

    Attributes:
        distance: first output.
        feature: the other outputs.
        to_encoding: derivative of the distance to the encoding; None if not requested.
        to_position: derivative of the distance to the position, likewise.
    """

    distance: Float[Tensor, " num_points"]
    feature: Float[Tensor, "num_points num_features"]
    to_encoding: Float[Tensor, "num_points num_encoded"] | None
    to_position: Float[Tensor, "num_points 3"] | None


def evaluate_network(
    encoding: Float[Tensor, "num_points num_encoded"],
    position: Float[Tensor, "num_points 3"],
    weight_1: Float[Tensor, "num_hidden num_inputs"],
    bias_1: Float[Tensor, " num_hidden"],
    weight_2: Float[Tensor, "num_outputs num_hidden"],
    bias_2: Float[Tensor, " num_outputs"],
    derivative: bool = False,
) -> NetworkOutput:
    """Compute weight_2 softplus(weight_1 [encoding, position] + bias_1) + bias_2, and its first output's derivative.

    All results are differentiable in all arguments. Float32 on the CPU uses compiled kernels, whose matrices
    over points are stored by columns.
    """
    arguments = (encoding, position, weight_1, bias_1, weight_2, bias_2)
    if all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in arguments):
        return NetworkOutput(*_Network.apply(*arguments, derivative))
    return evaluate_network_torch(*arguments, derivative)


def evaluate_network_torch(
    encoding: Float[Tensor, "num_points num_encoded"],
    position: Float[Tensor, "num_points 3"],
    weight_1: Float[Tensor, "num_hidden num_inputs"],
    bias_1: Float[Tensor, " num_hidden"],
    weight_2: Float[Tensor, "num_outputs num_hidden"],
    bias_2: Float[Tensor, " num_outputs"],
    derivative: bool = False,
) -> NetworkOutput:
    """Compute `evaluate_network` by its definition in plain torch, for any floating-point type and device."""
    hidden = torch.nn.functional.linear(torch.cat((encoding, position), dim=1), weight_1, bias_1)
    activated = torch.nn.functional.softplus(hidden, SHARPNESS, threshold=50.0)
    outputs = torch.nn.functional.linear(activated, weight_2, bias_2)
    to_encoding = to_position = None
    if derivative:
        to_input = (torch.sigmoid(SHARPNESS * hidden) * weight_2[0]) @ weight_1
        to_encoding, to_position = to_input[:, : encoding.shape[1]], to_input[:, encoding.shape[1] :]
    return NetworkOutput(outputs[:, 0], outputs[:, 1:], to_encoding, to_position)


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, encoding: Tensor, position: Tensor, *weights: Any) -> tuple[Tensor | None, ...]:
        from sage_ns.field._numba_network import forward

        weight_1, bias_1, weight_2, bias_2, derivative = weights
        ctx.save_for_backward(encoding, position, *weights[:-1])
        ctx.set_materialize_grads(False)
        num, num_encoded = encoding.shape
        x = _columns(encoding, position)
        y = np.empty((len(weight_2), num), np.float32)
        u = np.empty((len(x) if derivative else 0, num), np.float32)
        padded = [_padded(tensor) for tensor in (weight_1, bias_1, weight_2, bias_2)]
        slope_weight = _padded((weight_1 * weight_2[0][:, None]).T)
        run_chunks(forward, _pieces(num), x, *padded, slope_weight, y, u)
        distance, feature = torch.from_numpy(y[0]), torch.from_numpy(y[1:].T)
        if not derivative:
            return distance, feature, None, None
        return distance, feature, torch.from_numpy(u[:num_encoded].T), torch.from_numpy(u[num_encoded:].T)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        if all(gradient is None for gradient in gradients):
            return (None,) * 7
        if torch.is_grad_enabled():
            return (*_differentiable_gradients(inputs, gradients, ctx.needs_input_grad), None)
        return (*_gradients(inputs, gradients, any(ctx.needs_input_grad[:2])), None)


def _gradients(
    inputs: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...], needs_x: bool
) -> tuple[Tensor | None, ...]:
    from sage_ns.field._numba_network import backward

    encoding, position, weight_1, bias_1, weight_2, _ = inputs
    num, num_encoded = encoding.shape
    shapes = ((num,), (num, len(weight_2) - 1), encoding.shape, position.shape)
    filled = [np.zeros(s, np.float32) if g is None else g.numpy() for g, s in zip(gradients, shapes, strict=True)]
    to_y = _stacked("network output gradients", filled[0][None], filled[1].T)
    has_derivative = gradients[2] is not None or gradients[3] is not None
    to_u = np.empty((0, num), np.float32)
    if has_derivative:
        to_u = _stacked("network derivative gradients", filled[2].T, filled[3].T)
    x = _columns(encoding, position)
    to_x = np.empty((len(x) if needs_x else 0, num), np.float32)
    padded_1, padded_2 = _padded(weight_1), _padded(weight_2)
    pieces = _pieces(num)
    partial = [
        np.zeros((len(pieces) - 1, *shape), np.float32)
        for shape in (padded_1.shape, padded_1.shape[:1], padded_2.shape, padded_2.shape[:1])
    ]
    transposed = [np.ascontiguousarray(matrix) for matrix in (padded_1.T, padded_2.T, padded_2[0])]
    run_chunks(backward, pieces, x, padded_1, _padded(bias_1), *transposed, to_y, to_u, to_x, *partial)
    sums = [torch.from_numpy(array.sum(axis=0)) for array in partial]
    cut = [total[tuple(map(slice, tensor.shape))] for total, tensor in zip(sums, inputs[2:], strict=True)]
    if not needs_x:
        return (None, None, *cut)
    return (torch.from_numpy(to_x[:num_encoded].T), torch.from_numpy(to_x[num_encoded:].T), *cut)


def _differentiable_gradients(
    inputs: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...], needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Compute the same gradients by the definition, so that they can be differentiated again."""
    # Views: one input may be computed from another, and autograd must not follow that path here.
    inputs = tuple(tensor.view_as(tensor) for tensor in inputs)
    derivative = gradients[2] is not None or gradients[3] is not None
    outputs = evaluate_network_torch(*inputs, derivative=derivative)  # type: ignore[misc]
    pairs = [(out, grad) for out, grad in zip(outputs, gradients, strict=True) if out is not None and grad is not None]
    wanted = [tensor for tensor, needs in zip(inputs, needed, strict=False) if needs]
    found = iter(
        torch.autograd.grad(
            [out for out, _ in pairs], wanted, [grad for _, grad in pairs], create_graph=True, allow_unused=True
        )
    )
    return tuple(next(found) if needs else None for _, needs in zip(inputs, needed, strict=False))


def _pieces(num_points: int) -> range:
    """Bounds with one piece per chunk: the order of sums must not depend on the number of threads."""
    from sage_ns.field._numba_network import PIECE

    return range(-(-num_points // PIECE) + 1)


def _columns(encoding: Tensor, position: Tensor) -> np.ndarray:
    """Return both as one array [rows, points], valid until the next call on this thread."""
    return _stacked("network inputs", encoding.detach().numpy().T, position.detach().numpy().T)


def _stacked(name: str, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    result = scratch(name, (len(upper) + len(lower), upper.shape[1]))
    return np.concatenate((upper, lower), out=result)


def _padded(tensor: Tensor) -> np.ndarray:
    shape = [-(-size // _MULTIPLE) * _MULTIPLE for size in tensor.shape]
    result = np.zeros(shape, np.float32)
    result[tuple(map(slice, tensor.shape))] = tensor.detach().numpy()
    return result
