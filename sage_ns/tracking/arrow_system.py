"""Normal equations of many moments that share some unknowns: an arrow of blocks along the diagonal and a border.

Ordered by time, the unknowns of moments have a banded matrix: each moment is coupled to itself and, by smoothness, to
the next two. The shared unknowns are coupled to all moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded
from torch import Tensor

from sage_ns.tracking.least_squares import LEAST_DIAGONAL


@dataclass(frozen=True, eq=False)
class ArrowSystem:
    r"""The equations ``H s = -g`` with the matrix $H = \begin{pmatrix} A & C^T \\ C & B \end{pmatrix}$.

    A belongs to the shared unknowns, B to those of the moments.
    """

    shared: Float[Tensor, "s s"]
    border: Float[Tensor, "t m s"]
    """C, by moments."""
    blocks: Float[Tensor, "t m m"]
    """Diagonal blocks of B."""
    next: Float[Tensor, "t m"]
    """Diagonals of the blocks of B below the diagonal blocks: of moment t and t + 1; the last row is not used."""
    next_but_one: Float[Tensor, "t m"]
    """The same of moment t and t + 2; the last two rows are not used."""
    slope_shared: Float[Tensor, "s"]
    slope: Float[Tensor, "t m"]

    def solve(self, damping: float) -> tuple[Float[Tensor, "s"], Float[Tensor, "t m"]]:
        """Return the step of the shared unknowns and those of the moments, by the Schur complement of B.

        Args:
            damping: the diagonal is multiplied by 1 + damping (Marquardt 1963).

        Returns:
            NaN if the matrix is not positive definite.
        """
        band = self._band(damping)
        right = torch.cat([self.border, self.slope[..., None]], dim=-1).flatten(0, 1).numpy()
        try:
            factor = cholesky_banded(band, overwrite_ab=True, lower=True, check_finite=False)
            solved = torch.from_numpy(cho_solve_banded((factor, True), right, check_finite=False))
        except LinAlgError:
            return torch.full_like(self.slope_shared, torch.nan), torch.full_like(self.slope, torch.nan)
        border = self.border.flatten(0, 1)
        complement = _damped(self.shared, damping) - border.T @ solved[:, :-1]
        shared = torch.linalg.solve(complement, border.T @ solved[:, -1] - self.slope_shared)
        moments = -solved[:, -1] - solved[:, :-1] @ shared
        return shared, moments.reshape(self.slope.shape)

    def _band(self, damping: float) -> Float[np.ndarray, "width n"]:
        """Return B, damped, in LAPACK's storage of lower bands."""
        count, size = self.slope.shape
        blocks = _damped(self.blocks, damping).numpy()
        width = min(3, count) * size
        band = np.zeros((width, count, size))
        for below in range(size):
            band[below, :, : size - below] = np.diagonal(blocks, -below, 1, 2)
        for rows, off in ((self.next, size), (self.next_but_one, 2 * size)):
            steps = off // size
            if off < width:
                band[off, : count - steps] = rows[: count - steps].numpy()
        return band.reshape(width, count * size)


def _damped(matrix: Float[Tensor, "*batch n n"], damping: float) -> Float[Tensor, "*batch n n"]:
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp_min(LEAST_DIAGONAL)
    return matrix + damping * torch.diag_embed(diagonal)
