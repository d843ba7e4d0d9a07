"""Table and plot of suites that compare rows by novel view and self-reenactment."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.suites.figures import quality_plot, quality_sheet
from sage_ns.bench.suites.registry import Suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import Measured
    from sage_ns.bench.sheet import Sheet


class ComparisonSuite(Suite):
    """A suite that compares rows by novel view and self-reenactment."""

    title: ClassVar[str]
    """Title of table and plot."""

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row."""
        return quality_sheet(measured, self.title)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR by row."""
        return quality_plot(measured, self.title)
