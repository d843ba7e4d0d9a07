"""Handing small tensors to a device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.errors import OptionError


def check_device(device: str) -> None:
    """Refuse a device that a command cannot compute on.

    Raises:
        OptionError: it is neither "cpu" nor "cuda", or there is no CUDA device.
    """
    if device not in ("cpu", "cuda"):
        raise OptionError("expected cpu or cuda", device=device)
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError("no CUDA device is available", device=device)


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on ``device``. The CPU goes on at once, and work that is queued on the device later sees the values.

    A plain ``.to(device)`` waits until the device has done everything that was queued before. Not for copies back to
    the CPU: those have to wait, or their values would not be there yet.
    """
    return tensor.to(device, non_blocking=True)


def kept_rows(valid: Tensor) -> Tensor | slice:
    """Index of the rows of a mask to go on with: on the CPU the valid ones, on a device all of them.

    How many rows are valid is known on the device alone; to leave the others out, the CPU would have to wait for it.
    Rows that stay although they are not valid count for nothing later: the mask goes along as their weight.
    """
    return valid if valid.device.type == "cpu" else slice(None)
