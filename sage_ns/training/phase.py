"""What a phase of training is: steps that return raw losses by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from sage_ns.capture.shot import Shot
from sage_ns.training.losses import Terms


@dataclass(frozen=True, eq=False)
class PhaseStep:
    """What one step of a phase asks for. The learner weighs the terms, once."""

    rendered: Float[Tensor, "h w 3"]
    """The avatar as it was drawn, without gradients."""
    terms: Terms
    """Raw losses by name."""
    psnr: Float[Tensor, ""]
    """Of the last real picture, in dB; a tensor, since making it a number would make every step wait for the device."""
    weight: float = 1.0
    """Factor on all terms, beside the weights of the config."""


class ShotSource(Protocol):
    """Where a phase takes its pictures from; the data manager is one."""

    def shot(self, step: int) -> Shot:
        """The training picture of ``step``, on the device; a function of seed and step alone."""
        ...

    def canonical_shots(self) -> Sequence[Shot]:
        """Pictures of the canonical moment that have a mask."""
        ...

    @property
    def num_moments(self) -> int:
        """Number of timesteps among the training pictures."""
        ...


class Phase(Protocol):
    """One phase. What a step draws at random is a function of seed and step: a resumed run equals an unbroken one."""

    name: ClassVar[str]
    """As in the settings, the log and the checkpoint."""
    title: ClassVar[str]
    """What progress bars call it."""
    num_steps: int

    def begin(self) -> None:
        """Prepare; called before the first step that this process takes in the phase, be it in its middle."""
        ...

    def step(self, step: int) -> PhaseStep:
        """Draw, and say which losses to take; ``step`` counts over all phases."""
        ...

    def after_step(self, step: int, optimizers: Mapping[str, Optimizer]) -> None:
        """Change what optimisers cannot, once they have made their step."""
        ...

    def end(self) -> None:
        """Finish; called after the last step of the phase."""
        ...
