"""Cells and values of the suites' tables and plots, from the figures of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sage_ns.bench.rows import ROWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.result import View
    from sage_ns.bench.sheet import Sheet
    from sage_ns.bench.summary import Figure as SummaryFigure
    from sage_ns.bench.summary import RowSummary

_SHOWN = ("psnr", "ssim", "lpips")


def quality(summary: RowSummary | None, view: View, region: str = "") -> str:
    """Return PSNR / SSIM, and LPIPS if it was measured, of a view as one cell; "-" without a result.

    Args:
        summary: figures of a row, or None.
        view: view to show.
        region: "" = the whole picture, "_face" = the face.
    """
    from sage_ns.bench.sheet import figure_cells

    if summary is None:
        return "-"
    figures = summary.figures[view]
    return figure_cells(figures, *(name + region for name in _SHOWN if name != "lpips" or name in figures))


def psnr(summary: RowSummary | None, view: View, region: str = "") -> SummaryFigure | None:
    """Return the PSNR of a view [dB]; None without a result."""
    return None if summary is None else summary.figures[view].get(f"psnr{region}")


def possible_rows(facts: CaptureFacts, names: Sequence[str]) -> list[str]:
    """Return the rows that a capture can train: one with a single moment has no rows of several moments."""
    return [name for name in names if len(facts.cameras) > 1 or ROWS[name].frames == "single"]


def over_seeds(measured: Measured) -> str:
    """Return what a title says about the number of seeds; empty for one seed."""
    seeds = len({job.seed for job, _ in measured.done})
    return f", mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""


def quality_sheet(measured: Measured, title: str) -> Sheet:
    """Return a table of all rows: novel view, and self-reenactment of the frontal and of all cameras."""
    from sage_ns.bench.sheet import Sheet

    views: Sequence[View] = ("novel_view", "frontal", "all")
    headings = ("novel view", "its face", "frontal camera", "its face", "all cameras", "their faces")
    rows = [
        (row, *(quality(each, view, region) for view in views for region in ("", "_face")))
        for row, each in measured.summaries.items()
    ]
    return Sheet(f"{measured.facts.name}: {title}, PSNR / SSIM{over_seeds(measured)}", ("row", *headings), rows)


def quality_plot(measured: Measured, title: str) -> Figure:
    """Return a plot of all rows: PSNR of self-reenactment, whole pictures and faces."""
    from sage_ns.bench.plots import bar_plot

    def bars(view: View, region: str) -> list[float | None]:
        figures = [psnr(each, view, region) for each in measured.summaries.values()]
        return [None if figure is None else figure.mean for figure in figures]

    return bar_plot(
        f"{measured.facts.name}: {title}",
        "PSNR [dB]",
        list(measured.summaries),
        {
            "self-reenactment": bars("all", ""),
            "its faces": bars("all", "_face"),
            "novel view": bars("novel_view", ""),
        },
    )
