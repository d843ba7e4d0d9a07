"""The grid encoding by tiny-cuda-nn (optional, CUDA), reading the same table as the other backends."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import FieldError
from sage_ns.field.encoding_torch import encode_torch
from sage_ns.field.grid_layout import GridLayout
from sage_ns.system.devices import sent

NUM_PROBES = 256
TOLERANCE = 1e-4


def available() -> bool:
    """Whether tiny-cuda-nn's bindings are installed."""
    return importlib.util.find_spec("tinycudann") is not None


class TinyCudaGrid:
    """tiny-cuda-nn's grid of the same layout, without parameters of its own.

    Its conventions equal ours as of version 1.7; the constructor compares it with the definition at random points.

    Raises:
        FieldError: tiny-cuda-nn cannot be imported, or its features differ from the definition's.
    """

    def __init__(self, table: Float[Tensor, "num_entries features_per_level"], layout: GridLayout) -> None:
        try:
            tinycudann = importlib.import_module("tinycudann")
        except (ImportError, OSError) as error:
            raise FieldError(
                f"the grid encoding's backend \"tinycudann\" cannot be loaded ({error}): install tiny-cuda-nn's torch "
                'bindings, or choose backend="auto"'
            ) from error
        self._encoding = tinycudann.Encoding(3, tinycudann_config(layout, table.shape[1]), dtype=torch.float32)
        self._encoding.to(table.device)
        if self._encoding.params.numel() != table.numel():
            raise FieldError(
                f"tiny-cuda-nn lays the grid out in {self._encoding.params.numel()} numbers, the table has "
                f'{table.numel()}: choose backend="torch", or another version of tiny-cuda-nn'
            )
        self._compare(table.detach(), layout)

    def encode(
        self, x: Float[Tensor, "num_points 3"], table: Tensor, weights: Sequence[float]
    ) -> Float[Tensor, "num_points num_features"]:
        """Compute the features of all levels, as `encode_torch` defines them."""
        arguments = (x.clamp(0.0, 1.0).contiguous(),)
        features = torch.func.functional_call(self._encoding, {"params": table.flatten()}, arguments)
        factors = sent(torch.tensor(weights, dtype=features.dtype), features.device)
        return features * factors.repeat_interleave(table.shape[1])

    @torch.no_grad()
    def _compare(self, table: Tensor, layout: GridLayout) -> None:
        generator = torch.Generator().manual_seed(0)
        x = (0.01 + 0.9 * torch.rand(NUM_PROBES, 3, generator=generator)).to(table)
        values = torch.rand(table.shape, generator=generator).to(table)
        weights = [1.0] * layout.num_levels
        difference = (self.encode(x, values, weights) - encode_torch(x, values, layout, weights)).abs().max()
        if not difference <= TOLERANCE:
            raise FieldError(
                f"tiny-cuda-nn's grid differs from the definition by {float(difference):.2g}: choose "
                'backend="torch", or another version of tiny-cuda-nn'
            )


def tinycudann_config(layout: GridLayout, features_per_level: int) -> dict[str, object]:
    """Return tiny-cuda-nn's configuration of the layout."""
    coarsest, finest = layout.scales[0] + 1.0, layout.scales[-1] + 1.0
    return {
        "otype": "HashGrid",
        "n_levels": layout.num_levels,
        "n_features_per_level": features_per_level,
        "log2_hashmap_size": layout.log2_table_size,
        "base_resolution": round(coarsest),
        "per_level_scale": (finest / coarsest) ** (1.0 / max(layout.num_levels - 1, 1)),
        "interpolation": "Linear",
    }
