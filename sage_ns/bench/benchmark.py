"""Run of a benchmark, each row a job of its own, with tables that are updated after every row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from sage_ns.bench import table
from sage_ns.bench.across_table import across_sheets
from sage_ns.bench.comparison import COMPARED, write_comparison
from sage_ns.bench.fingerprint import fingerprint
from sage_ns.bench.folder import BenchmarkFolder
from sage_ns.bench.job import Job, Settings, on_device, settled
from sage_ns.bench.outside import OutsideRow, plan_outside, score_outside
from sage_ns.bench.plan import Planner
from sage_ns.bench.provenance import provenance
from sage_ns.bench.result import RESULT_FILE, Result
from sage_ns.bench.rows import in_order, is_row
from sage_ns.bench.sheet import as_rich
from sage_ns.bench.strength import strength_curves, write_strength_plot
from sage_ns.bench.suite_run import SuiteReport, plan_jobs, plan_suites, show_reports, write_across
from sage_ns.bench.suites import Suite
from sage_ns.bench.training import progress_of
from sage_ns.errors import SageError
from sage_ns.jobs.display import Display
from sage_ns.jobs.queue import run_all
from sage_ns.jobs.task import Task
from sage_ns.jobs.workplace import ThisMachine, Workplace
from sage_ns.system.console import escape
from sage_ns.system.files import write_json, write_text

TABLE_FILE = "table.md"
FIGURES_FILE = "results.json"
PLOT_FILE = "strength.png"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a benchmark."""

    results: tuple[Result, ...]
    """results of all finished rows and seeds, including those of earlier runs"""
    failed: tuple[Job, ...]
    settings: Settings
    """settings with the chosen preset instead of auto"""
    table: Path
    figures: Path
    comparisons: tuple[Path, ...]
    """comparison pictures and plots"""
    suites: tuple[SuiteReport, ...] = ()


def run_benchmark(
    out: Path,
    captures: Sequence[Path],
    rows: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    console: Console,
    workplace: Workplace | None = None,
    outside: Sequence[OutsideRow] = (),
    suites: Sequence[Suite] = (),
) -> Outcome:
    """Train and evaluate unfinished rows; write table.md, results.json, and a comparison and a plot for each capture.

    A row that fails is reported, and the others go on.

    Args:
        out: folder of the benchmark: a new one, or that of an earlier run with the same settings.
        captures: folders of captures.
        rows: names, see :func:`sage_ns.bench.rows.find_row`; empty = all of :data:`sage_ns.bench.rows.ROWS`.
        seeds: seeds; every row is trained once with each.
        settings: settings of all rows.
        console: console for progress.
        workplace: where the rows run; None = on this machine, one after the other.
        outside: pictures of other methods, which become rows of the tables.
        suites: experiments; their rows are run, and ``rows`` must be empty.

    Raises:
        SageError: a folder, capture, row or setting cannot be used; nothing has been trained or written.
    """
    captures = [capture.expanduser().absolute() for capture in captures]
    folder = BenchmarkFolder(out.expanduser().absolute())
    folder.check_captures(captures)
    workplace = ThisMachine() if workplace is None else workplace
    settings = on_device(settings, workplace.device)
    planner = Planner(folder.path, settings)
    planned = plan_suites(captures, suites, settings)
    jobs = plan_jobs(planner, planned, seeds) if suites else planner.plan(captures, rows, seeds)
    outside_jobs = plan_outside(planner, captures, outside)
    settings = replace(settings, preset=settled(jobs[0].training_config()).preset)
    with folder.claimed(captures, settings):
        done, failed = _run_unfinished(planner, folder, captures, jobs, settings, console, workplace)
        comparisons = [path for capture in captures if (path := _compare(folder, capture, seeds[0], done)) is not None]
        results = [*(result for _, result in done), *score_outside(planner, captures, outside_jobs)]
        if results:
            _write_tables(folder.path, results, settings)
        plots = [path for capture in captures if (path := _plot(folder, capture, results)) is not None]
        reports = [each.write(folder.path, done, settings) for each in planned]
        reports += write_across(folder.path, planned, done, settings)
    return Outcome(
        results=tuple(results),
        failed=tuple(failed),
        settings=settings,
        table=folder.path / TABLE_FILE,
        figures=folder.path / FIGURES_FILE,
        comparisons=(*comparisons, *plots),
        suites=tuple(reports),
    )


def _run_unfinished(
    planner: Planner,
    folder: BenchmarkFolder,
    captures: Sequence[Path],
    jobs: Sequence[Job],
    settings: Settings,
    console: Console,
    workplace: Workplace,
) -> tuple[list[tuple[Job, Result]], list[Job]]:
    """Run the jobs that have no result; return all results, those of earlier runs included, and the failed jobs."""
    done = _earlier_results(planner, folder.path, captures, jobs)
    order = {job.folder: number for number, job in enumerate([*(job for job, _ in done), *jobs])}
    tasks = {_task(job): job for job in jobs}
    failed: list[Job] = []
    with Display(console, "row", ("row", "capture", "seed"), list(tasks)) as display:

        def keep(task: Task, result: Result, line: str) -> None:
            done.append((tasks[task], result))
            display.succeeded(task, line)

        def write() -> None:
            done.sort(key=lambda each: order[each[0].folder])
            _write_tables(folder.path, [each for _, each in done], settings)

        waiting = []
        for task, job in tasks.items():
            result = finished(job)
            if result is None:
                waiting.append(task)
            else:
                keep(task, result, "done before")
        if len(waiting) < len(tasks):
            write()
        if waiting:
            workplace.check(folder.path, [*captures, *filter(None, [settings.head_model])])
        for task in waiting:
            tasks[task].save()
        with closing(run_all(waiting, workplace, display)) as outcomes:
            for outcome in outcomes:
                result = finished(tasks[outcome.task]) if outcome.succeeded else None
                if result is None:
                    failed.append(tasks[outcome.task])
                    display.failed(outcome.task, outcome.reason)
                else:
                    keep(outcome.task, result, f"{outcome.seconds:.0f} s")
                    write()
    return done, failed


def _task(job: Job) -> Task:
    """Return what runs a job; jobs that share a training share a group, and the first of them trains."""
    return Task(
        cells=(job.row, job.capture.name, f"seed {job.seed}"),
        module="sage_ns.bench.run",
        folder=job.folder,
        group=str(job.training_folder),
        progress=partial(progress_of, job.training_folder, "evaluating"),
    )


def finished(job: Job) -> Result | None:
    """Return the result of ``job`` if it exists and was made with the same settings; else None."""
    result = Result.load(job.folder)
    return result if result is not None and result.key == job.key else None


def _earlier_results(
    planner: Planner, out: Path, captures: Sequence[Path], requested: Sequence[Job]
) -> list[tuple[Job, Result]]:
    """Return valid results of earlier runs for other rows and seeds, which the tables also show."""
    earlier: list[Job] = []
    for capture in captures:
        folders = [path.parent for path in (out / capture.name).glob(f"*/seed-[0-9]*/{RESULT_FILE}")]
        rows = in_order(name for folder in folders if is_row(name := folder.parent.name))
        seeds = sorted({int(folder.name.removeprefix("seed-")) for folder in folders})
        for row in rows:
            with suppress(SageError):  # the capture has changed and no longer has the moments or cameras of this row
                earlier += planner.plan([capture], [row], seeds)
    now = {job.folder for job in requested}
    found = [(job, finished(job)) for job in earlier if job.folder not in now]
    return [(job, result) for job, result in found if result is not None]


def _write_tables(out: Path, results: Sequence[Result], settings: Settings) -> None:
    write_text(out / TABLE_FILE, table.markdown(results, settings))
    write_json(out / FIGURES_FILE, table.as_json(results, settings, provenance()))


def _compare(folder: BenchmarkFolder, capture: Path, seed: int, done: Sequence[tuple[Job, Result]]) -> Path | None:
    """Draw the comparison of a capture unless it is up to date; return its path, or None if there are no pictures."""
    path = folder.path / capture.name / "comparison.png"
    chosen = {job.row: (job, result) for job, result in done if job.capture == capture and job.seed == seed}
    key = fingerprint([chosen[row][0].key for row in COMPARED if row in chosen])
    if path.is_file() and folder.comparison_key(capture) == key:
        return path
    if not write_comparison(path, chosen):
        return None
    folder.keep_comparison_key(capture, key)
    return path


def _plot(folder: BenchmarkFolder, capture: Path, results: Sequence[Result]) -> Path | None:
    """Plot quality against the strength of the expression; return the path, or None without held-out faces."""
    path = folder.path / capture.name / PLOT_FILE
    curves = strength_curves([each for each in results if each.capture == capture.name])
    return path if write_strength_plot(path, capture.name, curves) else None


def show(console: Console, outcome: Outcome) -> None:
    """Print all tables and the paths of all files.

    Raises:
        SageError: rows have failed.
    """
    captures = dict.fromkeys(each.capture for each in outcome.results)
    for capture in captures:
        for sheet in table.sheets(capture, [each for each in outcome.results if each.capture == capture]):
            console.print(as_rich(sheet))
    for sheet in across_sheets(outcome.results):
        console.print(as_rich(sheet))
    if outcome.results:
        console.print(escape(table.origin(outcome.results, outcome.settings)), soft_wrap=True)
        places = (("table   ", outcome.table), ("figures ", outcome.figures))
        for name, path in (*places, *(("picture ", path) for path in outcome.comparisons)):
            console.print(f"{name} {escape(str(path))}", soft_wrap=True)
    show_reports(console, outcome.suites)
    if outcome.failed:
        names = ", ".join(f"{job.row} ({job.capture.name}, seed {job.seed})" for job in outcome.failed)
        raise SageError(f"These rows failed: {names}. Run the same command again to retry only these.")
