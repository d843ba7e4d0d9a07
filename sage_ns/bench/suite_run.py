"""Plan suites before training, and write their tables and plots after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sage_ns.bench import table
from sage_ns.bench.job import Job, Settings
from sage_ns.bench.measured import CaptureFacts, Measured
from sage_ns.bench.plan import Planner
from sage_ns.bench.plots import save_plot
from sage_ns.bench.result import Result
from sage_ns.bench.rows import in_order
from sage_ns.bench.sheet import Sheet, as_markdown, as_rich
from sage_ns.bench.suites.registry import Suite
from sage_ns.system.console import escape
from sage_ns.system.files import write_text


@dataclass(frozen=True)
class SuiteReport:
    """Table and files of one suite on one capture, or its table over all captures."""

    sheet: Sheet
    table: Path
    """Markdown file"""
    plot: Path | None
    """PNG file; None = a table alone"""


@dataclass(frozen=True)
class PlannedSuite:
    """One suite on one capture, checked."""

    suite: Suite
    facts: CaptureFacts
    rows: tuple[str, ...]

    def write(self, out: Path, done: Sequence[tuple[Job, Result]], settings: Settings) -> SuiteReport:
        """Measure what the suite needs besides the rows' figures; write OUT/CAPTURE/SUITE.md and SUITE.png.

        Args:
            out: folder of the benchmark.
            done: finished jobs; those of other captures and rows are left out.
            settings: settings of all rows.
        """
        measured = self.measured(done)
        for job, _ in measured.done:
            self.suite.measure(job, self.facts)
        sheet = self.suite.sheet(measured)
        path = out / self.facts.name / self.suite.name
        _write_table(path.with_suffix(".md"), self.suite, sheet, [result for _, result in measured.done], settings)
        save_plot(self.suite.plot(measured), path.with_suffix(".png"))
        return SuiteReport(sheet, path.with_suffix(".md"), path.with_suffix(".png"))

    def measured(self, done: Sequence[tuple[Job, Result]]) -> Measured:
        """Return the suite's own results among those of finished jobs."""
        own = [(job, result) for job, result in done if job.capture == self.facts.folder and job.row in self.rows]
        return Measured(self.facts, self.rows, own)


def write_across(
    out: Path, planned: Sequence[PlannedSuite], done: Sequence[tuple[Job, Result]], settings: Settings
) -> list[SuiteReport]:
    """Write the tables over captures, as OUT/SUITE.md, of those suites that have one.

    Args:
        out: folder of the benchmark.
        planned: all suites on all captures.
        done: finished jobs.
        settings: settings of all rows.
    """
    by_name: dict[str, list[PlannedSuite]] = {}
    for each in planned:
        by_name.setdefault(each.suite.name, []).append(each)
    reports = []
    for name, parts in by_name.items():
        found = [each.measured(done) for each in parts]
        sheet = parts[0].suite.across(found)
        if sheet is not None:
            path = out / f"{name}.md"
            results = [result for measured in found for _, result in measured.done]
            _write_table(path, parts[0].suite, sheet, results, settings)
            reports.append(SuiteReport(sheet, path, None))
    return reports


def _write_table(path: Path, suite: Suite, sheet: Sheet, results: Sequence[Result], settings: Settings) -> None:
    origin = table.origin(results, settings) + "\n" if results else "No row has finished.\n"
    write_text(path, f"# {suite.name}\n\n{origin}\n{as_markdown(sheet)}")


def plan_suites(captures: Sequence[Path], suites: Sequence[Suite], settings: Settings) -> list[PlannedSuite]:
    """Read the captures and return every suite on each of them.

    Args:
        captures: absolute folders.
        suites: suites.
        settings: settings of all rows.

    Raises:
        SageError: a capture cannot be used, or a suite is not possible on it.
    """
    planned = []
    for capture in captures if suites else ():
        facts = CaptureFacts.read(capture, settings)
        planned += [PlannedSuite(suite, facts, tuple(suite.rows(facts))) for suite in suites]
    return planned


def plan_jobs(planner: Planner, planned: Sequence[PlannedSuite], seeds: Sequence[int]) -> list[Job]:
    """Return the jobs of all suites; a row that several suites of a capture have is one job."""
    jobs: list[Job] = []
    for capture in dict.fromkeys(each.facts.folder for each in planned):
        rows = in_order(row for each in planned if each.facts.folder == capture for row in each.rows)
        jobs += planner.plan([capture], rows, seeds)
    return jobs


def show_reports(console: Console, reports: Sequence[SuiteReport]) -> None:
    """Print the tables of suites and the paths of their files."""
    for report in reports:
        console.print(as_rich(report.sheet))
        for name, path in (("table   ", report.table), ("plot    ", report.plot)):
            if path is not None:
                console.print(f"{name} {escape(str(path))}", soft_wrap=True)
