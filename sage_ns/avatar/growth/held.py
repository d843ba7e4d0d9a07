"""Holding surfels: surfels that training does not change for a while."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Bool
from torch import Tensor
from torch.utils.hooks import RemovableHandle


def hold_rows(held: Bool[Tensor, "num_surfels"], per_surfel: Iterable[Tensor]) -> list[RemovableHandle]:
    """Set the gradients of the held rows of tensors to 0, also for everything that these rows were computed from.

    Args:
        held: mask. Each backward pass reads it: after `ops` has edited it together with the other rows, the same
            surfels are held.
        per_surfel: tensors with a row per surfel; those that do not require gradients are skipped.

    Returns:
        Handles whose removal ends the hold.
    """

    def masked(gradient: Tensor) -> Tensor:
        return gradient * (~held).reshape(-1, *[1] * (gradient.ndim - 1))

    return [each.register_hook(masked) for each in per_surfel if each.requires_grad]
