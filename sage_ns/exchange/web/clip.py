"""The driving clip: a motion thinned out to what a page can carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.motion.files import DrivingMotion

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


def clip_of(avatar: Avatar, driving: DrivingMotion | None, fps: float) -> Clip | None:
    """The clip that drives an avatar on its page; None where there is but one moment.

    Args:
        avatar: who moves.
        driving: a driver's motion, whose head is brought to the avatar's place; None: the avatar's own motion.
        fps: rows of the motion per second.

    Raises:
        FlameParamsError: the motion uses more expression coefficients than the avatar's rig has.
    """
    if driving is None:
        return make_clip(avatar.motion.motion, fps)
    return make_clip(avatar.fit(driving.params), fps, avatar.motion.canonical()[:3])
