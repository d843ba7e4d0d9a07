"""The backward warps of a training's moments, cached like the poses of the rig."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.kept import KeptByMotion
from sage_ns.field.warp.backward import BackwardWarp
from sage_ns.field.warp.registry import PosedMoment, WarpFiles, WarpMaker, warp_maker
from sage_ns.training.config import LearnerConfig

_MOST = 64
"""Cached warps; one of a rig takes a megabyte or two."""


class FieldWarps:
    """Makes and keeps the warps that take rays of posed moments to the field.

    A warp is constant: no gradient reaches the motion. When the canonical frames are others than before, because the
    canonical moment has been refined, all warps are made anew.

    Args:
        make: makes the warp of a moment.
    """

    def __init__(self, make: WarpMaker) -> None:
        self._make = make
        self._kept: KeptByMotion[BackwardWarp] = KeptByMotion(_MOST)
        self._canonical: Tensor | None = None

    @classmethod
    def of(cls, config: LearnerConfig) -> FieldWarps | None:
        """Return the warps that the settings name; None for ``none``. The user's files are read now.

        Raises:
            OptionError: a file that the kind needs is not given.
            FieldError: a file cannot be used.
        """
        if config.field_warp == "none":
            return None
        return cls(warp_maker(config.field_warp, WarpFiles(config.mononphm_checkpoint, config.mononphm_tracking)))

    def at(self, motion: Float[Tensor, "num_coefficients"], moment: PosedMoment) -> BackwardWarp:
        """Return the warp of a moment.

        Args:
            motion: motion vector of the moment: the key of the cache, as in `sage_ns.avatar.poses.Poses`.
            moment: the moment under this motion.

        Raises:
            FieldError: MonoNPHM's tracking has no frame of this moment.
        """
        if self._canonical is not moment.canonical.origin:
            self._kept.clear()
            self._canonical = moment.canonical.origin
        constant = replace(moment, skull=moment.skull.detach())
        with torch.no_grad():
            return self._kept.get(motion.detach(), lambda: self._make(constant))

    def clear(self) -> None:
        """Drop all warps."""
        self._kept.clear()
