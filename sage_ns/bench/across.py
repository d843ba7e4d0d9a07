"""Summaries over captures: each row's mean, spread and worst capture, and differences of rows capture by capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sage_ns.bench.facekit_people import EXACT
from sage_ns.bench.result import Result, View
from sage_ns.bench.rows import SAGE, in_order
from sage_ns.bench.summary import figure_of, gap_closed
from sage_ns.evaluation.figures import measure_of


@dataclass(frozen=True)
class Spread:
    """One figure of one row over captures; a capture's value is the mean over its seeds."""

    mean: float
    deviation: float | None
    """standard deviation (of a sample); None with a single capture"""
    worst: float
    worst_capture: str
    num_captures: int


@dataclass(frozen=True)
class Group:
    """Captures that are summarised together."""

    title: str
    captures: tuple[str, ...]


def larger_is_better(name: str) -> bool:
    """Return whether larger values of a figure are better; True for what is not a quality."""
    measure = measure_of(name)
    return measure is None or measure.larger_is_better


def by_capture(results: Sequence[Result], row: str, view: View, name: str) -> dict[str, float]:
    """Return a figure of a row by capture, as means over seeds; captures without the figure are left out."""
    values: dict[str, list[float]] = {}
    for result in results:
        if result.row == row:
            figures = result.figures(view)
            if name in figures:
                values.setdefault(result.capture, []).append(figures[name])
    return {capture: fmean(each) for capture, each in values.items()}


def spread(values: Mapping[str, float], name: str) -> Spread | None:
    """Return mean, standard deviation and worst of a figure by capture; None without captures.

    Args:
        values: figure by capture.
        name: name of the figure, which determines whether the smallest or the largest is the worst.
    """
    if not values:
        return None
    worst = (min if larger_is_better(name) else max)(values, key=lambda capture: values[capture])
    figure = figure_of(list(values.values()))
    return Spread(figure.mean, figure.deviation, values[worst], worst, len(values))


def difference(
    results: Sequence[Result], row: str, other: str, view: View, name: str, captures: Sequence[str]
) -> Spread | None:
    """Return the spread of ``row - other`` over the captures that both rows have; None if there are none.

    Differences within a capture are much smaller than those between captures: they say what a row changes.
    """
    mine, theirs = (by_capture(results, each, view, name) for each in (row, other))
    differences = {each: mine[each] - theirs[each] for each in captures if each in mine and each in theirs}
    return spread(differences, name)


def gap_closed_over(
    results: Sequence[Result], single: str, multi: str, view: View, name: str, captures: Sequence[str]
) -> float | None:
    """Return the closed gap of the means over captures: mean(sage - single) / mean(multi - single).

    A mean of the captures' own ratios would be determined by captures that hardly have a gap. None if there is no gap.
    """
    gain = difference(results, SAGE, single, view, name, captures)
    gap = difference(results, multi, single, view, name, captures)
    if gain is None or gap is None:
        return None
    return gap_closed(0.0, gap.mean, gain.mean, larger_is_better(name))


def groups_of(captures: Sequence[str]) -> list[Group]:
    """Return the groups of captures: those tracked exactly, by the end of the name, apart from the others."""
    exact = tuple(each for each in captures if each.endswith(EXACT))
    others = tuple(each for each in captures if not each.endswith(EXACT))
    if not exact:
        return [Group(f"{len(others)} captures", others)]
    parts = (("tracked with noise", others), ("tracked without noise", exact))
    return [Group(f"{len(each)} captures {title}", each) for title, each in parts if each]


def rows_of(results: Sequence[Result]) -> list[str]:
    """Return the rows that have results, in the order of the tables."""
    return in_order(each.row for each in results)
