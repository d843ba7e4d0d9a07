"""Suites ``table1`` and ``table3``: the methods, and SAGE without each of its parts (the paper's Tables I and III)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import MULTI, ROWS, SAGE, SAGE_MULTI, SINGLE, is_row
from sage_ns.bench.suites.figures import quality_plot, quality_sheet
from sage_ns.bench.suites.registry import Suite, register_suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

METHODS = (SINGLE, MULTI, "gaussian-avatars-single", "gaussian-avatars-multi", "sage-paper", SAGE, SAGE_MULTI)
"""Rows of ``table1``; those that this version does not have are left out."""


@register_suite
class Methods(Suite):
    """All methods, with one moment and with all."""

    name: ClassVar[str] = "table1"
    summary: ClassVar[str] = "all methods on one moment and on all moments"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return one row for each method and choice of moments; a capture of one moment has no rows of all."""
        several = len(facts.cameras) > 1
        return [name for name in METHODS if is_row(name) and (several or ROWS[name].frames == "single")]

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row."""
        return quality_sheet(measured, "methods")

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR by row."""
        return quality_plot(measured, "methods")


@register_suite
class Ablations(Suite):
    """SAGE, and SAGE without each of its parts."""

    name: ClassVar[str] = "table3"
    summary: ClassVar[str] = "SAGE without each of its parts"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return ``sage``, then all named rows that change it."""
        return [SAGE, *(name for name in ROWS if name.startswith(f"{SAGE}-no-"))]

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row."""
        return quality_sheet(measured, "SAGE without its parts")

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR by row."""
        return quality_plot(measured, "SAGE without its parts")
