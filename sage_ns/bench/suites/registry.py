"""The registry of suites, and what a suite gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.system.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.job import Job
    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet


class Suite(ABC):
    """One experiment. ``sage-bench --suite`` offers every subclass that is decorated with `register_suite`."""

    name: ClassVar[str]
    """Value of ``--suite``, and name of its files."""
    summary: ClassVar[str]
    """What it measures, for help texts: "self-reenactment against the number of training moments"."""

    @abstractmethod
    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return the names of the rows to run on a capture.

        Raises:
            SageError: the experiment is not possible on this capture; nothing has been trained.
        """

    def measure(self, job: Job, facts: CaptureFacts) -> None:
        """Measure what only this suite needs of a finished job, and store it in the job's folder."""
        return  # most suites need nothing else

    @abstractmethod
    def sheet(self, measured: Measured) -> Sheet:
        """Return the table; rows that have failed are left out."""

    @abstractmethod
    def plot(self, measured: Measured) -> Figure:
        """Return the plot."""

    def across(self, measured: Sequence[Measured]) -> Sheet | None:
        """Return the table over all captures of the benchmark; None if the suite has none, as most."""
        return None


_REGISTRY: Registry[Suite] = Registry("suite")

register_suite = _REGISTRY.register
"""Class decorator: add a suite to ``sage-bench --suite``."""


def suites() -> list[Suite]:
    """Return all suites, in the order of their names."""
    return _REGISTRY.entries()


def suite_of(name: str) -> Suite:
    """Return a suite.

    Raises:
        SageError: there is no suite of that name; lists all names.
    """
    return _REGISTRY[name]


def describe_suites() -> str:
    """Return the names and summaries of all suites, for help texts."""
    return "; ".join(f"{suite.name} = {suite.summary}" for suite in suites())
