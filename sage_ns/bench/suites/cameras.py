"""Suite ``sparse``: how many cameras a method needs (the paper's experiment with sparse views)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import SAGE, SINGLE
from sage_ns.bench.suites.registry import Suite, register_suite
from sage_ns.bench.suites.sweep import Sweep, counts
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

NUMBERS = (1, 2, 3, 5, 8, 15)
"""Numbers of cameras, besides all."""

_TITLE = "novel view and self-reenactment by the number of training cameras"


@register_suite
class Cameras(Suite):
    """Surfels and SAGE on one moment with 1, 2, 3, 5, 8, 15 and all training cameras."""

    name: ClassVar[str] = "sparse"
    summary: ClassVar[str] = "novel view and self-reenactment by the number of cameras (1, 2, 3, 5, 8, 15, all)"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return rows for each number of cameras that the canonical moment has.

        Raises:
            SageError: one camera films the canonical moment.
        """
        return _sweep(facts).names()

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each number of cameras."""
        return _sweep(measured.facts).sheet(measured, _TITLE)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR of the novel view against the number of cameras."""
        return _sweep(measured.facts).plot(measured, _TITLE)


def _sweep(facts: CaptureFacts) -> Sweep:
    most = len(facts.cameras[facts.canonical])
    if most < 2:
        raise SageError(
            f"{facts.folder}: the suite sparse compares numbers of cameras, and {most} camera films the canonical "
            f"timestep {facts.canonical}. Give a capture with more cameras."
        )

    def rows(method: str, every: str) -> dict[int, str]:
        return {number: every if number == most else f"{method}-{number}-cameras" for number in counts(NUMBERS, most)}

    return Sweep(
        "training cameras",
        {"surfels": rows("surfels", SINGLE), "sage": rows(SAGE, SAGE)},
        {"novel_view": "novel view", "all": "self-reenactment"},
    )
