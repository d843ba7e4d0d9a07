"""The driving clip: a motion thinned out to what a page can carry."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from sage_ns.motion.motion import USUAL_FPS, Motion

MOST_ROWS = 1500
"""A minute at 25 frames per second."""


def make_clip(motion: Motion, center: Float[Tensor, "3"] | None = None) -> Motion | None:
    """A clip of at most `MOST_ROWS` rows at equal distances in time, with its `fps`; None for a single moment.

    Args:
        motion: One row per frame. Without an `fps` it has `USUAL_FPS`.
        center: Where the head is to be on average [metres, a translation]: another capture's world has another origin.
            None leaves the head where it is.
    """
    if motion.num_rows < 2:
        return None
    fps, step = motion.fps or USUAL_FPS, -(-motion.num_rows // MOST_ROWS)
    if center is not None:
        translation = motion.params.translation
        shift = center.detach().to(translation) - translation.mean(dim=0)
        motion = replace(motion, params=replace(motion.params, translation=translation + shift))
    return replace(motion[::step], fps=fps / step)
