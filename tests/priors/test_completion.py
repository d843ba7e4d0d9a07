"""From which surfels training starts when a source completes the person."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.priors import completion as module
from sage_ns.priors.completion import completion
from sage_ns.priors.contract import FittedPerson
from sage_ns.priors.sources import Fill
from sage_ns.training.config import NOTHING, LearnerConfig
from tests.priors.people import people, photographed, record

CONFIG = LearnerConfig(num_surfels=600, sh_degree=0, complete_from="somebody", residual_steps=3)


class Somebody:
    """A source that is sure of every third surfel."""

    person: FittedPerson

    def fit(
        self, record: CaptureRecord, views: Sequence[Shot], sh_degree: int, generator: torch.Generator
    ) -> FittedPerson:
        """Complete the person without other people."""
        surfels = Fill(300, 0.02).fit(record, views, sh_degree, generator).surfels
        self.person = FittedPerson(surfels, (torch.arange(300) % 3 == 0).float())
        return self.person


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Somebody:
    source = Somebody()
    monkeypatch.setattr(module, "open_source", lambda text, config: source)
    return source


def completed(count: int, seed: int = 0) -> BoundSurfels:
    complete = completion(CONFIG, seed)
    assert complete is not None
    return complete(record(), photographed(people(1)[0], count))


def test_from_one_picture_the_whole_person_is_the_source_s_with_a_smooth_change(somebody: Somebody) -> None:
    start = completed(1)
    assert torch.equal(start.triangle, somebody.person.surfels.triangle)


def test_from_several_pictures_the_source_tells_only_what_it_is_not_sure_that_they_show(somebody: Somebody) -> None:
    start = completed(3)
    unsure = somebody.person.surfels.rows(somebody.person.confidence < 0.5)
    assert unsure.num_surfels == 200
    last = torch.arange(start.num_surfels) >= start.num_surfels - 200
    assert torch.equal(start.rows(last).means, unsure.means)
    assert torch.equal(start.rows(last).sh_dc, unsure.sh_dc)
    own = start.rows(~last)
    # The cameras are in front: of 600 surfels drawn all over the head, those at the back are not kept.
    assert 100 < own.num_surfels < 550
    behind = record().head_model.v_template[record().head_model.triangles].mean(dim=1)[:, 2] < -0.08
    assert float(behind[own.triangle].float().mean()) < 0.02 < float(behind[unsure.triangle].float().mean())


def test_the_same_seed_gives_the_same_start(somebody: Somebody) -> None:
    first, second, other = completed(3, 1), completed(3, 1), completed(3, 2)
    assert torch.equal(first.means, second.means)
    assert first.means.shape != other.means.shape or not torch.equal(first.means, other.means)


def test_nobody_is_completed_without_a_source() -> None:
    assert completion(LearnerConfig(num_surfels=600, complete_from=NOTHING), 0) is None
