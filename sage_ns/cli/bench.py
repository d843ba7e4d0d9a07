"""``sage-bench``: train and evaluate named rows on captures, and write one table of all results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.bench.suites import describe_suites, suite_of
from sage_ns.cli.explained import explained
from sage_ns.cli.options import CLUSTER, CORES_PER_JOB
from sage_ns.errors import SageError


@dataclass
class Bench:
    """Train and evaluate rows on captures. A row is a method: surfels on one or all moments, SAGE, SAGE without a part.

    Writes to OUT: table.md and results.json; comparison.png and strength.png for each capture; and for each row and
    seed the training run, its log and metrics.json (figures of every picture). The same command skips finished rows and
    resumes interrupted trainings. With --cluster, rows run at the same time, on one machine or many. A suite runs the
    rows of an experiment and also writes its table and its plot, as OUT/CAPTURE/SUITE.md and .png.
    """

    captures: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """capture folders; several get a summary: mean, spread and worst of each row"""
    panel: Literal["none", "facekit", "facekit-turning", "facekit-photo", "builtin"] = "none"
    """add people that nobody tuned on, drawn into OUT/people: facekit (many cameras; each tracked with noise and
    without), facekit-turning (one camera) and facekit-photo (one picture) need the environment variable SAGE_SHARED,
    builtin needs nothing"""
    people: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    """numbers of the panel's people"""
    out: Path = Path("outputs/bench")
    """folder to write; rows, captures and seeds can be added to a benchmark with the same settings"""
    rows: tuple[str, ...] = ()
    """names of the rows to run; default: all (an unknown name lists them)"""
    row: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """NAME=FOLDER: pictures of another method as a row NAME; may be given several times. FOLDER has a picture for each
    of the test split, TIMESTEP_CAMERA.png or .jpg (00021_08.png), at the size of the benchmark's pictures, and may have
    those of the val split; with several captures, it has a folder for each"""
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
    cluster: Annotated[str, tyro.conf.arg(help=CLUSTER)] = "none"
    cores_per_job: Annotated[int | None, tyro.conf.arg(help=CORES_PER_JOB)] = None

    def run(self) -> None:
        """Run the benchmark and print its tables.

        Raises:
            SageError: an input cannot be used, or rows failed.
        """
        from nerfstudio.utils.rich_utils import CONSOLE

        from sage_ns.bench.benchmark import run_benchmark, show
        from sage_ns.bench.folder import PEOPLE_FOLDER
        from sage_ns.bench.job import Settings
        from sage_ns.bench.outside import outside_rows
        from sage_ns.bench.panel import draw_panel
        from sage_ns.bench.rows import check_rows
        from sage_ns.jobs.cluster import open_workplace

        if not self.seeds or min(self.seeds) < 0:
            raise SageError(f"--seeds is {list(self.seeds)}; give one or more whole numbers >= 0.")
        if self.suite and self.rows:
            raise SageError("--suite and --rows are both given. A suite has its own rows: give one of them.")
        suites = [suite_of(name) for name in dict.fromkeys(self.suite)]
        head_model = None if self.head_model is None else self.head_model.expanduser().absolute()
        captures = self.captures
        seeds, rows = tuple(dict.fromkeys(self.seeds)), tuple(dict.fromkeys(self.rows))
        if not suites:
            check_rows(rows)
        if self.panel != "none":
            out = self.out.expanduser().absolute()
            panel = draw_panel(self.panel, out / PEOPLE_FOLDER, tuple(dict.fromkeys(self.people)), head_model)
            captures, head_model = (*captures, *panel.captures), panel.head_model
        settings = Settings(self.preset, self.steps, self.downscale_factor, head_model)
        with open_workplace(self.cluster, self.cores_per_job, CONSOLE) as workplace:
            others = outside_rows(self.row)
            outcome = run_benchmark(
                self.out, captures, rows, seeds, settings, CONSOLE, workplace=workplace, outside=others, suites=suites
            )
        show(CONSOLE, outcome)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-bench``."""
    bench = tyro.cli(Bench, args=arguments)
    with explained(Console(), interrupted="Interrupted. The same command resumes here."):
        bench.run()
