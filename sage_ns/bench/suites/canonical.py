"""Suite ``table4``: which moment to reconstruct the avatar at (the paper's Table IV)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import SAGE
from sage_ns.bench.suites.figures import over_seeds, psnr, quality
from sage_ns.bench.suites.registry import Suite, register_suite
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

NUM_MOMENTS = 6
"""Number of canonical moments that are compared."""
FEWEST_CAMERAS = 3
"""Moments with fewer cameras in common are not compared."""


@register_suite
class CanonicalMoments(Suite):
    """SAGE reconstructed at the most neutral moment and at the most different ones, all with the same cameras."""

    name: ClassVar[str] = "table4"
    summary: ClassVar[str] = f"SAGE reconstructed at up to {NUM_MOMENTS} different canonical moments"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return one row for each canonical moment.

        Raises:
            SageError: fewer than two moments were filmed by the same cameras.
        """
        return list(_rows(facts).values())

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each canonical moment, with the strength of its expression."""
        from sage_ns.bench.sheet import Sheet

        facts, lines = measured.facts, []
        for timestep, row in _rows(facts).items():
            summary = measured.summaries.get(row)
            cells = [quality(summary, view, region) for view in ("frontal", "all") for region in ("", "_face")]
            lines.append([str(timestep), f"{facts.expression_mm[timestep]:.1f} mm", *cells])
        cameras = len(_comparable(facts)[1])
        title = f"self-reenactment by the canonical moment, {cameras} cameras each, PSNR / SSIM{over_seeds(measured)}"
        headings = ("canonical timestep", "expression", "frontal camera", "its face", "all cameras", "their faces")
        return Sheet(f"{facts.name}: {title}", headings, lines)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR by canonical moment."""
        from sage_ns.bench.plots import bar_plot

        facts, rows = measured.facts, _rows(measured.facts)

        def bars(region: str) -> list[float | None]:
            figures = [psnr(measured.summaries.get(row), "all", region) for row in rows.values()]
            return [None if figure is None else figure.mean for figure in figures]

        names = [f"{timestep} ({facts.expression_mm[timestep]:.1f} mm)" for timestep in rows]
        title = f"{facts.name}: self-reenactment by the canonical moment (strength of its expression)"
        return bar_plot(title, "PSNR [dB]", names, {"all cameras": bars(""), "their faces": bars("_face")})


def _comparable(facts: CaptureFacts) -> tuple[list[int], frozenset[int]]:
    """Return the moments to compare, from most to least different, and the cameras that filmed all of them.

    All training moments if they share enough cameras, else those with as many cameras as the canonical one.
    """
    every = list(facts.cameras)
    common = frozenset.intersection(*facts.cameras.values())
    if len(common) >= min(FEWEST_CAMERAS, len(facts.cameras[facts.canonical])):
        return every, common
    own = facts.cameras[facts.canonical]
    return [timestep for timestep in every if facts.cameras[timestep] >= own], own


def _rows(facts: CaptureFacts) -> dict[int, str]:
    timesteps, cameras = _comparable(facts)
    if len(timesteps) < 2:
        raise SageError(
            f"{facts.folder}: the suite table4 compares canonical moments, and only timestep {facts.canonical} was "
            "filmed by enough cameras. Give a capture with several training moments of the same cameras."
        )
    rows = {}
    for timestep in timesteps[:NUM_MOMENTS]:
        row = SAGE if timestep == facts.canonical else f"{SAGE}-canonical-{timestep}"
        if facts.cameras[timestep] != cameras:
            row += "-cameras-" + "-".join(map(str, sorted(cameras)))
        rows[timestep] = row
    return rows
