"""``sage-bench``: train and evaluate named rows on captures, and put them in one table."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.errors import SageError


@dataclass
class Bench:
    """Train and evaluate rows on captures: surfels on one moment and on all, SAGE, and SAGE without its parts.

    Writes to OUT: table.md, results.json, for each capture comparison.png, and for each row and seed its training,
    its log and metrics.json (figures of every picture). What is done is not done again, and what was interrupted goes
    on where it was.
    """

    captures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders of captures"""
    out: Path = Path("outputs/bench")
    """folder for everything that the benchmark makes; a finished one with the same settings can be added to"""
    rows: tuple[str, ...] = ()
    """which rows; by default all (a name that does not exist lists them)"""
    seeds: tuple[int, ...] = (42,)
    """one training of every row for each"""
    preset: Literal["auto", "small", "paper"] = "auto"
    """auto = paper with CUDA, small without"""
    steps: int | None = None
    """training steps; None = the preset's"""
    downscale_factor: int = 1
    """shrink the pictures by this factor"""
    head_model: Path | None = None
    """head model file of the captures; otherwise looked for next to each"""

    def run(self) -> None:
        """Do it, and print the tables.

        Raises:
            SageError: something cannot be used, or rows failed.
        """
        from nerfstudio.utils.rich_utils import CONSOLE

        from sage_ns.bench.benchmark import run_benchmark, show
        from sage_ns.bench.job import Settings

        if not self.seeds or min(self.seeds) < 0:
            raise SageError(f"--seeds is {list(self.seeds)}; give one or more whole numbers >= 0.")
        head_model = None if self.head_model is None else self.head_model.expanduser().absolute()
        settings = Settings(self.preset, self.steps, self.downscale_factor, head_model)
        seeds, rows = tuple(dict.fromkeys(self.seeds)), tuple(dict.fromkeys(self.rows))
        outcome = run_benchmark(self.out, self.captures, rows, seeds, settings, CONSOLE)
        show(CONSOLE, outcome)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-bench``."""
    bench = tyro.cli(Bench, args=arguments)
    with explained(Console()):
        try:
            bench.run()
        except KeyboardInterrupt:
            sys.exit("Interrupted. The same command goes on from here.")
