"""What completes a person: by name, or the file of a prior."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.priors.contract import FittedPerson
from sage_ns.priors.sources import PEOPLE, Fill, People, open_source
from sage_ns.rig.correspondence import RegistrationError
from sage_ns.training.config import LearnerConfig
from tests.priors.people import people, photographed, record


class Misfit:
    """A prior that fits on no rig, and draws random numbers before it finds out."""

    def fit(
        self, record: CaptureRecord, views: Sequence[Shot], sh_degree: int, generator: torch.Generator
    ) -> FittedPerson:
        """Refuse."""
        torch.rand(5, generator=generator)
        raise RegistrationError("this head has no mouth.")


def test_where_the_prior_does_not_fit_the_rig_the_person_is_completed_without_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    views = photographed(people(1)[0], count=1)
    fill = Fill(200, 0.02)
    found = People(Misfit(), fill).fit(record(), views, 0, torch.Generator().manual_seed(3))
    alone = fill.fit(record(), views, 0, torch.Generator().manual_seed(3))
    assert torch.equal(found.surfels.means, alone.surfels.means)
    assert "this head has no mouth." in " ".join(capsys.readouterr().out.split())


def test_the_prior_that_comes_with_the_package_completes_a_person() -> None:
    source = open_source(PEOPLE, LearnerConfig(num_surfels=200))
    assert isinstance(source, People)
    found = source.fit(record(), photographed(people(1)[0], count=1), 0, torch.Generator().manual_seed(0))
    assert found.surfels.num_surfels == 12_000
    assert 0.1 < float(found.confidence.mean()) < 0.9
