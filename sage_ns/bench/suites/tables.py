"""Suites ``table1`` and ``table3``: the methods, and SAGE without each of its parts (the paper's Tables I and III)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import GAUSSIANS_MULTI, GAUSSIANS_SINGLE, MULTI, ROWS, SAGE, SAGE_MULTI, SINGLE
from sage_ns.bench.suites.figures import possible_rows, quality_plot, quality_sheet
from sage_ns.bench.suites.registry import Suite, register_suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

METHODS = (SINGLE, MULTI, GAUSSIANS_SINGLE, GAUSSIANS_MULTI, "sage-paper", SAGE, SAGE_MULTI)
"""Rows of ``table1``."""


class _Comparison(Suite):
    """A suite that compares rows by novel view and self-reenactment."""

    title: ClassVar[str]

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row."""
        return quality_sheet(measured, self.title)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR by row."""
        return quality_plot(measured, self.title)


@register_suite
class Methods(_Comparison):
    """All methods, with one moment and with all."""

    name: ClassVar[str] = "table1"
    summary: ClassVar[str] = "all methods on one moment and on all moments"
    title: ClassVar[str] = "methods"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return one row for each method and choice of moments; a capture of one moment has no rows of all."""
        return possible_rows(facts, METHODS)


@register_suite
class Ablations(_Comparison):
    """SAGE, and SAGE without each of its parts."""

    name: ClassVar[str] = "table3"
    summary: ClassVar[str] = "SAGE without each of its parts"
    title: ClassVar[str] = "SAGE without its parts"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return ``sage``, then all named rows that leave a part out."""
        return [SAGE, *(name for name in ROWS if name.startswith(f"{SAGE}-no-"))]
