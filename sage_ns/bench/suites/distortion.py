"""Suite ``fig11``: depth distortion of posed heads over phase 2, with and without correction (the paper's Fig. 11)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float

from sage_ns.bench.rows import SAGE
from sage_ns.bench.suites.registry import Suite, register_suite

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

ROWS = {SAGE: "with correction", "sage-no-correction": "without correction"}
"""Compared rows and their names in the plot."""
_SHARE = 0.1
"""Share of phase 2 that the smoothing averages, and that counts as its begin and end."""


@register_suite
class Distortion(Suite):
    """The curve of the loss ``depth_distortion`` on posed heads, recorded during training."""

    name: ClassVar[str] = "fig11"
    summary: ClassVar[str] = "depth distortion of posed heads over phase 2, with and without correction"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return the two rows."""
        return list(ROWS)

    def sheet(self, measured: Measured) -> Sheet:
        """Return the loss at the begin and at the end of phase 2, means over a tenth of its posed heads."""
        from sage_ns.bench.sheet import Sheet

        lines = []
        for row, name in ROWS.items():
            curves = _curves(measured, row)
            ends = [_ends(values) for _, values in curves]
            cells = [f"{fmean(each[i] for each in ends):.3g}" for i in (0, 1)] if ends else ["-", "-"]
            lines.append([row, name, *cells])
        title = f"{measured.facts.name}: loss depth_distortion of posed heads in phase 2"
        return Sheet(title, ("row", "", "first tenth", "last tenth"), lines)

    def plot(self, measured: Measured) -> Figure:
        """Return the smoothed curves, one for each row and seed."""
        from sage_ns.bench.loss_curve import smoothed
        from sage_ns.bench.plots import Line, line_plot

        lines = []
        for color, (row, name) in enumerate(ROWS.items()):
            for index, (steps, values) in enumerate(_curves(measured, row)):
                smooth = smoothed(values, max(1, round(_SHARE * len(values))))
                label = name if index == 0 else f"_{name}"  # matplotlib leaves out labels with an underscore
                lines.append(Line(label, steps.tolist(), smooth.tolist(), color=color, marked=False))
        return line_plot(f"{measured.facts.name}: posed heads in phase 2", "step", "depth distortion (loss)", lines)


def _curves(measured: Measured, row: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return steps and losses of each seed; trainings of earlier versions and with too few steps have none."""
    from sage_ns.bench.loss_curve import read_curve

    found = [read_curve(job.training_folder) for job, _ in measured.of_row(row)]
    return [curve for curve in found if curve is not None and len(curve[0])]


def _ends(values: Float[np.ndarray, "n"]) -> tuple[float, float]:
    count = max(1, round(_SHARE * len(values)))
    return float(values[:count].mean()), float(values[-count:].mean())
