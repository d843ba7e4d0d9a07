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
    """Table and files of one suite on one capture."""

    sheet: Sheet
    table: Path
    """Markdown file"""
    plot: Path
    """PNG file"""


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
        own = [(job, result) for job, result in done if job.capture == self.facts.folder and job.row in self.rows]
        for job, _ in own:
            self.suite.measure(job, self.facts)
        measured = Measured(self.facts, self.rows, own)
        sheet = self.suite.sheet(measured)
        path = out / self.facts.name / self.suite.name
        results = [result for _, result in own]
        origin = table.origin(results, settings) + "\n" if results else "No row has finished.\n"
        write_text(path.with_suffix(".md"), f"# {self.suite.name}\n\n{origin}\n{as_markdown(sheet)}")
        save_plot(self.suite.plot(measured), path.with_suffix(".png"))
        return SuiteReport(sheet, path.with_suffix(".md"), path.with_suffix(".png"))


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
            console.print(f"{name} {escape(str(path))}", soft_wrap=True)
