"""The clip that drives the page's avatar: a motion, subsampled to a size that suits a web page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from sage_ns.motion.limits import bounded
from sage_ns.motion.motion import USUAL_FPS, Motion
from sage_ns.rig import FlameParams

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

MOST_ROWS = 1500
"""Largest number of rows: a minute at 25 frames per second."""


def make_clip(motion: Motion, center: Float[Tensor, "3"] | None = None) -> Motion | None:
    """Make a clip of at most `MOST_ROWS` rows, evenly spaced in time, with its `fps`; None for a single moment.

    Args:
        motion: One row per frame. `USUAL_FPS` replaces a missing `fps`.
        center: New mean translation of the head [metres], because the world of another capture has another origin. None
            leaves the translation unchanged.
    """
    if motion.num_rows < 2:
        return None
    fps, step = motion.fps or USUAL_FPS, -(-motion.num_rows // MOST_ROWS)
    if center is not None:
        translation = motion.params.translation
        shift = center.detach().to(translation) - translation.mean(dim=0)
        motion = replace(motion, params=replace(motion.params, translation=translation + shift))
    return replace(motion[::step], fps=fps / step)


def clip_of(avatar: Avatar, driving: Motion | None, fps: float) -> Motion | None:
    """Make the clip that drives an avatar on its page; None if the motion has a single moment.

    Args:
        avatar: the avatar that moves.
        driving: the motion of a driver, translated to the place of the avatar's head and clamped to the limits of its
            rig, with notes; None: the avatar's own motion.
        fps: rows of the motion per second.

    Raises:
        FlameParamsError: no head can make the motion, or it uses more expression coefficients than the avatar's rig
            has.
    """
    if driving is None:
        return make_clip(replace(avatar.motion.recorded(), fps=fps))
    center = avatar.motion.canonical()[FlameParams.TRANSLATION]
    return make_clip(replace(bounded(driving, avatar.rig.head_model), fps=fps), center)
