"""The linear prior: a mean person, shared tones of skin and hair, and modes for each part of the head (Blanz and Vetter
1999, on surfels in place of vertices)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import LABELS, Atlas
from sage_ns.avatar.atlas_surfels import bound_to_rig
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import SageError
from sage_ns.priors.attributes import COLOUR, NUM_ATTRIBUTES
from sage_ns.priors.code_fit import CodeFitSettings, fit_code
from sage_ns.priors.contract import FittedPerson
from sage_ns.priors.sitter import reference_atlas, reference_head, shown, sit
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

GROUPS = {"face": ("face", "eyes", "lips"), "hair": ("hair",), "neck": ("neck",), "ears": ("ears",)}
"""Parts of the head with modes of their own, and the labels of the atlas that they hold."""

_FORMAT = 1
_LARGEST_MEAN = 100.0
"""Largest magnitude of an attribute: half a metre of offset, or a scale or opacity far beyond any that is drawn."""
_LARGEST_STEP = 127
"""Modes are stored as whole numbers of -127..127 times a step."""


class PriorError(SageError):
    """A prior is missing, broken, or made for another atlas."""


@dataclass(frozen=True, eq=False)
class LinearPrior:
    """What people look like at the places of the atlas, as a linear function of an identity code.

    ``x_k = mean_k + sum_t tone_tk a_t + sum_m modes_mk z_gm`` for place k of group g, with tones a that all groups
    share and codes z of each group; all of them are about normally distributed with deviation 1.
    """

    mean: Float[Tensor, "num_places 9"]
    """See `sage_ns.priors.attributes`."""
    tone: Float[Tensor, "num_tones num_places 3"]
    """Colour per unit of each tone."""
    modes: Float[Tensor, "num_modes num_places 9"]
    """Attributes per unit of each mode; groups with fewer modes have zeros."""
    num_people: int
    """Number of people that it was learned from."""

    @property
    def num_places(self) -> int:
        """Number of places of the atlas."""
        return len(self.mean)

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

    def fit(
        self,
        record: CaptureRecord,
        views: Sequence[Shot],
        sh_degree: int,
        generator: torch.Generator,
        settings: CodeFitSettings | None = None,
    ) -> FittedPerson:
        """Return the person whom the pictures show; see `sage_ns.priors.contract.Prior.fit`.

        Raises:
            SageError: there are no pictures with masks, or the rig is no head.
        """
        sitter = sit(record, views, self.num_places, self.mean.device)
        found = fit_code(self.attributes, self.num_codes, sitter, settings or CodeFitSettings(), generator)
        surfels = found.surfels(sh_degree)
        return FittedPerson(bound_to_rig(surfels, sitter.posed).to("cpu"), shown(sitter, surfels).cpu())

    def save(self, path: Path) -> None:
        """Write the prior as npz: mean and tones in half precision, modes as whole numbers of 8 bits times a step."""
        step = self.modes.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _LARGEST_STEP
        arrays = {
            "format": np.array(_FORMAT, dtype=np.int64),
            "atlas": np.array(atlas_key(self.num_places)),
            "num_people": np.array(self.num_people, dtype=np.int64),
            "mean": self.mean.cpu().numpy().astype(np.float16),
            "tone": self.tone.cpu().numpy().astype(np.float16),
            "modes": (self.modes / step).round().cpu().numpy().astype(np.int8),
            "step": step[:, 0].cpu().numpy().astype(np.float32),
        }
        write_npz(path, arrays, compress=True)


def load_linear_prior(path: Path) -> LinearPrior:
    """Load a prior that `sage-prior learn` wrote.

    Raises:
        PriorError: the file is missing, broken, or made for another atlas; names the file and the field.
    """
    read = ArrayFields(str(path), read_npz(path, PriorError), PriorError, "Learn one with sage-prior learn.")
    version = int(read.indices("format", ""))
    if version != _FORMAT:
        raise read.fail("format", str(version), str(_FORMAT))
    mean = read.floats("mean", "num_places 9")
    tone = read.floats("tone", "num_tones num_places 3")
    for name, values in (("mean", mean), ("tone", tone)):
        read.check_magnitude(name, values, _LARGEST_MEAN)
    if len(mean) < 100 or len(mean) % 2:
        raise read.fail("mean", f"{len(mean)} places", "an even number of at least 100")
    expected = atlas_key(len(mean))
    if (found := read.text("atlas")) != expected:
        raise read.fail("atlas", found, f"{expected}, the atlas of this version's built-in head")
    whole = read.indices("modes", "num_modes num_places 9")
    if bool((whole.abs() > _LARGEST_STEP).any()):
        raise read.fail(
            "modes", f"values up to {int(whole.abs().max())}", f"values in -{_LARGEST_STEP}..{_LARGEST_STEP}"
        )
    step = read.floats("step", "num_modes 9")
    read.check_magnitude("step", step, _LARGEST_MEAN)
    people = int(read.indices("num_people", ""))
    return LinearPrior(mean, tone, whole.float() * step[:, None], people)


def groups_of(atlas: Atlas) -> Int[Tensor, "num_places"]:
    """Return the group of every place, a number of `GROUPS`."""
    group = torch.zeros(len(LABELS), dtype=torch.int64)
    for number, labels in enumerate(GROUPS.values()):
        for label in labels:
            group[LABELS.index(label)] = number
    return group[atlas.label]


def atlas_key(num_places: int) -> str:
    """Return a text that identifies the atlas of a number of places: priors of another atlas mean other places."""
    atlas, head = reference_atlas(num_places), reference_head()
    digest = hashlib.sha256()
    # Not the places themselves: their last digits may differ between machines.
    digest.update(atlas.label.numpy().tobytes() + head.triangles.numpy().tobytes())
    digest.update((1e4 * head.v_template).round().to(torch.int32).numpy().tobytes())
    return f"{num_places} places, {digest.hexdigest()[:16]}"
