"""``sage-prior learn``: fit every person of some captures, one after the other, and learn the prior from all of them.

Each person starts from the mean of those before and is pulled to it; the places of the atlas then keep their meaning
from person to person. Fits are kept in a folder beside the prior: a run that was killed goes on with the next person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions
from sage_ns.errors import SageError
from sage_ns.priors.attributes import first_attributes
from sage_ns.priors.coded import CodedPrior, PriorError, atlas_key
from sage_ns.priors.models import ModelSettings, model_of
from sage_ns.priors.models.linear import LinearSettings
from sage_ns.priors.people import canonical_views, check_people
from sage_ns.priors.person_fit import PersonFitSettings, fit_person
from sage_ns.priors.sitter import reference_atlas, reference_head, sit
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.progress import tracked


@dataclass(frozen=True)
class LearnSettings:
    """How a prior is learned."""

    num_places: int = 12_000
    """Places of the atlas; 12,000 on the CPU, 65,536 on CUDA."""
    seed: int = 0
    """Of the order of pictures and of backgrounds."""
    person: PersonFitSettings = field(default_factory=PersonFitSettings)
    model: ModelSettings = field(default_factory=LinearSettings)
    """What is learned from the people once they are fitted."""


@dataclass(frozen=True)
class Learned:
    """What `learn_prior` did."""

    prior: CodedPrior
    num_fitted: int
    """People who were fitted now."""
    num_kept: int
    """People whose fits an earlier run had kept."""


def learn_prior(
    captures: Sequence[CaptureOptions], fits: Path, settings: LearnSettings, device: torch.device | str = "cpu"
) -> Learned:
    """Fit the people of some captures and learn a prior from them.

    Args:
        captures: one per person, at least two.
        fits: folder of the people's fits; those that are there and belong to the same capture and settings are used.
        settings: see `LearnSettings`.
        device: where people are fitted.

    Raises:
        SageError: fewer than two captures, one is given twice, or one cannot be used; before any person is fitted.
        WriteError: the folder cannot be written.
    """
    model = model_of(settings.model.model)
    names = check_people(captures, model.learns_motion)
    atlas = reference_atlas(settings.num_places)
    reference = reference_head().v_template
    start = first_attributes(atlas, atlas.points(reference, reference_head()))
    total, count, kept = torch.zeros_like(start), 0, 0
    people = []
    with tracked(list(zip(names, captures, strict=True)), "Fitting people") as shown:
        for name, options in shown:
            path = fits / f"{name}.npz"
            key = _key(options, settings)
            attributes = _read_fit(path, key, start.shape)
            if attributes is None:
                generator = torch.Generator().manual_seed(settings.seed)
                mean = total / count if count else start
                steps = settings.person.steps if count else settings.person.first_steps
                sitter = sit(*canonical_views(options), settings.num_places, device)
                attributes = fit_person(sitter, mean, settings.person, steps, generator)
                write_npz(path, {"key": np.array(key), "attributes": attributes.numpy()})
            else:
                kept += 1
            people.append(attributes)
            total, count = total + attributes, count + 1
    prior = model.learn_from(torch.stack(people), captures, settings.model, fits, device)
    return Learned(prior, count - kept, kept)


def _key(options: CaptureOptions, settings: LearnSettings) -> str:
    """Return a text that identifies all that a person's fit depends on, apart from the people before."""
    digest = hashlib.sha256(repr((settings.seed, settings.person, options.downscale_factor)).encode())
    digest.update(atlas_key(settings.num_places).encode())
    for path in sorted(options.data.glob("transforms*.json")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _read_fit(path: Path, key: str, shape: Sequence[int]) -> Float[Tensor, "num_places 9"] | None:
    """Return a fit that an earlier run kept; None if there is none, or it is of other settings or damaged."""
    if not path.exists():
        return None
    with suppress(SageError):
        read = ArrayFields(str(path), read_npz(path, PriorError), PriorError)
        if read.text("key") == key:
            return read.floats("attributes", f"{shape[0]} {shape[1]}")
    return None
