"""Interface of the phases of training, whose steps return raw losses by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera
from sage_ns.training.losses import Terms


@dataclass(frozen=True, eq=False)
class PhaseStep:
    """Result of one step of a phase. The learner weighs the terms."""

    rendered: Float[Tensor, "h w 3"]
    """Rendered picture, without gradients."""
    terms: Terms
    """Raw losses by name."""
    psnr: Float[Tensor, ""]
    """PSNR of the last real picture in dB; a tensor, since a number would make every step wait for the device."""
    weight: float = 1.0
    """Factor on all terms, in addition to the weights of the config."""


class ShotSource(Protocol):
    """Source of the pictures of a phase; the data manager implements it."""

    def shot(self, step: int) -> Shot:
        """Return the training picture of ``step``, on the device; it depends on seed and step alone."""
        ...

    def steady(self, step: int) -> Float[Tensor, "h w 1"]:
        """Return 1 where the picture of ``step`` shows what moves with the skull, else 0, on the device."""
        ...

    def registered_views(self) -> Sequence[Shot]:
        """Return pictures that show the canonical head and have a mask, see `sage_ns.capture.registration`."""
        ...

    @property
    def cameras(self) -> Sequence[PinholeCamera]:
        """Cameras of all training pictures."""
        ...

    @property
    def num_moments(self) -> int:
        """Number of timesteps among the training pictures."""
        ...


class Phase(Protocol):
    """One phase. Random numbers depend on seed and step alone: a resumed run equals an uninterrupted one."""

    name: ClassVar[str]
    """Name in settings, log and checkpoint."""
    title: ClassVar[str]
    """Title in progress bars."""
    num_steps: int

    def begin(self) -> None:
        """Prepare the phase; called before this process's first step in it, even if the run resumes in its middle."""
        ...

    def step(self, step: int) -> PhaseStep:
        """Draw the avatar and return its raw losses; ``step`` counts over all phases."""
        ...

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Edit the avatar after the step of the optimisers, given by name of their parameter group."""
        ...

    def end(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Finish the phase; called after its last step, with the optimisers by name of their parameter group."""
        ...
