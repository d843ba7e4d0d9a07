"""Cache of values that depend on a motion alone; values that carry gradients are never cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

_Value = TypeVar("_Value")


def requires_gradients(*tensors: Tensor | None) -> bool:
    """Return whether any of these requires gradients while grad mode is on."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


class KeptByMotion(Generic[_Value]):
    """Cache of the values that were computed from the last few motion vectors.

    Without gradients, a value is computed in no_grad mode and cached. If the motion requires gradients (see
    `requires_gradients`), every call computes a new value, which is not cached: its graph belongs to one backward pass
    of the caller, and a later call without gradients must not receive it.

    Args:
        most: number of cached values; the least recently used are dropped first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()

    def get(self, motion: Float[Tensor, "num_coefficients"], make: Callable[[], _Value]) -> _Value:
        """Return the value of ``motion``: the cached one, or else the result of ``make``."""
        if requires_gradients(motion):
            return make()
        key = motion_key(motion)
        if key not in self._values:
            with torch.no_grad():
                self._values[key] = make()
            if len(self._values) > self.most:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Drop all values."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)


def motion_key(motion: Float[Tensor, "num_coefficients"]) -> Hashable:
    """Return a key that identifies a motion, without waiting for a device.

    On the CPU the key is made of the numbers: equal motions in different tensors have the same key. On other devices,
    reading the numbers would wait until the device has finished all its work; there the key is the place in memory, see
    `StoredMotion`, and equal motions in two places are computed twice.
    """
    if motion.device.type == "cpu":
        return motion.detach().numpy().tobytes()
    return StoredMotion(motion)


class StoredMotion:
    """Key of a motion vector by its place in memory: equal for all views of one row, until the row is written to.

    The version of a tensor counts in-place writes, and all views of a storage share it. The key holds the tensor, which
    prevents torch from reusing its memory for another motion. Writes through ``.data``, which torch does not count, are
    not detected.
    """

    def __init__(self, motion: Float[Tensor, "num_coefficients"]) -> None:
        self._held = motion.detach()  # shares storage and version, not the graph
        # Inference tensors have no version: each has a key of its own.
        version = object() if motion.is_inference() else motion._version
        self._place = (motion.device, motion.dtype, motion.data_ptr(), motion.shape, motion.stride(), version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredMotion) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)
