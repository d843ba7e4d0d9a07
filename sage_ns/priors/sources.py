"""What completes a person where the pictures show nothing: `people`, `fill`, or the file of a prior over people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sage_ns.avatar.completion.fill import fill
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import CaptureError
from sage_ns.motion.source import MotionSource
from sage_ns.priors.coded import PriorError, load_prior
from sage_ns.priors.contract import FittedPerson, Prior
from sage_ns.rig.correspondence import RegistrationError
from sage_ns.system.console import console, escape
from sage_ns.training.config import NOTHING, LearnerConfig, require

FILL, PEOPLE = "fill", "people"

SHIPPED = Path(__file__).with_name("people.npz")
"""The prior that comes with this package; docs/priors.md says who is in it."""


@dataclass(frozen=True)
class Fill:
    """Completes a person without knowledge of others, see `sage_ns.avatar.completion.fill`.

    Args:
        num_surfels: number of surfels.
        hair_reach: largest thickness of hair [metres].
    """

    num_surfels: int
    hair_reach: float

    def fit(
        self, record: CaptureRecord, views: Sequence[Shot], sh_degree: int, generator: torch.Generator
    ) -> FittedPerson:
        """Return the person whom the first of the views shows.

        Raises:
            CaptureError: there are no views with a mask.
        """
        if not views:
            raise CaptureError("Completing a person needs a picture with a mask; the capture has none. Make masks.")
        rig = PersonalRig(record.head_model, record.flame_params)
        motion = MotionSource(record.flame_params, record.timesteps, record.canonical_row).canonical()
        filled = fill(
            *(rig.head_model, motion, rig.vertices(motion), views[0]),
            *(self.num_surfels, self.hair_reach, sh_degree, generator),
        )
        return FittedPerson(filled.surfels, filled.seen.float())


@dataclass(frozen=True)
class People:
    """Completes a person by a prior, or by `Fill` where the rig is no head that the prior's atlas fits on.

    Args:
        prior: knows other people.
        otherwise: completes the person if the rig cannot be registered.
    """

    prior: Prior
    otherwise: Prior

    def fit(
        self, record: CaptureRecord, views: Sequence[Shot], sh_degree: int, generator: torch.Generator
    ) -> FittedPerson:
        """Return the person whom the views show.

        Raises:
            SageError: there are no views with a mask.
        """
        state = generator.get_state()
        try:
            return self.prior.fit(record, views, sh_degree, generator)
        except RegistrationError as error:
            console().print(
                f"[yellow]The prior over people does not fit this head model:[/yellow] {escape(str(error))} What the "
                f"pictures do not show is completed without it, as by --pipeline.model.complete-from {FILL}.",
                soft_wrap=True,
            )
            generator.set_state(state)
            return self.otherwise.fit(record, views, sh_degree, generator)


def _fill(config: LearnerConfig) -> Fill:
    return Fill(require(config.num_surfels, "num_surfels"), config.hair_reach)


SOURCES: Mapping[str, Callable[[LearnerConfig], Prior]] = {
    PEOPLE: lambda config: People(load_prior(SHIPPED), _fill(config)),
    FILL: _fill,
}
"""Sources by name. Every other text is the file of a prior."""


def open_source(text: str, config: LearnerConfig) -> Prior:
    """Return the source of a name in `SOURCES`, or the prior of a file.

    Raises:
        PriorError: the text is no name and no file, or the file is no prior.
    """
    if text in SOURCES:
        return SOURCES[text](config)
    path = Path(text).expanduser()
    if not path.is_file():
        names = ", ".join((NOTHING, *SOURCES))
        raise PriorError(f"--pipeline.model.complete-from {path} is no file; give {names}, or a file of sage-prior.")
    return load_prior(path)
