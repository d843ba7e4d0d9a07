"""A multi-resolution grid of learned features over the unit cube."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.errors import FieldError
from sage_ns.field.encoding_torch import encode_torch
from sage_ns.field.grid_layout import grid_layout

if TYPE_CHECKING:
    from sage_ns.field.encoding_tinycudann import TinyCudaGrid

Backend = Literal["auto", "torch", "numba", "tinycudann"]

INITIAL_SPREAD = 1e-4
"""Initial table entries are uniform in -INITIAL_SPREAD..INITIAL_SPREAD."""


class GridEncoding(nn.Module):
    """Multi-resolution hash grid (Mueller et al. 2022), twice differentiable in the points and in the table.

    Every backend reads the same table, so a checkpoint can move between them.

    Args:
        num_levels: grids of growing resolution.
        features_per_level: features per vertex.
        log2_table_size: a level with more than 2**log2_table_size vertices is hashed.
        coarsest: vertices along the first level's edge.
        finest: vertices along the last level's edge.
        backend: "auto" takes "numba" for float32 on the CPU, "tinycudann" for float32 on CUDA where it is installed,
            and "torch", the definition, otherwise.

    Raises:
        ValueError: a number out of range, or an unknown backend.
    """

    def __init__(
        self,
        num_levels: int = 8,
        features_per_level: int = 2,
        log2_table_size: int = 17,
        coarsest: int = 16,
        finest: int = 192,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        if backend not in get_args(Backend):
            raise ValueError(f"unknown backend {backend!r}: choose one of {', '.join(get_args(Backend))}")
        if features_per_level not in (1, 2, 4, 8):
            raise ValueError(f"{features_per_level} features per level: choose 1, 2, 4 or 8")
        self.backend: Backend = backend
        self.layout = grid_layout(num_levels, log2_table_size, coarsest, finest)
        self.num_features = num_levels * features_per_level
        entries = torch.empty(self.layout.offsets[-1], features_per_level)
        self.table = nn.Parameter(entries.uniform_(-INITIAL_SPREAD, INITIAL_SPREAD))
        self.open_levels: float = float(num_levels)
        """Number of levels in use, coarse to fine; a fraction fades the last one in. Saved in checkpoints."""
        self._tinycudann: TinyCudaGrid | None = None
        self._tinycudann_unusable = False

    @property
    def level_weights(self) -> tuple[float, ...]:
        """Factor of each level: 1, then the fraction of the last open level, then 0."""
        return tuple(min(1.0, max(0.0, self.open_levels - level)) for level in range(self.layout.num_levels))

    def forward(self, x: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points num_features"]:
        """Compute features at points of the unit cube (others are clamped), coarse levels first; closed levels give 0.

        Raises:
            FieldError: the chosen backend does not support these tensors.
        """
        backend = self._backend_for(x)
        if backend == "numba":
            from sage_ns.field.encoding_numba import OpenLevels, encode_numba

            return encode_numba(x, self.table, OpenLevels(self.layout, self.level_weights))
        if backend == "tinycudann":
            return self._tinycudann_grid().encode(x, self.table, self.level_weights)
        return encode_torch(x, self.table, self.layout, self.level_weights)

    def position_gradient(
        self, x: Float[Tensor, "num_points 3"], cotangent: Float[Tensor, "num_points num_features"]
    ) -> Float[Tensor, "num_points 3"]:
        """Compute the gradient of sum(cotangent * forward(x)) to x, differentiable in the cotangent, the table and x.

        This is cheaper than `torch.autograd.grad` of the same function, which also computes the table's gradient and
        drops it. The gradient is 0 along an axis on which x is outside the cube.

        Raises:
            FieldError: the chosen backend does not support these tensors.
        """
        if self._backend_for(x) == "numba":
            from sage_ns.field.encoding_numba import OpenLevels, position_gradient_numba

            return position_gradient_numba(x, self.table, cotangent, OpenLevels(self.layout, self.level_weights))
        if self.open_levels <= 0.0:
            return torch.zeros_like(x)
        with torch.enable_grad():
            at = x if x.requires_grad else x.detach().requires_grad_()
            features = self(at)
        (gradient,) = torch.autograd.grad(features, at, cotangent, create_graph=torch.is_grad_enabled())
        return gradient

    def _backend_for(self, x: Tensor) -> Backend:
        device, single = x.device.type, x.dtype == self.table.dtype == torch.float32
        compiled = device == "cpu" and single and self.table.shape[1] == 2
        if self.backend == "auto":
            if device == "cuda" and single and self._tinycudann_fits():
                return "tinycudann"
            return "numba" if compiled else "torch"
        if self.backend == "numba" and not compiled:
            raise FieldError(
                f'the grid encoding\'s backend "numba" takes float32 on the CPU with 2 features per level, '
                f'got {x.dtype} on {device} with {self.table.shape[1]}: use backend="auto"'
            )
        if self.backend == "tinycudann" and not (device == "cuda" and single):
            raise FieldError(
                f'the grid encoding\'s backend "tinycudann" takes float32 on CUDA, got {x.dtype} on {device}: '
                'use backend="auto"'
            )
        return self.backend

    def _tinycudann_fits(self) -> bool:
        """Whether tiny-cuda-nn is installed and agrees with the definition; checked once."""
        if self._tinycudann is None and not self._tinycudann_unusable:
            from sage_ns.field.encoding_tinycudann import available

            try:
                self._tinycudann_unusable = not available() or self._tinycudann_grid() is None
            except FieldError as error:
                self._tinycudann_unusable = True
                warnings.warn(f"{error}. Continuing with the torch backend.", stacklevel=2)
        return not self._tinycudann_unusable

    def _tinycudann_grid(self) -> TinyCudaGrid:
        if self._tinycudann is None:
            from sage_ns.field.encoding_tinycudann import TinyCudaGrid

            self._tinycudann = TinyCudaGrid(self.table, self.layout)
        return self._tinycudann

    def get_extra_state(self) -> Tensor:
        """Return what a checkpoint holds besides the table: the open levels, then the scales of all levels."""
        return torch.tensor([self.open_levels, *self.layout.scales], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the open levels from a checkpoint.

        Raises:
            FieldError: the checkpoint's grid has other levels.
        """
        open_levels, *scales = state.tolist()
        if scales != list(self.layout.scales):
            raise FieldError(
                f"the checkpoint's grid has levels of {[round(s + 1, 1) for s in scales]} vertices along an edge, this "
                f"one of {[round(s + 1, 1) for s in self.layout.scales]}: build the field with the checkpoint's config"
            )
        self.open_levels = open_levels
