"""A table of plain text, and the cells of figures in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sage_ns.bench.figures import measure_of
from sage_ns.bench.summary import Figure


@dataclass(frozen=True)
class Sheet:
    """A table of plain text; the first column is aligned left, all others right."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def cell(figure: Figure | None, digits: int) -> str:
    """Return the text for a figure, with its deviation if there is one; "-" for None."""
    if figure is None:
        return "-"
    spread = "" if figure.deviation is None else f" ± {figure.deviation:.{digits}f}"
    return f"{figure.mean:.{digits}f}{spread}"


def figure_cells(figures: Mapping[str, Figure], *names: str) -> str:
    """Return the text for several figures, with slashes between them, each with the digits of its measure."""
    digits = [measure.digits if (measure := measure_of(name)) else 2 for name in names]
    return " / ".join(cell(figures.get(name), count) for name, count in zip(names, digits, strict=True))


def change(before: Mapping[str, Figure], after: Mapping[str, Figure], name: str, renamed: str | None = None) -> str:
    """Return the signed difference of a figure's means, "-" if one is missing; ``renamed`` is its name in ``after``."""
    renamed = renamed or name
    if name not in before or renamed not in after:
        return "-"
    return f"{after[renamed].mean - before[name].mean:+.2f}"
