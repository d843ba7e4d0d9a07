"""``sage-batch``: train and export many captures, each as a job that resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.batch.exports import EXPORTS, describe_exports
from sage_ns.cli.explained import explained
from sage_ns.cli.options import CLUSTER, CORES_PER_JOB
from sage_ns.errors import OptionError, SageError
from sage_ns.system.console import escape

if TYPE_CHECKING:
    ExportName = str
else:
    ExportName = tyro.extras.literal_type_from_choices(list(EXPORTS))


@dataclass
class Batch:
    """Train and export captures, one avatar each. A bad capture is named and does not stop the others.

    All captures are checked first, as sage-capture inspect does. Writes to OUTPUT: batch.json and batch.md (what became
    of each capture), and for each capture a folder with the training run, its log, contact_sheet.png and the exports.
    The same command skips finished captures, resumes interrupted trainings and tries failed ones again. With --cluster,
    captures run at the same time, on one machine or many.
    """

    captures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """capture folders"""
    output: Path
    """folder to write; captures and exports can be added to a batch with the same settings"""
    export: Annotated[tuple[ExportName, ...], tyro.conf.arg(help=describe_exports())] = ("avatar",)
    method: str = "sage-multiview"
    """method of ns-train"""
    preset: Literal["auto", "small", "paper"] = "auto"
    """size of avatar and training: auto = paper with CUDA, small without"""
    steps: int | None = None
    """training steps of each capture; default: those of the preset"""
    downscale_factor: int = 1
    """divide width and height of the pictures by this whole number"""
    head_model: Path | None = None
    """head model file of all captures; default: the one found beside each capture"""
    seed: int = 42
    """random seed of every training"""
    cluster: Annotated[str, tyro.conf.arg(help=CLUSTER)] = "none"
    cores_per_job: Annotated[int | None, tyro.conf.arg(help=CORES_PER_JOB)] = None

    def run(self) -> None:
        """Run the batch and print its table.

        Raises:
            SageError: an option cannot be used, or captures failed.
        """
        from nerfstudio.utils.rich_utils import CONSOLE

        from sage_ns.batch.batch import run_batch
        from sage_ns.batch.job import BatchSettings
        from sage_ns.batch.report import TABLE_FILE, sheet_of
        from sage_ns.bench.sheet import as_rich
        from sage_ns.jobs.cluster import open_workplace

        if self.seed < 0:
            raise OptionError("expected a whole number >= 0", seed=self.seed)
        head_model = None if self.head_model is None else self.head_model.expanduser().absolute()
        settings = BatchSettings(
            preset=self.preset,
            steps=self.steps,
            downscale_factor=self.downscale_factor,
            head_model=head_model,
            method=self.method,
            seed=self.seed,
            exports=tuple(dict.fromkeys(self.export)),
        )
        with open_workplace(self.cluster, self.cores_per_job, CONSOLE) as workplace:
            entries = run_batch(self.output, self.captures, settings, CONSOLE, workplace)
        CONSOLE.print(as_rich(sheet_of(entries)))
        CONSOLE.print(f"table  {escape(str(self.output / TABLE_FILE))}", soft_wrap=True)
        failed = [each.capture.name for each in entries if each.state != "done"]
        if failed:
            raise SageError(f"These captures failed: {', '.join(failed)}. The same command tries only these again.")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-batch``."""
    batch = tyro.cli(Batch, args=arguments)
    with explained(Console(), interrupted="Interrupted. The same command resumes here."):
        batch.run()
