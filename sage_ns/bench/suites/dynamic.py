"""Suite ``dynamic``: how far the posed surface is from the true one, at moments that training has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from sage_ns.bench.rows import MULTI, SAGE, SINGLE
from sage_ns.bench.suites.figures import possible_rows
from sage_ns.bench.suites.registry import Suite, register_suite
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from sage_ns.bench.job import Job
    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

NUM_MOMENTS = 6
"""Largest number of moments that are measured, evenly spaced: each takes seconds."""
_FILE = "dynamic.json"
_ERROR = "truth_to_mesh_mean"


@register_suite
class DynamicGeometry(Suite):
    """Distance from the true face to the posed surfaces, in millimetres, at held-out moments."""

    name: ClassVar[str] = "dynamic"
    summary: ClassVar[str] = "distance of the posed surface from the truth at held-out moments (captures with truth/)"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return surfels of one moment and, if there are more, of all, and SAGE.

        Raises:
            SageError: the capture has no true surfaces of moments without training pictures.
        """
        _moments(facts)
        return possible_rows(facts, (SINGLE, MULTI, SAGE))

    def measure(self, job: Job, facts: CaptureFacts) -> None:
        """Measure each moment, unless this was done before."""
        from dataclasses import asdict

        from sage_ns.bench.fingerprint import fingerprint
        from sage_ns.bench.geometry import measure_distances
        from sage_ns.bench.measured import measured_once
        from sage_ns.bench.run import trained_pipeline
        from sage_ns.system.progress import tracked

        truth, moments = _truth(facts), _moments(facts)

        def measure() -> dict[str, Any]:
            pipeline = trained_pipeline(job)
            with tracked(moments, "Measuring posed surfaces") as shown:
                return {
                    str(moment): {
                        name: asdict(found) for name, found in measure_distances(pipeline, truth, moment).items()
                    }
                    for moment in shown
                }

        key = fingerprint(job.key, truth.stat().st_size, moments)
        measured_once(job.folder / _FILE, key, measure)

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row and surface: mean and worst moment, from truth to surface and back."""
        from sage_ns.bench.sheet import Sheet

        lines = []
        for row in measured.summaries:
            for surface in _surfaces(measured, row):
                of_moments = [found[surface] for found in _found(measured, row).values() if surface in found]
                forth = [each[_ERROR] for each in of_moments]
                back = [each["mesh_to_truth_mean"] for each in of_moments]
                lines.append([row, surface, *(f"{value:.2f}" for value in (fmean(forth), max(forth), fmean(back)))])
        title = f"{measured.facts.name}: distance to the true face at held-out moments, millimetres, mean over moments"
        return Sheet(title, ("row", "surface", "truth to surface", "worst moment", "surface to truth"), lines)

    def plot(self, measured: Measured) -> Figure:
        """Return the mean distance of the surfels by moment, and that of the tracked mesh."""
        from sage_ns.bench.geometry import FUSED
        from sage_ns.bench.plots import line_plot

        lines = []
        for color, row in enumerate(measured.summaries):
            found = _found(measured, row)
            lines.append(_line(f"{row}: surfels", found, FUSED, color))
            if color == 0:
                lines.append(_line("tracked mesh", found, "tracked mesh", len(measured.summaries), dashed=True))
        title = f"{measured.facts.name}: distance from the true face to the posed surface"
        return line_plot(title, "held-out timestep", "mean distance [mm]", lines)


def _line(label: str, found: Mapping[int, Any], surface: str, color: int, dashed: bool = False) -> Any:
    from sage_ns.bench.plots import Line

    points = [(moment, each[surface][_ERROR]) for moment, each in sorted(found.items()) if surface in each]
    return Line(label, [x for x, _ in points], [y for _, y in points], color=color, dashed=dashed)


def _truth(facts: CaptureFacts) -> Path:
    return facts.folder / "truth" / "surface.npz"


def _moments(facts: CaptureFacts) -> list[int]:
    """Return the held-out moments with a true surface, at most :data:`NUM_MOMENTS`, evenly spaced."""
    from sage_ns.evaluation.true_surface import true_timesteps

    path = _truth(facts)
    if not path.is_file():
        raise SageError(
            f"{facts.folder}: the suite dynamic needs true surfaces, and {path} does not exist. Synthesise the "
            "capture with sage-capture synthesize --true-surfaces all."
        )
    held_out = [timestep for timestep in true_timesteps(path) if timestep not in facts.cameras]
    if not held_out:
        raise SageError(
            f"{path}: the suite dynamic needs true surfaces of moments without training pictures, and there are none. "
            "Synthesise the capture with --true-surfaces all."
        )
    count = min(NUM_MOMENTS, len(held_out))
    return [held_out[index * len(held_out) // count] for index in range(count)]


def _found(measured: Measured, row: str) -> dict[int, dict[str, Any]]:
    """Return distances by moment and surface, means over seeds."""
    seeds = measured.own(row, _FILE)
    if not seeds:
        return {}
    return {
        int(moment): {
            surface: {name: fmean(seed[moment][surface][name] for seed in seeds) for name in values}
            for surface, values in surfaces.items()
        }
        for moment, surfaces in seeds[0].items()
    }


def _surfaces(measured: Measured, row: str) -> list[str]:
    return list(dict.fromkeys(surface for each in _found(measured, row).values() for surface in each))
