"""A table of plain text, and its forms for the console and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
