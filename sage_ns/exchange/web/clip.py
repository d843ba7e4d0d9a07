"""The driving clip: a motion thinned out to what a page can carry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MOST_ROWS = 1500
"""A minute at 25 frames per second."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Motion vectors at equal distances in time."""

    motion: Float[Tensor, "num_rows num_coefficients"]
    fps: float
    """Rows per second."""
    step: int
    """Every how many rows of the motion there was one is taken."""


def make_clip(
    motion: Float[Tensor, "num_timesteps num_coefficients"],
    fps: float,
    center: Float[Tensor, "3"] | None = None,
) -> Clip | None:
    """A clip of at most `MOST_ROWS` rows; None where there is but one moment, which is no motion.

    Args:
        motion: one row per frame.
        fps: frames per second of the motion.
        center: where the head is to be on average [metres, a translation]: another capture's world has another origin.
            None leaves it where it is.
    """
    motion = motion.detach().float().cpu()
    if len(motion) < 2:
        return None
    if center is not None:
        shift = center.detach().float().cpu() - motion[:, :3].mean(dim=0)
        motion = torch.cat([motion[:, :3] + shift, motion[:, 3:]], dim=1)
    step = -(-len(motion) // MOST_ROWS)
    return Clip(motion[::step], fps / step, step)
