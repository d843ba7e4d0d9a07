"""Figures of the rows over seeds, the share of the gap that SAGE closes, and the paper's figures for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from sage_ns.bench.result import VIEWS, Result, View
from sage_ns.bench.rows import GAUSSIANS_MULTI, GAUSSIANS_SINGLE, MULTI, SAGE, SINGLE, in_order
from sage_ns.evaluation.figures import measure_of

FIGURES = ("psnr", "ssim", "lpips")

SURFELS, GAUSSIAN_AVATARS = "surfels", "gaussian-avatars"
BASELINES: Mapping[str, tuple[str, str]] = {
    SURFELS: (SINGLE, MULTI),
    GAUSSIAN_AVATARS: (GAUSSIANS_SINGLE, GAUSSIANS_MULTI),
}
"""Baselines whose gap between one moment and all moments SAGE closes: their rows of one moment and of all."""

PAPER_EXPRESSIONS: Mapping[View, Mapping[str, tuple[float, float, float]]] = {
    "frontal": {
        GAUSSIANS_SINGLE: (17.75, 0.825, 0.200),
        GAUSSIANS_MULTI: (25.94, 0.922, 0.079),
        SAGE: (25.41, 0.896, 0.085),
    },
    "all": {
        GAUSSIANS_SINGLE: (17.23, 0.823, 0.215),
        GAUSSIANS_MULTI: (25.32, 0.903, 0.084),
        SAGE: (24.27, 0.879, 0.094),
    },
}
"""Novel expressions in arXiv 2606.05912, Table I: PSNR, SSIM, LPIPS. The paper's baseline is GaussianAvatars."""

PAPER_ABLATIONS: Mapping[str, tuple[float, float]] = {
    SAGE: (33.79, 26.64),
    "sage-no-networks": (33.95, 24.72),
    "sage-no-self-supervision": (34.14, 22.18),
    "sage-no-correction": (33.79, 25.42),
}
"""Table III: PSNR of novel view and self-reenactment."""


@dataclass(frozen=True)
class Figure:
    """A figure over seeds."""

    mean: float
    deviation: float | None
    """standard deviation (of a sample); None with a single seed"""


@dataclass(frozen=True)
class RowSummary:
    """One row of one capture over all seeds."""

    row: str
    figures: Mapping[View, Mapping[str, Figure]]
    """figures by view and name"""
    seconds: Figure
    """seconds of the training"""
    phase_seconds: Mapping[str, Figure]
    peak_bytes: int
    """largest peak memory of all seeds"""
    num_surfels: int


def summarise(results: Sequence[Result]) -> list[RowSummary]:
    """Return one summary for each row that has results, in the order of :func:`sage_ns.bench.rows.in_order`."""
    summaries = []
    for row in in_order(each.row for each in results):
        chosen = [each for each in results if each.row == row]
        summaries.append(
            RowSummary(
                row=row,
                figures={view: _over_seeds([each.figures(view) for each in chosen]) for view in VIEWS},
                seconds=figure_of([sum(each.seconds.values()) for each in chosen]),
                phase_seconds=_over_seeds([each.seconds for each in chosen]),
                peak_bytes=max(each.peak_bytes for each in chosen),
                num_surfels=chosen[0].num_surfels,
            )
        )
    return summaries


def _over_seeds(samples: Sequence[Mapping[str, float]]) -> dict[str, Figure]:
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: figure_of([sample[name] for sample in samples if name in sample]) for name in names}


def figure_of(values: Sequence[float]) -> Figure:
    """Return mean and standard deviation of at least one value."""
    return Figure(fmean(values), stdev(values) if len(values) > 1 else None)


def gap_closed(single: float, multi: float, sage: float, larger_is_better: bool = True) -> float | None:
    """Return ``(sage - single) / (multi - single)``: the share of the gap between one moment and all that SAGE closes.

    1 = SAGE with one moment equals the baseline with all moments. None if the baseline with all moments is not better
    than with one: there is no gap.
    """
    gap = multi - single if larger_is_better else single - multi
    return (sage - single) / (multi - single) if gap > 0 else None


def gaps_closed(summaries: Sequence[RowSummary], baseline: str = SURFELS) -> dict[View, dict[str, float | None]]:
    """Return the closed gap by view and figure, from means over seeds; empty unless all three rows have results.

    Args:
        summaries: one for each row.
        baseline: name of one of `BASELINES`.
    """
    by_row = {each.row: each.figures for each in summaries}
    rows = (*BASELINES[baseline], SAGE)
    if not set(rows) <= set(by_row):
        return {}
    gaps: dict[View, dict[str, float | None]] = {"frontal": {}, "all": {}}
    for view, closed in gaps.items():
        single, multi, sage = (by_row[row][view] for row in rows)
        for name in single:
            measure = measure_of(name)
            if measure is not None and name in multi and name in sage:
                means = (single[name].mean, multi[name].mean, sage[name].mean)
                closed[name] = gap_closed(*means, measure.larger_is_better)
    return gaps


def paper_gap_closed(view: View, figure: str) -> float | None:
    """Return the closed gap in the paper's Table I, against GaussianAvatars; None for figures that it does not have."""
    if view not in PAPER_EXPRESSIONS or figure not in FIGURES:
        return None
    column = FIGURES.index(figure)
    rows = (*BASELINES[GAUSSIAN_AVATARS], SAGE)
    single, multi, sage = (PAPER_EXPRESSIONS[view][row][column] for row in rows)
    return gap_closed(single, multi, sage, figure != "lpips")
