"""Exposure of each training frame: a gain per colour channel, so that a camera's automatic exposure is not learned.

A phone changes exposure and white balance while it records. A frame's picture is compared with the rendered picture
times the frame's gain ``exp(g_i - mean g)``. The mean over frames is taken away (the gauge): a gain that all frames
share belongs to the avatar's colours, and pictures of other moments are drawn without gain.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.avatar.surfels import take_sizes


class Exposure(nn.Module):
    """Learned logarithms of the gains of training frames.

    The mean over frames counts as a constant when gradients are taken. A step at frame i therefore has a gradient for
    row i alone: every other row is exactly zero, and `sage_ns.training.row_adam.RowAdam` leaves these rows as they are.
    The gradient that this leaves out is 1/n of the row's own, and moves what all rows share, which has no effect.

    Args:
        num_frames: number of training frames, at least one.
    """

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(num_frames, 3))

    def forward(self, index: int) -> Float[Tensor, "3"]:
        """Return the factors of red, green and blue of a frame: ``exp(log_gain[index] - mean of log_gain)``.

        Args:
            index: number of the frame. A Python number: nothing waits for the CPU.
        """
        return self._relative(index).exp()

    def penalty(self, index: int) -> Float[Tensor, ""]:
        """Return the mean square of a frame's log gains after the gauge; 0 without any exposure.

        It takes the frame of the step, not all frames, so that the other rows get no gradient. Over an epoch, its mean
        is that of all frames.
        """
        return self._relative(index).square().mean()

    @torch.no_grad()
    def factors(self) -> Float[Tensor, "num_frames 3"]:
        """Return the factors of all frames, for logs and checks."""
        return (self.log_gain - self.log_gain.mean(dim=0)).exp()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, ("log_gain",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _relative(self, index: int) -> Float[Tensor, "3"]:
        return self.log_gain[index] - self.log_gain.detach().mean(dim=0)
