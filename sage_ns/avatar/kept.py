"""What depends on a motion alone is computed once and kept; what carries gradients never is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

_Value = TypeVar("_Value")


def asks_for_gradients(*tensors: Tensor | None) -> bool:
    """Whether a caller wants gradients of any of these: it requires them, and grad mode is on."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


class KeptByMotion(Generic[_Value]):
    """The last few values that were computed from a motion vector.

    Without a request for gradients a value is computed in no_grad mode and kept. With one (see `asks_for_gradients`)
    it is computed anew at every call and not kept: its graph belongs to the one backward pass that the caller makes,
    and a later call without a request must not receive it.

    Args:
        most: how many values are kept; those that were asked for longest ago go first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()

    def get(self, motion: Float[Tensor, "num_coefficients"], make: Callable[[], _Value]) -> _Value:
        """The value of ``motion``: the kept one, or what ``make`` returns."""
        if asks_for_gradients(motion):
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
    """What two equal motions have in common, found without waiting for a device.

    On the CPU these are the numbers themselves: equal motions in different tensors are one motion. Elsewhere the
    numbers would have to be copied to the CPU, which waits until the device has done all its work; there the place in
    memory counts, see `StoredMotion`. Equal motions in two places are then computed twice.
    """
    if motion.device.type == "cpu":
        return motion.detach().numpy().tobytes()
    return StoredMotion(motion)


class StoredMotion:
    """A motion vector by where it is stored: equal for all views of one row that was not written to in between.

    A tensor's version counts in-place writes, and all views of a storage share it. The tensor is held, so that its
    memory cannot be given to another motion. Writes that torch does not count (through ``.data``) are not noticed.
    """

    def __init__(self, motion: Float[Tensor, "num_coefficients"]) -> None:
        self._held = motion.detach()  # shares storage and version, not the graph
        # Inference tensors have no version: each is a motion of its own.
        version = object() if motion.is_inference() else motion._version
        self._place = (motion.device, motion.dtype, motion.data_ptr(), motion.shape, motion.stride(), version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredMotion) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)
