"""The grid encoding on compiled kernels: float32 on the CPU, two features per level, derivatives up to the second.

There are four kernels. For features y(x, T), a direction v and a gradient g of the features: `gather` computes y or its
derivative (dy/dx) v, `scatter` the transposes of both to the table T, `slopes` g (dy/dx), and `bends` the derivative of
g (dy/dx) v to x. The kernels store features as [features, points]; callers get the transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.field.grid_layout import GridLayout
from sage_ns.system.parallel import even_bounds, run_chunks

FEATURES_PER_LEVEL = 2


class OpenLevels:
    """The levels in use, as arrays for the kernels."""

    def __init__(self, layout: GridLayout, weights: Sequence[float]) -> None:
        used = [level for level, weight in enumerate(weights) if weight > 0.0]
        rows = [
            (level, layout.resolutions[level], layout.sizes[level], layout.offsets[level], layout.hashed[level])
            for level in used
        ]
        self.table = np.array(rows, np.int64).reshape(-1, 5)
        self.factors = np.array([(layout.scales[k], weights[k]) for k in used], np.float32).reshape(-1, 2)
        self.closed = [FEATURES_PER_LEVEL * k + f for k, w in enumerate(weights) if w == 0.0 for f in (0, 1)]
        self.closed_entries = [layout.offsets[k : k + 2] for k, weight in enumerate(weights) if weight == 0.0]
        self.num_features = FEATURES_PER_LEVEL * layout.num_levels


def encode_numba(
    x: Float[Tensor, "num_points 3"], table: Float[Tensor, "num_entries 2"], levels: OpenLevels
) -> Float[Tensor, "num_points num_features"]:
    """Compute the features of all levels, as `encode_torch` defines them."""
    return _Encode.apply(x, table, levels)


def position_gradient_numba(
    x: Float[Tensor, "num_points 3"],
    table: Float[Tensor, "num_entries 2"],
    cotangent: Float[Tensor, "num_points num_features"],
    levels: OpenLevels,
) -> Float[Tensor, "num_points 3"]:
    """Compute the gradient of sum(cotangent * features) to the points."""
    return _PositionGradient.apply(x, table, cotangent, levels)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, levels: OpenLevels) -> Tensor:
        ctx.save_for_backward(x, table)
        ctx.levels = levels
        return _gather(x, table, levels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, table = ctx.saved_tensors
        to_x = _PositionGradient.apply(x, table, gradients[0], ctx.levels) if ctx.needs_input_grad[0] else None
        to_table = _TableGradient.apply(x, gradients[0], len(table), ctx.levels) if ctx.needs_input_grad[1] else None
        return to_x, to_table, None


class _TableGradient(torch.autograd.Function):
    """Linear in the features' gradient; its transpose is the encoding with another table."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cotangent: Tensor, num_entries: int, levels: OpenLevels) -> Tensor:
        ctx.save_for_backward(x, cotangent)
        ctx.levels = levels
        return _scatter(x, cotangent, num_entries, levels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, cotangent = ctx.saved_tensors
        to_x = _PositionGradient.apply(x, gradients[0], cotangent, ctx.levels) if ctx.needs_input_grad[0] else None
        to_cotangent = _Encode.apply(x, gradients[0], ctx.levels) if ctx.needs_input_grad[1] else None
        return to_x, to_cotangent, None, None


class _PositionGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, cotangent: Tensor, levels: OpenLevels) -> Tensor:
        from sage_ns.field._numba_encoding import slopes

        ctx.save_for_backward(x, table, cotangent)
        ctx.levels = levels
        result = torch.empty(len(x), 3)
        arguments = (_rows(x), _rows(table), levels.table, levels.factors, _columns(cotangent))
        run_chunks(slopes, _block_bounds(len(x)), *arguments, result.numpy())
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, table, cotangent = ctx.saved_tensors
        direction, levels = gradients[0], ctx.levels
        to_x = to_table = to_cotangent = None
        if ctx.needs_input_grad[0]:
            to_x = _bends(x, table, direction, cotangent, levels)
        if ctx.needs_input_grad[1]:
            to_table = _scatter(x, cotangent, len(table), levels, direction)
        if ctx.needs_input_grad[2]:
            to_cotangent = _gather(x, table, levels, direction)
        return to_x, to_table, to_cotangent, None


def _gather(x: Tensor, table: Tensor, levels: OpenLevels, direction: Tensor | None = None) -> Tensor:
    from sage_ns.field._numba_encoding import gather

    result = torch.empty(levels.num_features, len(x))
    if levels.closed:
        result[levels.closed] = 0.0
    blocks = len(_block_range(len(x)))
    arguments = (_rows(x), _rows(table), levels.table, levels.factors, _directions(direction), result.numpy())
    run_chunks(gather, even_bounds(blocks * len(levels.table), 8), *arguments)
    return result.T


def _scatter(
    x: Tensor, cotangent: Tensor, num_entries: int, levels: OpenLevels, direction: Tensor | None = None
) -> Tensor:
    from sage_ns.field._numba_encoding import scatter

    result = torch.empty(num_entries, FEATURES_PER_LEVEL)
    for first, stop in levels.closed_entries:
        result[first:stop] = 0.0
    arguments = (_rows(x), levels.table, levels.factors, _directions(direction), _columns(cotangent))
    # Only one thread writes to a level, so that the order of its sums is fixed.
    run_chunks(scatter, range(len(levels.table) + 1), *arguments, result.numpy())
    return result


def _bends(x: Tensor, table: Tensor, direction: Tensor, cotangent: Tensor, levels: OpenLevels) -> Tensor:
    from sage_ns.field._numba_encoding import bends

    result = torch.empty(len(x), 3)
    arguments = (_rows(x), _rows(table), levels.table, levels.factors, _rows(direction), _columns(cotangent))
    run_chunks(bends, _block_bounds(len(x)), *arguments, result.numpy())
    return result


def _block_range(num_points: int) -> range:
    from sage_ns.field._numba_encoding import BLOCK

    return range(0, num_points, BLOCK)


def _block_bounds(num_points: int) -> list[int]:
    return even_bounds(len(_block_range(num_points)), 4)


def _rows(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _columns(features: Tensor) -> np.ndarray:
    """[points, features] as an array [features, points]."""
    return features.detach().T.contiguous().numpy()


def _directions(direction: Tensor | None) -> np.ndarray:
    return np.empty((0, 3), np.float32) if direction is None else _rows(direction)
