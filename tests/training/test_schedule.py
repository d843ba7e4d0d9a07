"""Phases in their order: whose step it is, when each begins and ends, and how steps are divided among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch

from sage_ns.training.phase import PhaseStep
from sage_ns.training.schedule import PhaseSteps, Schedule, settle_steps


class Recording:
    """A phase that only records its calls."""

    name: ClassVar[str] = "recording"
    title: ClassVar[str] = "Recording"

    def __init__(self, num_steps: int, log: list[tuple[str, int]], number: int) -> None:
        self.num_steps, self.log, self.number = num_steps, log, number

    def begin(self) -> None:
        self.log.append(("begin", self.number))

    def step(self, step: int) -> PhaseStep:
        self.log.append((f"step {step}", self.number))
        return PhaseStep(torch.zeros(1, 1, 3), {}, torch.tensor(float(step)))

    def after_step(self, step: int, optimizers: Mapping[str, Any]) -> None:
        self.log.append((f"after {step}", self.number))

    def end(self, optimizers: object) -> None:
        self.log.append(("end", self.number))


def run(lengths: list[int], steps: range) -> list[tuple[str, int]]:
    log: list[tuple[str, int]] = []
    schedule = Schedule([Recording(length, log, number) for number, length in enumerate(lengths)])
    for step in steps:
        schedule.step(step)
        schedule.after_step(step, {})
    return log


def test_each_phase_begins_and_ends_once_and_the_last_goes_on():
    log = run([2, 1, 1], range(5))
    assert log == [
        *[("begin", 0), ("step 0", 0), ("after 0", 0), ("step 1", 0), ("after 1", 0), ("end", 0)],
        *[("begin", 1), ("step 2", 1), ("after 2", 1), ("end", 1)],
        *[("begin", 2), ("step 3", 2), ("after 3", 2), ("end", 2), ("step 4", 2), ("after 4", 2)],
    ]


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_resumed_schedule_goes_on_where_it_was(stop: int):
    def without_begin(log: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return [each for each in log if each[0] != "begin"]

    resumed = run([2, 3], range(stop, 6))
    assert resumed[0] == ("begin", 0 if stop < 2 else 1), "each process begins the phase that it enters"
    assert without_begin(run([2, 3], range(stop))) + without_begin(resumed) == without_begin(run([2, 3], range(6)))


PRESET = {"first": 2000, "second": 600, "third": 200}


@pytest.mark.parametrize(
    ("asked", "total", "begun", "steps"),
    [
        ((None, None, None), None, None, (2000, 600, 200)),
        ((None, None, None), 280, None, (200, 60, 20)),
        ((100, None, None), 900, None, (100, 600, 200)),
        ((100, None, 0), None, None, (100, 600, None)),
        ((None, 0, 0), 50, None, (50, None, None)),
        # A training that is resumed has its borders where they were, but the last phase may grow.
        ((None, None, None), 1000, {"first": 70, "second": 30, "third": 10}, (70, 30, 900)),
        ((None, None, None), None, {"first": 70, "second": 30, "third": 10}, (70, 30, 200)),
        ((80, None, None), None, {"first": 70}, (80, 600, 200)),
        # Fewer steps than the first phase has: its border stays where it was asked for.
        ((500, None, None), 100, None, (500, 0, 0)),
    ],
)
def test_steps_are_divided(
    asked: tuple[int | None, ...], total: int | None, begun: dict[str, int] | None, steps: tuple[int | None, ...]
):
    found, in_all = settle_steps(dict(zip(PRESET, asked, strict=True)), PRESET, total, begun)
    assert found == {name: length for name, length in zip(PRESET, steps, strict=True) if length is not None}
    assert in_all == (sum(found.values()) if total is None else total)


def test_settled_steps_stay_settled():
    for total in (1, 2, 7, 80, 281):
        steps, in_all = settle_steps(dict.fromkeys(PRESET), PRESET, total)
        assert settle_steps({**dict.fromkeys(PRESET, 0), **steps}, PRESET, in_all) == (
            {name: length for name, length in steps.items() if length},
            total,
        )


def test_a_training_without_steps_is_refused():
    with pytest.raises(ValueError, match="every phase has 0 steps"):
        settle_steps({"first": 0}, PRESET, None)


def test_settings_are_named_as_the_phases_are():
    from sage_ns.plugin.presets import PRESETS
    from sage_ns.training.phases import PHASES

    assert list(PhaseSteps().by_name()) == list(PHASES)
    assert all(list(preset.steps) == list(PHASES) for preset in PRESETS.values())
