"""Adam for parameters of which each step sees few rows, such as one row for each training frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class RowAdam(Optimizer):
    """Adam (Kingma and Ba 2015) with moments and number of steps of each row: a row changes only when it is seen.

    Plain Adam goes on moving a row by its old moments in all the steps that do not see it, and its bias correction
    counts these steps. Here, a row whose gradient is zero in every entry keeps its values, its moments and its count;
    a row that is seen moves as if plain Adam had made only the steps that saw it. Gradients are dense. Nothing waits
    for the CPU: rows are chosen with ``torch.where``.

    Args:
        params: parameters or groups of them. Rows are the entries of the first dimension; a parameter without
            dimensions is one row.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the denominator.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if lr < 0 or eps < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr {lr} and eps {eps} must be >= 0, and betas {betas} in 0..1")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Move all rows that have a gradient. Parameters without a gradient are left out.

        Args:
            closure: computes loss and gradients again; its result is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
            # Adam's usual name, "step", would stay on the CPU when a checkpoint is loaded.
            state["seen"] = parameter.new_zeros(parameter.shape[:1])
        mean, square, seen = state["mean"], state["square"], state["seen"]
        first, second = group["betas"]
        rows = (gradient != 0).flatten(start_dim=1).any(dim=1) if gradient.ndim > 1 else gradient != 0
        seen += rows
        chosen, count = _along_rows(rows, gradient), _along_rows(seen.clamp_min(1), gradient)
        mean.copy_(torch.where(chosen, first * mean + (1 - first) * gradient, mean))
        square.copy_(torch.where(chosen, second * square + (1 - second) * gradient.square(), square))
        root = square.sqrt() / (1 - second**count).sqrt() + group["eps"]
        change = group["lr"] / (1 - first**count) * mean / root
        parameter.sub_(torch.where(chosen, change, torch.zeros_like(change)))


def _along_rows(values: Tensor, like: Tensor) -> Tensor:
    """Return one value for each row in a shape that broadcasts over the row's entries."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))
