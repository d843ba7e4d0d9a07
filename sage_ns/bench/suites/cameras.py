"""Suite ``sparse``: how many cameras a method needs (the paper's experiment with sparse views)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import SAGE, SINGLE
from sage_ns.bench.suites.registry import register_suite
from sage_ns.bench.suites.sweep import Sweep, SweepSuite, counts
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.bench.measured import CaptureFacts

NUMBERS = (1, 2, 3, 5, 8, 15)
"""Numbers of cameras, besides all."""


@register_suite
class Cameras(SweepSuite):
    """Surfels and SAGE on one moment with 1, 2, 3, 5, 8, 15 and all training cameras."""

    name: ClassVar[str] = "sparse"
    summary: ClassVar[str] = "novel view and self-reenactment by the number of cameras (1, 2, 3, 5, 8, 15, all)"
    title: ClassVar[str] = "novel view and self-reenactment by the number of training cameras"

    def sweep(self, facts: CaptureFacts) -> Sweep:
        """Return rows for each number of cameras that the canonical moment has.

        Raises:
            SageError: one camera films the canonical moment.
        """
        most = len(facts.cameras[facts.canonical])
        if most < 2:
            raise SageError(
                f"{facts.folder}: the suite sparse compares numbers of cameras, and {most} camera films the canonical "
                f"timestep {facts.canonical}. Give a capture with more cameras."
            )

        def rows(method: str, every: str) -> dict[int, str]:
            ends = {most: every}
            return {number: ends.get(number, f"{method}-{number}-cameras") for number in counts(NUMBERS, most)}

        return Sweep(
            "training cameras",
            {"surfels": rows("surfels", SINGLE), "sage": rows(SAGE, SAGE)},
            {"novel_view": "novel view", "all": "self-reenactment"},
        )
