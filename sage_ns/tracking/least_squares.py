"""Nonlinear least squares: Levenberg-Marquardt with derivatives by forward differentiation and robust weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-9, 1e6
_FALL, _RISE = 0.2, 6.0
_CONVERGED = 1e-7

Residuals = Callable[[Float[Tensor, "num_unknowns"]], Float[Tensor, "num_residuals"]]
Weights = Callable[[Float[Tensor, "num_residuals"]], Float[Tensor, "num_residuals"]]
Step = Callable[[float], Float[Tensor, "num_unknowns"]]
"""Solves the normal equations of one place with a damping; NaN where they cannot be solved."""
Linearise = Callable[
    [Float[Tensor, "num_unknowns"], Float[Tensor, "num_residuals"], Float[Tensor, "num_residuals"]], Step
]
"""Returns the normal equations at unknowns, from the residuals there and their weights."""
LEAST_DIAGONAL = 1e-12
"""Diagonal entries of normal equations are damped as if they were at least this."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """What a search has found."""

    unknowns: Float[Tensor, "num_unknowns"]
    residuals: Float[Tensor, "num_residuals"]
    num_steps: int


def minimise(
    residuals: Residuals,
    start: Float[Tensor, "num_unknowns"],
    most_steps: int = 40,
    weights: Weights | None = None,
    linearise: Linearise | None = None,
    least_gain: float = _CONVERGED,
) -> Minimum:
    """Return unknowns x with a small ``sum_i w_i r_i(x)^2``.

    A step solves ``(J^T W J + a diag(J^T W J)) s = -J^T W r`` and is taken if it lowers the sum; the damping a falls
    after steps that are taken and rises after others (Marquardt 1963). Robust weights w are computed anew from the
    residuals before every step and held during it (iteratively reweighted least squares).

    Args:
        residuals: float64 and differentiable in forward mode.
        start: first unknowns, float64.
        most_steps: number of steps after which the search ends in any case.
        weights: weight of every residual, from all residuals; None = 1.
        linearise: solver for residuals of a known structure; None = one Jacobian of all residuals and unknowns.
        least_gain: the search ends with a step that lowers the sum by less than this share of it.
    """
    linearise = linearise or _dense(residuals)
    unknowns, damping, steps = start, _FIRST_DAMPING, 0
    current = residuals(unknowns)
    while steps < most_steps:
        w = torch.ones_like(current) if weights is None else weights(current)
        solve = linearise(unknowns, current, w)
        before = float((w * current**2).sum())
        while damping < _MOST_DAMPING:
            step = solve(damping)
            tried = residuals(unknowns + step)
            after = float((w * tried**2).sum())
            if after < before:
                break
            damping *= _RISE
        else:
            break
        steps += 1
        unknowns, current, damping = unknowns + step, tried, max(damping * _FALL, _LEAST_DAMPING)
        if before - after <= least_gain * before:
            break
    return Minimum(unknowns, current, steps)


def _dense(residuals: Residuals) -> Linearise:
    """Return the normal equations of residuals without a structure."""

    def linearise(unknowns: Tensor, current: Tensor, w: Tensor) -> Step:
        jacobian = torch.func.jacfwd(residuals)(unknowns)
        weighted = jacobian.T * w
        normal, slope = weighted @ jacobian, weighted @ current
        scale = torch.diag(normal.diagonal().clamp_min(LEAST_DIAGONAL))
        return lambda damping: torch.linalg.solve(normal + damping * scale, -slope)

    return linearise


def cauchy_weights(residuals: Float[Tensor, "n"], scale: float) -> Float[Tensor, "n"]:
    """Return ``1 / (1 + (r / scale)^2)``, the weights of Cauchy's robust loss."""
    return 1 / (1 + (residuals / scale) ** 2)
