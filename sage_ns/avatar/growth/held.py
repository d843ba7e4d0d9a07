"""Surfels that learn nothing for a while."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Bool
from torch import Tensor
from torch.utils.hooks import RemovableHandle


def hold_rows(held: Bool[Tensor, "num_surfels"], per_surfel: Iterable[Tensor]) -> list[RemovableHandle]:
    """Stop gradients that come back to the held rows of tensors; nothing behind those rows learns from them either.

    Args:
        held: mask. It is read whenever a gradient comes back: after `ops` has edited it along with the other rows,
            the same surfels are held.
        per_surfel: tensors with a row per surfel; those without gradients are left out.

    Returns:
        Handles that end it.
    """

    def learning(gradient: Tensor) -> Tensor:
        return gradient * (~held).reshape(-1, *[1] * (gradient.ndim - 1))

    return [each.register_hook(learning) for each in per_surfel if each.requires_grad]
