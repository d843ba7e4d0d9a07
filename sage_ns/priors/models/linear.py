"""The linear model: a mean person, tones of skin and hair, and modes of each part of the head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float

from sage_ns.priors.models.registry import ModelSettings, PeopleModel, register_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sage_ns.priors.linear import LinearPrior
    from sage_ns.system.array_fields import ArrayFields


@dataclass(frozen=True)
class LinearSettings(ModelSettings):
    """How the linear model is learned."""

    model: ClassVar[str] = "linear"
    most_modes: int = 64
    """largest number of modes of each part of the head; the number of people less one is the limit in any case"""

    def check(self) -> None:
        """Check all settings; see `ModelSettings.check`."""
        self.expect("most_modes", 1, 512)


@register_model
class LinearModel(PeopleModel):
    """See `sage_ns.priors.linear`."""

    name = LinearSettings.model
    summary = "a mean person and modes of each part of the head, from principal components; seconds"

    def learn(
        self,
        people: Float[Tensor, "num_people num_places 9"],
        settings: LinearSettings,
        work: Path,
        device: torch.device | str,
    ) -> LinearPrior:
        """Return the linear prior; nothing is kept in ``work``, and the device is the CPU: it takes seconds."""
        from sage_ns.priors.linear_learning import learn_linear
        from sage_ns.priors.sitter import reference_atlas

        return learn_linear(people, reference_atlas(people.shape[1]), settings.most_modes)

    def read(self, read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> LinearPrior:
        """Return the prior of a file; see `PeopleModel.read`."""
        from sage_ns.priors.linear import read_linear

        return read_linear(read, mean, num_people)
