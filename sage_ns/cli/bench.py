"""``sage-bench``: train and evaluate named rows on captures, and write one table of all results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.bench.suites import describe_suites, suite_of
from sage_ns.cli.explained import explained
from sage_ns.errors import SageError


@dataclass
class Bench:
    """Train and evaluate rows on captures. A row is a method: surfels on one or all moments, SAGE, SAGE without a part.

    Writes to OUT: table.md and results.json; comparison.png for each capture; and for each row and seed the training
    run, its log and metrics.json (figures of every picture). The same command skips finished rows and resumes
    interrupted trainings. A suite runs the rows of an experiment and also writes its table and its plot, as
    OUT/CAPTURE/SUITE.md and .png.
    """

    captures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """capture folders"""
    out: Path = Path("outputs/bench")
    """folder to write; rows, captures and seeds can be added to a benchmark with the same settings"""
    rows: tuple[str, ...] = ()
    """names of the rows to run; default: all (an unknown name lists them)"""
    suite: Annotated[
        tuple[str, ...], tyro.conf.arg(help=f"experiments to run instead of rows: {describe_suites()}; default: none")
    ] = ()
    seeds: tuple[int, ...] = (42,)
    """random seeds; every row is trained once per seed"""
    preset: Literal["auto", "small", "paper"] = "auto"
    """sizes and steps of the trainings: auto = paper with CUDA, small without"""
    steps: int | None = None
    """training steps of each row; default: those of the preset"""
    downscale_factor: int = 1
    """divide width and height of the pictures by this whole number"""
    head_model: Path | None = None
    """head model file of all captures; default: the one found beside each capture"""

    def run(self) -> None:
        """Run the benchmark and print its tables.

        Raises:
            SageError: an input cannot be used, or rows failed.
        """
        from nerfstudio.utils.rich_utils import CONSOLE

        from sage_ns.bench.benchmark import run_benchmark, show
        from sage_ns.bench.job import Settings

        if not self.seeds or min(self.seeds) < 0:
            raise SageError(f"--seeds is {list(self.seeds)}; give one or more whole numbers >= 0.")
        if self.suite and self.rows:
            raise SageError("--suite and --rows are both given. A suite has its own rows: give one of them.")
        suites = [suite_of(name) for name in dict.fromkeys(self.suite)]
        head_model = None if self.head_model is None else self.head_model.expanduser().absolute()
        settings = Settings(self.preset, self.steps, self.downscale_factor, head_model)
        seeds, rows = tuple(dict.fromkeys(self.seeds)), tuple(dict.fromkeys(self.rows))
        outcome = run_benchmark(self.out, self.captures, rows, seeds, settings, CONSOLE, suites)
        show(CONSOLE, outcome)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-bench``."""
    bench = tyro.cli(Bench, args=arguments)
    with explained(Console(), interrupted="Interrupted. The same command resumes here."):
        bench.run()
