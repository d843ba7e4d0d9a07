"""What a prior over people does: it completes a person, of whom few pictures exist, to an avatar's first surfels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.priors.expression_correctives import ExpressionCorrectives


@dataclass(frozen=True, eq=False)
class FittedPerson:
    """A person as a prior completes the pictures: surfels on the rig, and how much of them the pictures determine."""

    surfels: BoundSurfels
    """Bound to the triangles of the rig, as those of `sage_ns.avatar.initialise`."""
    confidence: Float[Tensor, "num_surfels"]
    """0..1: 1 where a picture shows the surfel, 0 where the prior alone says what it looks like."""
    correctives: ExpressionCorrectives | None = None
    """How expressions change the surfels, beyond what the rig does; None if the prior knows nothing of it. Training
    does not use it yet."""


class Prior(Protocol):
    """Knowledge of people from which an avatar starts; independent of the rig that the person was tracked with."""

    def fit(
        self,
        record: CaptureRecord,
        views: Sequence[Shot],
        sh_degree: int,
        generator: torch.Generator,
    ) -> FittedPerson:
        """Return the person whom the pictures show, as surfels on their rig.

        Args:
            record: head model, identity and canonical moment of the person, and the background of the pictures.
            views: pictures of that moment, those of a turning head registered to it
                (`sage_ns.capture.registration.Registration.view`); on the CPU; at least one. Only their pixels that
                show what moves with the skull count (`Shot.steady`).
            sh_degree: degree of the view-dependent colour of the surfels.
            generator: source of all randomness; on the CPU.

        Raises:
            SageError: the prior does not fit this rig, or there are no views; names the file and what to do.
        """
        ...
