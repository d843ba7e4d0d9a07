"""A table of plain text, its forms for the console and for Markdown, and the cells of figures in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_ns.bench.summary import Figure
from sage_ns.evaluation.figures import measure_of

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table of plain text; the first column is aligned left, all others right."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def as_rich(sheet: Sheet) -> Table:
    """Convert a table for the console."""
    from rich.table import Table

    from sage_ns.system.console import escape

    table = Table(title=escape(sheet.title), title_justify="left")
    for index, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="right" if index else "left")
    for row in sheet.rows:
        table.add_row(*map(escape, row))
    return table


def as_markdown(sheet: Sheet) -> str:
    """Return the title and the table in GitHub's Markdown."""
    lines = [tuple(cell.replace("|", "\\|") for cell in row) for row in (sheet.headings, *sheet.rows)]
    border = ("---", *["---:"] * (len(sheet.headings) - 1))
    body = "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], border, *lines[1:]))
    return f"{sheet.title}\n\n{body}\n"


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
