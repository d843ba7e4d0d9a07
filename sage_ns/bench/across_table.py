"""Tables over captures: how good each row is on several people, and what it changes person by person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sage_ns.bench.across import Group, Spread, by_capture, difference, gap_closed_over, groups_of, rows_of, spread
from sage_ns.bench.result import Result, View
from sage_ns.bench.sheet import Sheet
from sage_ns.bench.summary import BASELINES
from sage_ns.evaluation.figures import ALIGNED, REGION_TITLES

COLUMNS: Mapping[str, tuple[View, str]] = {
    "all cameras": ("all", "psnr"),
    "their faces": ("all", "psnr_face"),
    "aligned": ("all", "aligned_psnr"),
    "aligned faces": ("all", "aligned_psnr_face"),
    "hardest quarter, faces": ("hardest", "psnr_face"),
    "novel view": ("novel_view", "psnr"),
    "up to 40 degrees beside the face": ("side_35", "psnr"),
    "40 to 75": ("side_65", "psnr"),
    "beyond 75": ("side_90", "psnr"),
}
"""Columns by heading: view and figure. A column that no result has is left out."""

_MEANING = "mean ± standard deviation over captures (worst), PSNR in dB"


def across_sheets(results: Sequence[Result]) -> list[Sheet]:
    """Return the tables over captures, for each group of captures; none for a single capture."""
    sheets: list[Sheet] = []
    for group, chosen in _by_group(results):
        sheets += [_levels(group, chosen), *_changes(group, chosen), *_regions(group, chosen), *_gaps(group, chosen)]
    return sheets


def across_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return every figure of every row over the captures of each group, for results.json."""
    content = []
    for group, chosen in _by_group(results):
        rows = {row: _all_spreads(chosen, row) for row in rows_of(chosen)}
        content.append({"group": group.title, "captures": list(group.captures), "rows": rows})
    return content


def _by_group(results: Sequence[Result]) -> Iterator[tuple[Group, list[Result]]]:
    """Yield the groups with their results; none for a single capture."""
    captures = list(dict.fromkeys(each.capture for each in results))
    for group in groups_of(captures) if len(captures) > 1 else ():
        yield group, [each for each in results if each.capture in group.captures]


def _all_spreads(results: Sequence[Result], row: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    views: dict[View, None] = dict.fromkeys(view for view, _ in COLUMNS.values())
    for view in views:
        names = dict.fromkeys(name for each in results if each.row == row for name in each.figures(view))
        spreads = {name: spread(by_capture(results, row, view, name), name) for name in names}
        found[view] = {name: asdict(each) for name, each in spreads.items() if each is not None}
    return found


def _levels(group: Group, results: Sequence[Result]) -> Sheet:
    def cell(row: str, view: View, name: str) -> str:
        found = spread(by_capture(results, row, view, name), name)
        return "-" if found is None else _with_spread(found, ".2f")

    return _sheet(f"{group.title}: {_MEANING}", results, rows_of(results), cell)


def _changes(group: Group, results: Sequence[Result]) -> list[Sheet]:
    sheets = []
    for base in (name for pair in BASELINES.values() for name in pair):
        rows = [row for row in rows_of(results) if row != base]
        if len(rows) == len(rows_of(results)) or not rows:
            continue

        def cell(row: str, view: View, name: str, base: str = base) -> str:
            found = difference(results, row, base, view, name, group.captures)
            return "-" if found is None else _with_spread(found, "+.2f")

        sheets.append(_sheet(f"{group.title}: change against {base}, {_MEANING}", results, rows, cell))
    return sheets


def _regions(group: Group, results: Sequence[Result]) -> list[Sheet]:
    """Return the means by region, and in brackets those after the alignment; none if no result has regions."""
    lines = []
    for row in rows_of(results):
        cells = []
        for region in REGION_TITLES:
            plain, aligned = (
                spread(by_capture(results, row, "all", f"{start}psnr_{region}"), "psnr") for start in ("", ALIGNED)
            )
            end = "" if aligned is None else f" ({aligned.mean:.2f})"
            cells.append("-" if plain is None else f"{plain.mean:.2f}{end}")
        lines.append((row, *cells))
    if all(cell == "-" for line in lines for cell in line[1:]):
        return []
    title = f"{group.title}: PSNR in dB by region, self-reenactment, mean over captures (aligned)"
    return [Sheet(title, ("row", *REGION_TITLES.values()), lines)]


def _gaps(group: Group, results: Sequence[Result]) -> list[Sheet]:
    """Return the closed gaps of the means over the captures, against each baseline."""
    lines = []
    columns = {heading: each for heading, each in _columns(results).items() if each[0] != "novel_view"}
    for title, (single, multi) in BASELINES.items():
        gaps = [gap_closed_over(results, single, multi, *each, group.captures) for each in columns.values()]
        if any(gap is not None for gap in gaps):
            lines.append((title, *("-" if gap is None else f"{gap:.2f}" for gap in gaps)))
    if not lines:
        return []
    title = f"{group.title}: gap closed by SAGE = mean(SAGE - one moment) / mean(all moments - one moment), PSNR"
    return [Sheet(title, ("baseline", *columns), lines)]


def _sheet(title: str, results: Sequence[Result], rows: Sequence[str], cell: Callable[[str, View, str], str]) -> Sheet:
    """Return a sheet with a line for each row and those columns that some result has."""
    columns = _columns(results)
    lines = [(row, *(cell(row, view, name) for view, name in columns.values())) for row in rows]
    return Sheet(title, ("row", *columns), lines)


def _columns(results: Sequence[Result]) -> dict[str, tuple[View, str]]:
    there = {view: {name for each in results for name in each.figures(view)} for view, _ in COLUMNS.values()}
    return {heading: (view, name) for heading, (view, name) in COLUMNS.items() if name in there[view]}


def _with_spread(found: Spread, form: str) -> str:
    deviation = "" if found.deviation is None else f" ± {found.deviation:.2f}"
    worst = "" if found.num_captures < 2 else f" ({found.worst:{form}} {found.worst_capture})"
    return f"{found.mean:{form}}{deviation}{worst}"
