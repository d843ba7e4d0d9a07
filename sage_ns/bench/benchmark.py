"""Runs a benchmark row by row, each in a process of its own, and keeps its tables up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sage_ns.bench import table
from sage_ns.bench.comparison import COMPARED, write_comparison
from sage_ns.bench.fingerprint import fingerprint
from sage_ns.bench.folder import BenchmarkFolder
from sage_ns.bench.job import Job, Settings, settled
from sage_ns.bench.plan import Planner
from sage_ns.bench.provenance import provenance
from sage_ns.bench.result import RESULT_FILE, Result
from sage_ns.bench.rows import ROWS
from sage_ns.bench.worker import Display, run_apart
from sage_ns.errors import SageError
from sage_ns.system.console import escape
from sage_ns.system.files import write_json, write_text

TABLE_FILE = "table.md"
FIGURES_FILE = "results.json"


@dataclass(frozen=True)
class Outcome:
    """What a benchmark came out as."""

    results: tuple[Result, ...]
    """of all rows and seeds that are done, those of earlier runs included"""
    failed: tuple[Job, ...]
    settings: Settings
    """with the preset that was decided on"""
    table: Path
    figures: Path
    comparisons: tuple[Path, ...]


def run_benchmark(
    out: Path,
    captures: Sequence[Path],
    rows: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    console: Console,
) -> Outcome:
    """Train and evaluate what is not done yet; write table.md, results.json and a comparison for each capture.

    A row that fails is reported, and the others go on.

    Args:
        out: folder of the benchmark: a new one, or that of an earlier run with the same settings.
        captures: folders of captures.
        rows: names, see :data:`sage_ns.bench.rows.ROWS`; none = all.
        seeds: each for one training of every row.
        settings: what all rows have in common.
        console: where progress is shown.

    Raises:
        SageError: something cannot be used; nothing was trained or written by then.
    """
    captures = [capture.expanduser().absolute() for capture in captures]
    folder = BenchmarkFolder(out.expanduser().absolute())
    folder.check_captures(captures)
    planner = Planner(folder.path, settings)
    jobs = planner.plan(captures, rows, seeds)
    settings = replace(settings, preset=settled(jobs[0].training_config()).preset)
    folder.claim(captures, settings)
    done = _earlier(planner, folder.path, captures, jobs)
    failed: list[Job] = []
    with Display(console, len(jobs)) as display:
        for job in jobs:
            result = finished(job)
            if result is None:
                result = finished(job) if run_apart(job, display) else None
            else:
                display.say(job, "done before")
            if result is None:
                failed.append(job)
            else:
                done.append((job, result))
                _write_tables(folder.path, [each for _, each in done], settings)
            display.advance()
    comparisons = [path for capture in captures if (path := _compare(folder, capture, seeds[0], done)) is not None]
    return Outcome(
        results=tuple(result for _, result in done),
        failed=tuple(failed),
        settings=settings,
        table=folder.path / TABLE_FILE,
        figures=folder.path / FIGURES_FILE,
        comparisons=tuple(comparisons),
    )


def finished(job: Job) -> Result | None:
    """The result of ``job`` if there is one, made with the same settings."""
    result = Result.load(job.folder)
    return result if result is not None and result.key == job.key else None


def _earlier(planner: Planner, out: Path, captures: Sequence[Path], asked: Sequence[Job]) -> list[tuple[Job, Result]]:
    """What earlier runs have done of other rows and seeds, and is still valid: the tables show it, too."""
    there: list[Job] = []
    for capture in captures:
        folders = [path.parent for path in (out / capture.name).glob(f"*/seed-[0-9]*/{RESULT_FILE}")]
        rows = [row for row in ROWS if row in {folder.parent.name for folder in folders}]
        seeds = sorted({int(folder.name.removeprefix("seed-")) for folder in folders})
        there += planner.plan([capture], rows, seeds) if rows else []
    now = {job.folder for job in asked}
    found = [(job, finished(job)) for job in there if job.folder not in now]
    return [(job, result) for job, result in found if result is not None]


def _write_tables(out: Path, results: Sequence[Result], settings: Settings) -> None:
    write_text(out / TABLE_FILE, table.markdown(results, settings))
    write_json(out / FIGURES_FILE, table.as_json(results, settings, provenance()))


def _compare(folder: BenchmarkFolder, capture: Path, seed: int, done: Sequence[tuple[Job, Result]]) -> Path | None:
    """Draw the comparison of a capture, unless it is there already; None where there is nothing to draw."""
    path = folder.path / capture.name / "comparison.png"
    chosen = {job.row: (job, result) for job, result in done if job.capture == capture and job.seed == seed}
    key = fingerprint([chosen[row][0].key for row in COMPARED if row in chosen])
    if path.is_file() and folder.comparison_key(capture) == key:
        return path
    if not write_comparison(path, chosen):
        return None
    folder.keep_comparison_key(capture, key)
    return path


def show(console: Console, outcome: Outcome) -> None:
    """Print all tables, and where everything is.

    Raises:
        SageError: rows have failed.
    """
    for capture in dict.fromkeys(each.capture for each in outcome.results):
        for sheet in table.sheets(capture, [each for each in outcome.results if each.capture == capture]):
            console.print(table.as_rich(sheet))
    if outcome.results:
        console.print(escape(table.origin(outcome.results, outcome.settings)), soft_wrap=True)
        places = (("table   ", outcome.table), ("figures ", outcome.figures))
        for name, path in (*places, *(("picture ", path) for path in outcome.comparisons)):
            console.print(f"{name} {escape(str(path))}", soft_wrap=True)
    if outcome.failed:
        names = ", ".join(f"{job.row} ({job.capture.name}, seed {job.seed})" for job in outcome.failed)
        raise SageError(f"Of the rows, these failed: {names}. The same command again tries only these.")
