"""How fast heads move: what ties the moments of a clip together.

A head has inertia, so its accelerations are limited; jaw and expression start and stop at once, so their speeds are.
Both are stated per second: frames that lie far apart in time are hardly tied, whatever the frame rate of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import OptionError
from sage_ns.tracking.least_squares import cauchy_weights

ACCELERATION = {"rotation": 8.0, "translation": 0.8}
"""Standard deviations of radians and metres per second squared of a head that looks around."""
SPEED = {"jaw": 1.0, "expression": 4.0}
"""Standard deviations of radians and coefficients per second of a face between its quick movements."""
_QUICK = 2.0
"""Standard deviations from which on a change is a movement, such as a blink, and is not smoothed away. Each coefficient
counts for itself: a blink must not end the smoothing of the brows."""


@dataclass(frozen=True, eq=False)
class Stencil:
    """Differences over time of some coordinates: ``r_ti = sum_k c_tk x_(t+k)i / s_i``."""

    coefficients: Float[Tensor, "rows k"]
    coordinates: slice
    spreads: Float[Tensor, "num_coordinates"]

    def residuals(self, x: Float[Tensor, "t num_unknowns"]) -> Float[Tensor, "rows num_coordinates"]:
        """Return r."""
        rows = len(self.coefficients)
        shifted = [self.coefficients[:, k, None] * x[k : k + rows, self.coordinates] for k in range(self._width)]
        return torch.stack(shifted).sum(dim=0) / self.spreads

    def add_normal(
        self,
        weights: Float[Tensor, "rows num_coordinates"],
        residuals: Float[Tensor, "rows num_coordinates"],
        diagonals: list[Float[Tensor, "t num_unknowns"]],
        slope: Float[Tensor, "t num_unknowns"],
    ) -> None:
        """Add ``J^T W J`` (diagonals of the blocks of moment t with t, t + 1 and t + 2) and ``J^T W r`` in place."""
        rows, at = len(self.coefficients), self.coordinates
        for i in range(self._width):
            outer = self.coefficients[:, i, None] / self.spreads
            slope[i : i + rows, at] += outer * weights * residuals
            for j in range(i + 1):
                inner = self.coefficients[:, j, None] / self.spreads
                diagonals[i - j][j : j + rows, at] += outer * inner * weights

    @property
    def _width(self) -> int:
        return self.coefficients.shape[1]


@dataclass(frozen=True, eq=False)
class Smoothness:
    """Accelerations of the head, and speeds of jaw and expression, between moments."""

    pose: Stencil
    face: Stencil

    @classmethod
    def over(
        cls, times: Float[Tensor, "t"], pose: slice, jaw: slice, expression: slice, num_unknowns: int
    ) -> Smoothness:
        """Return the terms for moments at some times.

        Args:
            times: seconds, rising.
            pose: coordinates of rotation and translation in the unknowns of a moment; at the front, six.
            jaw: coordinates of the jaw.
            expression: coordinates of the expression, up to the end.
            num_unknowns: of a moment.

        Raises:
            OptionError: the times do not rise.
        """
        step = times.double().diff()
        if bool((step <= 0).any()):
            raise OptionError("expected seconds that rise from moment to moment", times=times.tolist())
        speed = torch.stack([-1 / step, 1 / step], dim=1)
        before, after = step[:-1], step[1:]
        bend = torch.stack([1 / before, -1 / before - 1 / after, 1 / after], dim=1) * 2 / (before + after)[:, None]
        turning = torch.tensor([ACCELERATION["rotation"]] * 3 + [ACCELERATION["translation"]] * 3).double()
        moving = torch.full((num_unknowns,), torch.inf, dtype=torch.float64)
        moving[jaw], moving[expression] = SPEED["jaw"], SPEED["expression"]
        return cls(Stencil(bend, pose, turning), Stencil(speed, slice(jaw.start, None), moving[jaw.start :]))

    def residuals(self, x: Float[Tensor, "t num_unknowns"]) -> Float[Tensor, "num_residuals"]:
        """Return accelerations, then speeds, relative to their standard deviations."""
        return torch.cat([self.pose.residuals(x).flatten(), self.face.residuals(x).flatten()])

    def weights(self, residuals: Float[Tensor, "num_residuals"]) -> Float[Tensor, "num_residuals"]:
        """Return the robust weights: 1, less where the face moves quickly."""
        accelerations, speeds = self._parts(residuals)
        return torch.cat([torch.ones_like(accelerations).flatten(), cauchy_weights(speeds, _QUICK).flatten()])

    def add_normal(
        self,
        weights: Float[Tensor, "num_residuals"],
        residuals: Float[Tensor, "num_residuals"],
        diagonals: list[Float[Tensor, "t num_unknowns"]],
        slope: Float[Tensor, "t num_unknowns"],
    ) -> None:
        """Add the normal equations of all terms in place (`Stencil.add_normal`)."""
        for stencil, w, r in zip((self.pose, self.face), self._parts(weights), self._parts(residuals), strict=True):
            stencil.add_normal(w, r, diagonals, slope)

    def _parts(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.pose.coefficients) * len(self.pose.spreads)
        return flat[:count].reshape(-1, len(self.pose.spreads)), flat[count:].reshape(-1, len(self.face.spreads))
