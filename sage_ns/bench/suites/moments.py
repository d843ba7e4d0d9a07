"""Suite ``fig15``: how many training moments a method needs (the paper's Fig. 15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import MULTI, SAGE, SAGE_MULTI, SINGLE
from sage_ns.bench.suites.registry import register_suite
from sage_ns.bench.suites.sweep import Sweep, SweepSuite, counts
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.bench.measured import CaptureFacts

NUMBERS = (1, 2, 4, 8, 16)
"""Numbers of moments, besides all."""


@register_suite
class Moments(SweepSuite):
    """Surfels and SAGE on 1, 2, 4, 8, 16 and all training moments; with one moment these are the rows of the table."""

    name: ClassVar[str] = "fig15"
    summary: ClassVar[str] = "self-reenactment by the number of training moments (1, 2, 4, 8, 16, all)"
    title: ClassVar[str] = "self-reenactment by the number of training moments"

    def sweep(self, facts: CaptureFacts) -> Sweep:
        """Return rows for each number of moments that the capture has.

        Raises:
            SageError: the capture has one training moment.
        """
        most = len(facts.cameras)
        if most < 2:
            raise SageError(
                f"{facts.folder}: the suite fig15 compares numbers of training moments, and the capture has {most}. "
                "Give a capture with more training moments."
            )

        def rows(method: str, one: str, every: str) -> dict[int, str]:
            ends = {1: one, most: every}
            return {number: ends.get(number, f"{method}-{number}-moments") for number in counts(NUMBERS, most)}

        return Sweep(
            "training moments",
            {"surfels": rows("surfels", SINGLE, MULTI), "sage": rows(SAGE, SAGE, SAGE_MULTI)},
            {"all": "all cameras", "frontal": "frontal camera"},
        )
