"""Suite ``cross``: the avatar driven by another person, measured against the truth (the paper's Fig. 7, as numbers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from sage_ns.bench.rows import MULTI, SAGE, SINGLE
from sage_ns.bench.suites.figures import possible_rows
from sage_ns.bench.suites.registry import Suite, register_suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.job import Job
    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

_FILE = "cross.json"


@register_suite
class CrossReenactment(Suite):
    """Surfels and SAGE under the tracked motion of another person, for each transfer of motion."""

    name: ClassVar[str] = "cross"
    summary: ClassVar[str] = "an avatar driven by another person, against the truth (synthetic captures)"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return surfels of one moment and, if there are more, of all, and SAGE.

        Raises:
            SageError: the capture has no truth, or the truth cannot be read.
        """
        from sage_ns.bench.cross_reenactment import truth_folder, truth_key

        truth_key(truth_folder(facts.folder))
        return possible_rows(facts, (SINGLE, MULTI, SAGE))

    def measure(self, job: Job, facts: CaptureFacts) -> None:
        """Draw the avatar under the driver's motion and compare it with the truth, unless this was done before."""
        from sage_ns.bench.cross_reenactment import cross_figures, truth_folder, truth_key
        from sage_ns.bench.fingerprint import fingerprint
        from sage_ns.bench.measured import measured_once
        from sage_ns.bench.run import trained_pipeline

        truth = truth_folder(facts.folder)
        key = fingerprint(job.key, truth_key(truth))
        measured_once(job.folder / _FILE, key, lambda: cross_figures(trained_pipeline(job), truth))

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row: PSNR and SSIM of each transfer, whole pictures and faces."""
        from sage_ns.bench.sheet import Sheet

        transfers = _transfers(measured)
        headings = ["row", *(f"{name}{of}" for name in transfers for of in (" transfer", ", faces"))]
        lines = []
        for row in measured.summaries:
            line = [row]
            for transfer in transfers:
                for region in ("", "_face"):
                    pair = (_mean(measured, row, transfer, name + region) for name in ("psnr", "ssim"))
                    shown = [
                        "-" if value is None else f"{value:.{digits}f}"
                        for value, digits in zip(pair, (2, 3), strict=True)
                    ]
                    line.append(" / ".join(shown))
            lines.append(line)
        title = f"{measured.facts.name}: cross-reenactment under another person's tracked motion, PSNR / SSIM"
        return Sheet(title, headings, lines)

    def plot(self, measured: Measured) -> Figure:
        """Return the PSNR of the faces by moment, a line for each row and transfer; means over cameras and seeds."""
        from sage_ns.bench.plots import Line, line_plot

        lines = []
        for color, row in enumerate(measured.summaries):
            for index, transfer in enumerate(_transfers(measured)):
                moments = sorted({each["timestep"] for each in _entries(measured, row)})
                values = [(moment, _mean(measured, row, transfer, "psnr_face", moment)) for moment in moments]
                shown = [(moment, value) for moment, value in values if value is not None]
                lines.append(
                    Line(
                        f"{row}, {transfer}",
                        [moment for moment, _ in shown],
                        [value for _, value in shown],
                        color=color,
                        dashed=index > 0,
                    )
                )
        return line_plot(
            f"{measured.facts.name}: cross-reenactment", "moment of the driver", "PSNR of the face [dB]", lines
        )


def _entries(measured: Measured, row: str) -> list[Mapping[str, Any]]:
    """Return the figures of all pictures, transfers and seeds of a row."""
    return [entry for entries in measured.own(row, _FILE) for entry in entries]


def _transfers(measured: Measured) -> list[str]:
    names = [each["transfer"] for row in measured.summaries for each in _entries(measured, row)]
    return list(dict.fromkeys(names))


def _mean(measured: Measured, row: str, transfer: str, name: str, timestep: int | None = None) -> float | None:
    values = [
        each["figures"][name]
        for each in _entries(measured, row)
        if each["transfer"] == transfer and timestep in (None, each["timestep"]) and name in each["figures"]
    ]
    return fmean(values) if values else None
