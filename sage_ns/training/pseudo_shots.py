"""Training pictures of which some are pseudo views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera
from sage_ns.training.phase import ShotSource

_COUNTS = 0.5
"""Confidence from which on a pseudo view tells the colour of a place."""


class WithPseudoViews:
    """A source of pictures (`ShotSource`) that mixes pseudo views into another source's.

    Args:
        real: source of the pictures that cameras took.
        pseudo: pseudo views of the canonical moment, on the device; at least one.
        share: share of the steps that show a pseudo view.
        seed: which picture a step shows depends on it and on the step alone.
    """

    def __init__(self, real: ShotSource, pseudo: Sequence[Shot], share: float, seed: int) -> None:
        self.real = real
        self.pseudo = list(pseudo)
        self.share = share
        self.seed = seed

    def _pseudo_at(self, step: int) -> Shot | None:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 7 + 5)
        if float(torch.rand((), generator=generator)) >= self.share:
            return None
        return self.pseudo[int(torch.randint(len(self.pseudo), (), generator=generator))]

    def shot(self, step: int) -> Shot:
        """Return the picture of ``step``, on the device."""
        return self._pseudo_at(step) or self.real.shot(step)

    def steady(self, step: int) -> Float[Tensor, "h w 1"]:
        """Return 1 where the picture of ``step`` shows what moves with the skull, else 0; pseudo views show it all."""
        pseudo = self._pseudo_at(step)
        return self.real.steady(step) if pseudo is None else torch.ones_like(pseudo.picture[..., :1])

    def registered_views(self) -> Sequence[Shot]:
        """Return the real views, then the pseudo views as far as they count."""
        pseudo = [replace(view.to("cpu"), steady=_counts(view).to("cpu")) for view in self.pseudo]
        return [*self.real.registered_views(), *pseudo]

    @property
    def cameras(self) -> Sequence[PinholeCamera]:
        """Cameras of all pictures, pseudo views included."""
        return [*self.real.cameras, *(view.camera for view in self.pseudo)]

    @property
    def num_moments(self) -> int:
        """Number of timesteps among the pictures."""
        return self.real.num_moments


def _counts(view: Shot) -> Float[Tensor, "h w 1"]:
    assert view.confidence is not None, "a pseudo view has a confidence"
    return (view.confidence > _COUNTS).float()
