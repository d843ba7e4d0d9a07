"""What all priors with an identity code share: the person whom pictures show, the file, and its checks."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas_surfels import bound_to_rig
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import SageError
from sage_ns.priors.code_fit import CodeFitSettings, fit_code
from sage_ns.priors.contract import FittedPerson
from sage_ns.priors.models import model_of, models
from sage_ns.priors.sitter import reference_atlas, reference_head, shown, sit
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

MOST_BYTES = 10_000_000
"""Largest size of a prior's file."""
LARGEST = 100.0
"""Largest magnitude of an attribute: half a metre of offset, or a scale or opacity far beyond any that is drawn."""

_FORMAT = 1


class PriorError(SageError):
    """A prior is missing, broken, or made for another atlas."""


class CodedPrior(ABC):
    """A prior that makes people from codes: ``attributes`` of the code zero are the mean person's."""

    model: ClassVar[str]
    """Name of the model in the registry (`sage_ns.priors.models`)."""
    mean: Float[Tensor, "num_places 9"]
    """The mean person; see `sage_ns.priors.attributes`."""
    num_people: int
    """Number of people that it was learned from."""

    @property
    def num_places(self) -> int:
        """Number of places of the atlas."""
        return len(self.mean)

    @property
    @abstractmethod
    def num_codes(self) -> int:
        """Number of entries of an identity code; each is about normally distributed with deviation 1."""

    @abstractmethod
    def attributes(self, code: Float[Tensor, "num_codes"]) -> Float[Tensor, "num_places 9"]:
        """Return the attributes of the person with this identity code; differentiable."""

    @abstractmethod
    def to(self, device: torch.device | str) -> CodedPrior:
        """Return the same prior on another device; `fit` runs there."""

    @abstractmethod
    def describe(self) -> str:
        """Return what it consists of, for people: "39 modes for each part of the head"."""

    @abstractmethod
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the arrays of its file, apart from those of all models: format, model, atlas, num_people, mean."""

    @abstractmethod
    def advice(self, share: float) -> str:
        """Return how to learn a smaller prior: one whose file has this share of the size; "Learn it with --x 3"."""

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
        """Write the prior as npz without pickles; the mean in half precision.

        Raises:
            WriteError: the file cannot be written.
        """
        shared = {
            "format": np.array(_FORMAT, dtype=np.int64),
            "model": np.array(self.model),
            "atlas": np.array(atlas_key(self.num_places)),
            "num_people": np.array(self.num_people, dtype=np.int64),
            "mean": self.mean.cpu().numpy().astype(np.float16),
        }
        write_npz(path, {**shared, **self.arrays()}, compress=True)


def save_checked(prior: CodedPrior, path: Path) -> int:
    """Write a prior; returns the size of its file in bytes.

    Raises:
        PriorError: the file is larger than `MOST_BYTES`; says which setting would make it fit.
    """
    prior.save(path)
    size = path.stat().st_size
    if size > MOST_BYTES:
        path.unlink()
        raise PriorError(
            f"{path}: the prior has {size / 1e6:.1f} MB, expected at most {MOST_BYTES / 1e6:.0f} MB. "
            f"{prior.advice(MOST_BYTES / size)}: the people are fitted already."
        )
    return size


def load_prior(path: Path) -> CodedPrior:
    """Load a prior of any model that `sage-prior learn` wrote.

    Raises:
        PriorError: the file is missing, broken, of an unknown model, or made for another atlas; names the file and the
            field.
    """
    read = ArrayFields(str(path), read_npz(path, PriorError), PriorError, "Learn one with sage-prior learn.")
    version = int(read.indices("format", ""))
    if version != _FORMAT:
        raise read.fail("format", str(version), str(_FORMAT))
    name, names = read.text("model"), [model.name for model in models()]
    if name not in names:
        raise read.fail("model", name, f"a model of this version: {', '.join(names)}")
    mean = read.floats("mean", "num_places 9")
    if len(mean) < 100 or len(mean) % 2:
        raise read.fail("mean", f"{len(mean)} places", "an even number of at least 100")
    read.check_magnitude("mean", mean, LARGEST)
    expected = atlas_key(len(mean))
    if (found := read.text("atlas")) != expected:
        raise read.fail("atlas", found, f"{expected}, the atlas of this version's built-in head")
    return model_of(name).read(read, mean, int(read.indices("num_people", "")))


def atlas_key(num_places: int) -> str:
    """Return a text that identifies the atlas of a number of places: priors of another atlas mean other places."""
    atlas, head = reference_atlas(num_places), reference_head()
    digest = hashlib.sha256()
    # Not the places themselves: their last digits may differ between machines.
    digest.update(atlas.label.numpy().tobytes() + head.triangles.numpy().tobytes())
    digest.update((1e4 * head.v_template).round().to(torch.int32).numpy().tobytes())
    return f"{num_places} places, {digest.hexdigest()[:16]}"
