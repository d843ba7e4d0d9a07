"""The benchmark as tables for the console and for Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sage_ns.bench.across_table import across_json, across_sheets
from sage_ns.bench.cause_sheets import cause_sheets
from sage_ns.bench.job import Settings
from sage_ns.bench.result import VIEWS, Result, View
from sage_ns.bench.rows import ROWS, SAGE, in_order
from sage_ns.bench.sheet import Sheet, as_markdown, cell, change, figure_cells
from sage_ns.bench.sides import side_sheets
from sage_ns.bench.strength import strength_curves
from sage_ns.bench.summary import (
    BASELINES,
    FIGURES,
    GAUSSIAN_AVATARS,
    PAPER_ABLATIONS,
    RowSummary,
    gaps_closed,
    paper_gap_closed,
    summarise,
)
from sage_ns.evaluation.figures import ALIGNED, MEASURES, title_of
from sage_ns.system.typed_json import plain


def sheets(capture: str, results: Sequence[Result]) -> list[Sheet]:
    """Return all tables about one capture.

    Args:
        capture: name of the capture, for the titles.
        results: results of all rows and seeds.
    """
    summaries = summarise(results)
    seeds = len({each.seed for each in results if each.pictures_from is None})
    over = f", mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""
    shown = [name for name in FIGURES if any(name in view for row in summaries for view in row.figures.values())]
    units = " / ".join(MEASURES[name].title for name in shown)

    def cells(summary: RowSummary, views: Sequence[View]) -> list[str]:
        figures = [(summary.figures[view], suffix) for view in views for suffix in ("", "_face")]
        return [figure_cells(each, *(name + suffix for name in shown)) for each, suffix in figures]

    expressions = Sheet(
        f"{capture}: self-reenactment at held-out moments, {units}{over}",
        ("row", "frontal camera", "its face", "all cameras", "their faces"),
        [(each.row, *cells(each, ("frontal", "all"))) for each in summaries],
    )
    costs = Sheet(
        f"{capture}: novel view of the canonical moment, {units}{over}, and costs",
        ("row", "novel view", "its face", "training", "by phase", "surfels", "peak memory"),
        [(each.row, *cells(each, ("novel_view",)), *_costs(each)) for each in summaries],
    )
    causes = [*side_sheets(capture, summaries, over), *cause_sheets(capture, summaries, over)]
    gaps = [sheet for baseline in BASELINES for sheet in _gaps(capture, summaries, baseline)]
    return [expressions, costs, *causes, *gaps, *_ablations(capture, summaries)]


IN_GAPS = tuple(
    ALIGNED * aligned + name + suffix for aligned in (False, True) for name in FIGURES for suffix in ("", "_face")
)
"""Figures of the table of closed gaps. results.json has the gaps of all figures."""


def _gaps(capture: str, summaries: Sequence[RowSummary], baseline: str) -> list[Sheet]:
    """Return the table of the gap against a baseline; the paper's own figures belong to that of GaussianAvatars."""
    gaps = gaps_closed(summaries, baseline)
    if not gaps:
        return []
    rows, in_paper = [], baseline == GAUSSIAN_AVATARS
    for name in (each for each in IN_GAPS if each in gaps["all"]):
        line = [title_of(name)]
        for view, closed in gaps.items():
            paper = paper_gap_closed(view, name)
            line += [_share(closed.get(name)), *(["" if paper is None else f"{paper:.2f}"] if in_paper else [])]
        rows.append(line)
    formula = f"(SAGE - {baseline} single) / ({baseline} multi - {baseline} single)"
    title = f"{capture}: gap closed against {baseline} = {formula}, self-reenactment"
    papers = ("the paper's",) if in_paper else ()
    return [Sheet(title, ("figure", "frontal camera", *papers, "all cameras", *papers), rows)]


def _share(closed: float | None) -> str:
    return "no gap" if closed is None else f"{round(closed, 2) + 0.0:.2f}"


def _ablations(capture: str, summaries: Sequence[RowSummary]) -> list[Sheet]:
    """Return the table of the changes by each variant of SAGE, beside the paper's Table III."""
    by_row = {each.row: each for each in summaries}
    variants = [each for each in summaries if each.row in ROWS and each.row.startswith(SAGE) and each.row != SAGE]
    if SAGE not in by_row or not variants:
        return []

    def changes(summary: RowSummary, view: View) -> list[str]:
        before, after = by_row[SAGE].figures[view], summary.figures[view]
        return [change(before, after, name) for name in ("psnr", "psnr_face")]

    rows = []
    for each in variants:
        paper = PAPER_ABLATIONS.get(each.row)
        differences = [
            "" if paper is None else f"{value - full:+.2f}"
            for value, full in zip(paper or PAPER_ABLATIONS[SAGE], PAPER_ABLATIONS[SAGE], strict=True)
        ]
        novel, posed = changes(each, "novel_view"), changes(each, "all")
        rows.append([each.row, *novel, differences[0], *posed, differences[1]])
    headings = ("row", "novel view", "its face", "the paper's", "self-reenactment", "its faces", "the paper's")
    return [Sheet(f"{capture}: change against {SAGE}, PSNR in dB", headings, rows)]


def _costs(summary: RowSummary) -> list[str]:
    if not summary.phase_seconds:  # pictures of another method
        return ["-"] * 4
    phases = ", ".join(f"{name} {each.mean:.0f} s" for name, each in summary.phase_seconds.items())
    return [
        cell(summary.seconds, 0) + " s",
        phases,
        f"{summary.num_surfels:,}",
        f"{summary.peak_bytes / 2**30:.2f} GiB",
    ]


def origin(results: Sequence[Result], settings: Settings) -> str:
    """Return one line with the settings, and the machines, versions and days of the figures."""
    made = [each.made_by for each in results]
    machines = dict.fromkeys(f"{each['gpu'] or each['processor']}, {each['cores']} cores" for each in made)
    versions = dict.fromkeys(f"{each['version']} ({each['commit'] or 'no commit'})" for each in made)
    days = sorted({each["date"][:10] for each in made})
    steps = dict.fromkeys(f"{each.num_steps:,}" for each in results if each.pictures_from is None) or ("no",)
    size = f"1/{settings.downscale_factor} of the resolution" if settings.downscale_factor > 1 else "full resolution"
    return (
        f"{' and '.join(steps)} steps, preset {settings.preset}, {size}; {' and '.join(machines)}; "
        f"sage_ns {' and '.join(versions)}, {' to '.join(days[:: max(1, len(days) - 1)])}."
    )


def markdown(results: Sequence[Result], settings: Settings) -> str:
    """Return all tables of all captures as one Markdown file."""
    parts = ["# sage-bench\n", origin(results, settings) + "\n", *map(as_markdown, across_sheets(results))]
    for capture in dict.fromkeys(each.capture for each in results):
        parts += [as_markdown(sheet) for sheet in sheets(capture, [r for r in results if r.capture == capture])]
    titles = ["row | description", "--- | ---", *(f"{name} | {title}" for name, title in _titles(results))]
    parts.append("\n".join(f"| {line} |" for line in titles) + "\n")
    return "\n".join(parts)


def _titles(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return names and descriptions of the rows; of pictures of another method, the folder's name is enough."""
    others = {each.row: Path(each.pictures_from).name for each in results if each.pictures_from is not None}
    ours = [(name, ROWS[name].title) for name in in_order(each.row for each in results if each.row not in others)]
    return ours + [(name, f"another method's pictures, from the folder {folder}") for name, folder in others.items()]


def as_json(results: Sequence[Result], settings: Settings, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return all figures except those of single images, which each row's own file contains."""
    captures: dict[str, Any] = {}
    for capture in dict.fromkeys(each.capture for each in results):
        chosen = [each for each in results if each.capture == capture]
        summaries = summarise(chosen)
        captures[capture] = {
            "rows": {each.row: asdict(each) for each in summaries},
            "gap_closed": {name: gaps_closed(summaries, name) for name in BASELINES},
            "strength_curves": {
                row: [asdict(each) for each in curve] for row, curve in strength_curves(chosen).items()
            },
            "runs": [_run(each) for each in chosen],
        }
    return {
        **provenance,
        "settings": plain(settings),
        "captures": captures,
        "over_captures": across_json(results),
    }


def _run(result: Result) -> dict[str, Any]:
    content = asdict(result)
    for name in ("novel_view", "reenactment"):
        del content[name]
    return content | {"figures": {view: result.figures(view) for view in VIEWS}}
