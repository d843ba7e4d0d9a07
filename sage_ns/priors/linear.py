"""The linear prior: a mean person, shared tones of skin and hair, and modes for each part of the head (Blanz and Vetter
1999, on surfels in place of vertices)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.priors.attributes import COLOUR, NUM_ATTRIBUTES
from sage_ns.priors.coded import LARGEST, CodedPrior
from sage_ns.priors.models.linear import LinearSettings
from sage_ns.priors.parts import GROUPS, groups_of
from sage_ns.priors.sitter import reference_atlas
from sage_ns.system.array_fields import ArrayFields

_LARGEST_STEP = 127
"""Modes are stored as whole numbers of -127..127 times a step."""


@dataclass(frozen=True, eq=False)
class LinearPrior(CodedPrior):
    """What people look like at the places of the atlas, as a linear function of an identity code.

    ``x_k = mean_k + sum_t tone_tk a_t + sum_m modes_mk z_gm`` for place k of group g, with tones a that all groups
    share and codes z of each group; all of them are about normally distributed with deviation 1.
    """

    model: ClassVar[str] = LinearSettings.model
    mean: Float[Tensor, "num_places 9"]
    """See `sage_ns.priors.attributes`."""
    tone: Float[Tensor, "num_tones num_places 3"]
    """Colour per unit of each tone."""
    modes: Float[Tensor, "num_modes num_places 9"]
    """Attributes per unit of each mode; groups with fewer modes have zeros."""
    num_people: int
    """Number of people that it was learned from."""

    @property
    def num_codes(self) -> int:
        """Number of entries of an identity code: tones, then modes of each group."""
        return len(self.tone) + len(GROUPS) * len(self.modes)

    def to(self, device: torch.device | str) -> LinearPrior:
        """Return the same prior on another device; `fit` runs there."""
        return replace(self, mean=self.mean.to(device), tone=self.tone.to(device), modes=self.modes.to(device))

    def attributes(self, code: Float[Tensor, "num_codes"]) -> Float[Tensor, "num_places 9"]:
        """Return the attributes of the person with this identity code; differentiable."""
        tones = code[: len(self.tone)]
        by_group = code[len(self.tone) :].reshape(len(GROUPS), len(self.modes))
        changes = self.mean.new_zeros(self.mean.shape)
        for number, (rows, modes) in enumerate(self._by_group):
            change = by_group[number] @ modes
            changes = changes.index_copy(0, rows, change.reshape(len(rows), NUM_ATTRIBUTES))
        color = torch.einsum("t,tkc->kc", tones, self.tone)
        return self.mean + changes + torch.nn.functional.pad(color, (COLOUR.start, 0))

    @cached_property
    def _by_group(self) -> list[tuple[Int[Tensor, "num_rows"], Float[Tensor, "num_modes num_entries"]]]:
        """Places of each group, and their modes as a matrix."""
        group = groups_of(reference_atlas(self.num_places)).to(self.mean.device)
        rows = [(group == number).nonzero()[:, 0] for number in range(len(GROUPS))]
        return [(each, self.modes[:, each].flatten(1)) for each in rows]

    def describe(self) -> str:
        """Return what it consists of; see `CodedPrior.describe`."""
        return f"{len(self.modes)} modes for each part of the head"

    def advice(self, share: float) -> str:
        """Return how to learn a smaller prior; see `CodedPrior.advice`."""
        return f"Learn it with --linear.most-modes {max(1, int(len(self.modes) * share) - 1)}"

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the arrays of its file: tones in half precision, modes as whole numbers of 8 bits times a step."""
        step = self.modes.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _LARGEST_STEP
        return {
            "tone": self.tone.cpu().numpy().astype(np.float16),
            "modes": (self.modes / step).round().cpu().numpy().astype(np.int8),
            "step": step[:, 0].cpu().numpy().astype(np.float32),
        }


def read_linear(read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> LinearPrior:
    """Return the linear prior of a file; see `sage_ns.priors.models.PeopleModel.read`.

    Raises:
        PriorError: tones, modes or their step are missing or broken; names the file and the field.
    """
    tone = read.floats("tone", "num_tones num_places 3")
    read.check_magnitude("tone", tone, LARGEST)
    whole = read.indices("modes", "num_modes num_places 9")
    if bool((whole.abs() > _LARGEST_STEP).any()):
        raise read.fail(
            "modes", f"values up to {int(whole.abs().max())}", f"values in -{_LARGEST_STEP}..{_LARGEST_STEP}"
        )
    step = read.floats("step", "num_modes 9")
    read.check_magnitude("step", step, LARGEST)
    return LinearPrior(mean, tone, whole.float() * step[:, None], num_people)
