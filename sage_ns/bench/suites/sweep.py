"""Tables and plots of suites that change one number: rows of several methods for each value of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.suites.figures import over_seeds, psnr, quality
from sage_ns.bench.suites.registry import Suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.result import View
    from sage_ns.bench.sheet import Sheet


@dataclass(frozen=True)
class Sweep:
    """Rows of the same methods at several values of one number."""

    number: str
    """name of the number: "training moments"."""
    rows: Mapping[str, Mapping[int, str]]
    """row by method and value"""
    views: Mapping[View, str]
    """views to show, and their names"""

    @property
    def values(self) -> list[int]:
        """All values, ascending."""
        return sorted({value for rows in self.rows.values() for value in rows})

    def names(self) -> list[str]:
        """Return all rows: by value, then by method."""
        return [rows[value] for value in self.values for rows in self.rows.values() if value in rows]

    def sheet(self, measured: Measured, title: str) -> Sheet:
        """Return a table with one line for each value."""
        from sage_ns.bench.sheet import Sheet

        headings = [self.number]
        for method in self.rows:
            for name in self.views.values():
                headings += [f"{method}, {name}", "its face"]
        lines = []
        for value in self.values:
            line = [str(value)]
            for rows in self.rows.values():
                summary = measured.summaries.get(rows.get(value, ""))
                line += [quality(summary, view, region) for view in self.views for region in ("", "_face")]
            lines.append(line)
        return Sheet(f"{measured.facts.name}: {title}, PSNR / SSIM{over_seeds(measured)}", headings, lines)

    def plot(self, measured: Measured, title: str) -> Figure:
        """Return a plot of the PSNR of the first view: a line for each method, a dashed one for its face."""
        from sage_ns.bench.plots import Line, line_plot

        view, name = next(iter(self.views.items()))
        lines = []
        for color, (method, rows) in enumerate(self.rows.items()):
            for region in ("", "_face"):
                points = [
                    (value, figure)
                    for value in self.values
                    if (figure := psnr(measured.summaries.get(rows.get(value, "")), view, region)) is not None
                ]
                lines.append(
                    Line(
                        f"{method}{', face' if region else ''}",
                        [value for value, _ in points],
                        [figure.mean for _, figure in points],
                        [figure.deviation for _, figure in points],
                        color,
                        dashed=bool(region),
                    )
                )
        heading = f"{measured.facts.name}: {title}"
        return line_plot(heading, self.number, f"PSNR of {name} [dB]", lines, every_value=True)


def counts(asked: Sequence[int], most: int) -> list[int]:
    """Return the asked numbers below ``most``, then ``most`` itself."""
    return [*(each for each in asked if each < most), most]


class SweepSuite(Suite):
    """A suite that changes one number."""

    title: ClassVar[str]
    """Title of table and plot: "self-reenactment by the number of training moments"."""

    @abstractmethod
    def sweep(self, facts: CaptureFacts) -> Sweep:
        """Return the rows for each value that the capture has.

        Raises:
            SageError: the capture has one value alone.
        """

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return the rows of all values."""
        return self.sweep(facts).names()

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each value."""
        return self.sweep(measured.facts).sheet(measured, self.title)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR of the first view against the number."""
        return self.sweep(measured.facts).plot(measured, self.title)
