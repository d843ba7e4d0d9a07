"""``sage-prior``: learn what people look like from captures of many, score a prior, or describe it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.options import CLUSTER, CORES_PER_JOB
from sage_ns.cli.prior_predictor import PREDICTOR, LearnPredictor
from sage_ns.cli.prior_score import Score
from sage_ns.errors import OptionError, SageError
from sage_ns.priors.models import ModelSettings, describe_models, models
from sage_ns.priors.models.decoder import DecoderSettings
from sage_ns.priors.models.linear import LinearSettings
from sage_ns.priors.models.uv import UvSettings
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.priors.coded import CodedPrior
    from sage_ns.priors.learning import FitPeople, FitSettings

    ModelName = str
else:
    ModelName = tyro.extras.literal_type_from_choices([*(model.name for model in models()), PREDICTOR])

_MODELS = f"{describe_models()}. {PREDICTOR}: has a command of its own, sage-prior learn-predictor"


@dataclass
class Learn:
    """Learn a prior from captures of many people, each with several pictures of one moment and masks.

    The first eight people are fitted one after the other, each from the mean of those before; all others start from
    the mean of these, and with --cluster they are fitted at the same time. The fits are kept in a folder beside the
    prior. A run that was stopped goes on with the people who are missing, and a later run with more captures fits only
    these.
    """

    captures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders of captures in VHAP's layout, one for each person; at least two"""
    output: Path
    """npz file to write"""
    head_model: Path | None = None
    """head model file that all captures were tracked with; default: the one found near each capture"""
    downscale_factor: int = 1
    """average blocks of this many pixels along each side"""
    background: str = "white"
    """colour that the stored pictures are blended with: a name or #rrggbb"""
    num_places: int | None = None
    """places of the atlas, an even number; default: 12,000 on the CPU, 65,536 on CUDA"""
    model: Annotated[ModelName, tyro.conf.arg(help=_MODELS)] = LinearSettings.model
    linear: LinearSettings = field(default_factory=LinearSettings)
    """settings of the linear model"""
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    """settings of the decoder"""
    uv: UvSettings = field(default_factory=UvSettings)
    """settings of the uv model"""
    steps: int = 160
    """optimiser steps for each person, one picture each; the first person takes three times as many"""
    seed: int = 0
    """random seed of the order of the pictures and of their backgrounds"""
    device: str = "cpu"
    """where people are fitted: cpu or cuda"""
    cluster: Annotated[str, tyro.conf.arg(help=CLUSTER)] = "none"
    cores_per_job: Annotated[int | None, tyro.conf.arg(help=CORES_PER_JOB)] = None
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Fit the people, learn the prior and write it."""
        from sage_ns.capture.checked import CaptureOptions
        from sage_ns.priors.coded import save_checked
        from sage_ns.priors.learning import learn_prior
        from sage_ns.system.files import refuse_existing

        self.check()
        refuse_existing([self.output], self.overwrite)
        captures = [
            CaptureOptions(folder, self.head_model, downscale_factor=self.downscale_factor, background=self.background)
            for folder in self.captures
        ]
        fits = self.output.with_suffix(".people")
        with self._fitting(console) as fit_others:
            learned = learn_prior(captures, fits, self._settings(), self.model_settings(), self.device, fit_others)
        size = save_checked(learned.prior, self.output)
        kept = f"{learned.num_kept} kept from earlier runs in {escape(str(fits))}"
        console.print(f"people      {learned.num_fitted} fitted, {kept}", soft_wrap=True)
        _show(console, self.output, learned.prior, size)

    @contextmanager
    def _fitting(self, console: Console) -> Iterator[FitPeople]:
        """What fits all but the first people: this process, or jobs."""
        from sage_ns.priors.learning import fit_people

        if self.cluster == "none":
            yield fit_people
            return
        from sage_ns.batch.people import fit_in_jobs
        from sage_ns.jobs.cluster import open_workplace

        with open_workplace(self.cluster, self.cores_per_job, console) as workplace:
            yield partial(fit_in_jobs, workplace=workplace, console=console)

    def _settings(self) -> FitSettings:
        from sage_ns.avatar.atlas import PLACES_ON_CPU, PLACES_ON_CUDA
        from sage_ns.priors.learning import FitSettings
        from sage_ns.priors.person_fit import PersonFitSettings

        places = self.num_places or (PLACES_ON_CUDA if self.device == "cuda" else PLACES_ON_CPU)
        person = PersonFitSettings(steps=self.steps, first_steps=3 * self.steps)
        return FitSettings(places, self.seed, person=person)

    def model_settings(self) -> ModelSettings:
        """Return the settings of the model that is learned: those of the field of its name."""
        return getattr(self, self.model)

    def check(self) -> None:
        """Check all settings.

        Raises:
            SageError: A setting is out of range; names the setting, its value and the range.
        """
        from sage_ns.system.devices import check_device

        if self.model == PREDICTOR:
            raise OptionError(
                "a predictor learns from drawn people of a head model, not from fits of captures: run sage-prior "
                "learn-predictor OUT.npz, and give captures as --clips",
                model=self.model,
            )
        limits = (("downscale_factor", 1, 64), ("steps", 1, 100_000))
        for name, low, high in limits:
            found = getattr(self, name)
            if not low <= found <= high:
                raise OptionError(f"expected {low} to {high}", **{name: found})
        if self.num_places is not None and (self.num_places % 2 or not 100 <= self.num_places <= 1_000_000):
            raise OptionError("expected an even number of 100 to 1000000", num_places=self.num_places)
        check_device(self.device)
        self.model_settings().check()
        if self.output.suffix != ".npz":
            raise SageError(f"{self.output}: the prior is an npz file; give a name that ends in .npz")


@dataclass
class Inspect:
    """Check a prior's file and print what it holds."""

    prior: Annotated[Path, tyro.conf.Positional]
    """npz file that sage-prior learn wrote"""

    def run(self, console: Console) -> None:
        """Read the file and print places, modes, people and size."""
        from sage_ns.priors.coded import load_prior

        prior = load_prior(self.prior)
        console.print(f"people      {prior.num_people}")
        _show(console, self.prior, prior, self.prior.stat().st_size)


def _show(console: Console, path: Path, prior: CodedPrior, size: int) -> None:
    found = f"{prior.model}, {prior.num_places} places, {prior.describe()}, {size / 1e6:.1f} MB"
    console.print(f"prior       {escape(str(path))}: {found}", soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-prior``."""
    console = Console()
    command = tyro.extras.subcommand_cli_from_dict(
        {"learn": Learn, "learn-predictor": LearnPredictor, "score": Score, "inspect": Inspect},
        args=arguments,
        description=__doc__,
    )
    with explained(console):
        command.run(console)
