"""``sage-prior learn``: fit the people of some captures, and learn the prior from all of them.

The first people are fitted one after the other, each from the mean of those before; all others start from the mean of
these, in any order, also at the same time. Everybody is pulled to where the fit starts: the places of the atlas then
keep their meaning from person to person. Fits are kept in a folder beside the prior: a run that was killed goes on with
the people who are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions
from sage_ns.errors import SageError
from sage_ns.priors.attributes import NUM_ATTRIBUTES, first_attributes
from sage_ns.priors.coded import CodedPrior, PriorError, atlas_key
from sage_ns.priors.models import ModelSettings, model_of
from sage_ns.priors.people import canonical_views, check_people
from sage_ns.priors.person_fit import PersonFitSettings, fit_person
from sage_ns.priors.sitter import reference_atlas, reference_head, sit
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.progress import tracked


@dataclass(frozen=True)
class FitSettings:
    """How the people are fitted that a prior is learned from."""

    num_places: int = 12_000
    """Places of the atlas; 12,000 on the CPU, 65,536 on CUDA."""
    seed: int = 0
    """Of the order of pictures and of backgrounds."""
    num_first: int = 8
    """People who are fitted one after the other; all others start from their mean."""
    person: PersonFitSettings = field(default_factory=PersonFitSettings)


@dataclass(frozen=True)
class PersonToFit:
    """One person of those that a prior is learned from."""

    name: str
    """That no other person has."""
    options: CaptureOptions
    file: Path
    """Of the fit."""
    key: str
    """Identifies all that the fit depends on; stored in the file."""
    before: tuple[Path, ...]
    """Fits whose mean this one starts from; none: from grey."""


FitPeople = Callable[[Sequence[PersonToFit], FitSettings, str], None]
"""Fits people, who do not depend on each other, on a device, and writes their files."""


@dataclass(frozen=True)
class Learned:
    """What `learn_prior` did."""

    prior: CodedPrior
    num_fitted: int
    """People who were fitted now."""
    num_kept: int
    """People whose fits an earlier run had kept."""


def fit_people(people: Sequence[PersonToFit], settings: FitSettings, device: str) -> None:
    """Fit people in this process, one after the other, and write their files.

    Raises:
        SageError: a capture cannot be used.
        WriteError: a file cannot be written.
    """
    with tracked(people, "Fitting people") as shown:
        for person in shown:
            fit_to_file(person, settings, device)


def fit_to_file(person: PersonToFit, settings: FitSettings, device: str) -> None:
    """Fit a person and write the file; those that this one starts from are there.

    Raises:
        SageError: the capture, or a fit that this one starts from, cannot be used.
        WriteError: the file cannot be written.
    """
    atlas = reference_atlas(settings.num_places)
    steps = settings.person.steps if person.before else settings.person.first_steps
    if person.before:
        start = torch.stack([_read(path, settings)[1] for path in person.before]).mean(dim=0)
    else:
        start = first_attributes(atlas, atlas.points(reference_head().v_template, reference_head()))
    generator = torch.Generator().manual_seed(settings.seed)
    sitter = sit(*canonical_views(person.options), settings.num_places, device)
    attributes = fit_person(sitter, start, settings.person, steps, generator)
    write_npz(person.file, {"key": np.array(person.key), "attributes": attributes.numpy()})


def learn_prior(
    captures: Sequence[CaptureOptions],
    fits: Path,
    settings: FitSettings,
    model: ModelSettings,
    device: str = "cpu",
    fit_others: FitPeople = fit_people,
) -> Learned:
    """Fit the people of some captures and learn a prior from them.

    Args:
        captures: one per person, at least two.
        fits: folder of the people's fits; those that are there and belong to the same capture and settings are used.
        settings: how people are fitted.
        model: what is learned from the people once they are fitted.
        device: where people are fitted and the model is learned: cpu or cuda.
        fit_others: fits all but the first people.

    Raises:
        SageError: fewer than two captures, one is given twice, or one cannot be used; before any person is fitted.
        WriteError: the folder cannot be written.
    """
    kind = model_of(model.model)
    names = check_people(captures, kind.learns_motion)
    everyone = list(zip(names, captures, strict=True))
    first, num_fitted = _first_people(everyone[: settings.num_first], fits, settings, device)
    before = tuple(person.file for person in first)
    others = [_person(*each, fits, settings, before) for each in everyone[settings.num_first :]]
    missing = [person for person in others if not is_fitted(person, settings)]
    if missing:
        fit_others(missing, settings, device)
    people = torch.stack([_read(person.file, settings)[1] for person in (*first, *others)])
    prior = kind.learn_from(people, captures, model, fits, device)
    num_fitted += len(missing)
    return Learned(prior, num_fitted, len(names) - num_fitted)


def _first_people(
    everyone: Sequence[tuple[str, CaptureOptions]], fits: Path, settings: FitSettings, device: str
) -> tuple[list[PersonToFit], int]:
    """Fit people one after the other; returns them, and how many were fitted now."""
    people: list[PersonToFit] = []
    num_fitted = 0
    with tracked(everyone, "Fitting the first people") as shown:
        for name, options in shown:
            person = _person(name, options, fits, settings, tuple(each.file for each in people))
            if not is_fitted(person, settings):
                fit_to_file(person, settings, device)
                num_fitted += 1
            people.append(person)
    return people, num_fitted


def _person(
    name: str, options: CaptureOptions, fits: Path, settings: FitSettings, before: tuple[Path, ...]
) -> PersonToFit:
    """Return a person with the key of all that the fit depends on: settings, atlas, tracking, and those before."""
    digest = hashlib.sha256(repr((settings.seed, settings.person, options.downscale_factor)).encode())
    digest.update(atlas_key(settings.num_places).encode())
    for path in (*sorted(options.data.glob("transforms*.json")), *before):
        digest.update(path.name.encode() + path.read_bytes())
    return PersonToFit(name, options, fits / f"{name}.npz", digest.hexdigest()[:32], before)


def is_fitted(person: PersonToFit, settings: FitSettings) -> bool:
    """Return whether an earlier run kept this fit: not damaged, and of the same settings."""
    if person.file.exists():
        with suppress(SageError):
            return _read(person.file, settings)[0] == person.key
    return False


def _read(path: Path, settings: FitSettings) -> tuple[str, Float[Tensor, "num_places 9"]]:
    """Return key and attributes of a fit."""
    read = ArrayFields(str(path), read_npz(path, PriorError), PriorError)
    return read.text("key"), read.floats("attributes", f"{settings.num_places} {NUM_ATTRIBUTES}")
