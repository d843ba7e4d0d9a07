"""Suites ``table1`` and ``table3``: the methods, and SAGE without each of its parts (the paper's Tables I and III)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import GAUSSIANS_MULTI, GAUSSIANS_SINGLE, MULTI, ROWS, SAGE, SAGE_MULTI, SINGLE
from sage_ns.bench.suites.comparison import ComparisonSuite
from sage_ns.bench.suites.figures import possible_rows
from sage_ns.bench.suites.registry import register_suite

if TYPE_CHECKING:
    from sage_ns.bench.measured import CaptureFacts

METHODS = (SINGLE, MULTI, GAUSSIANS_SINGLE, GAUSSIANS_MULTI, "sage-paper", SAGE, SAGE_MULTI)
"""Rows of ``table1``."""


@register_suite
class Methods(ComparisonSuite):
    """All methods, with one moment and with all."""

    name: ClassVar[str] = "table1"
    summary: ClassVar[str] = "all methods on one moment and on all moments"
    title: ClassVar[str] = "methods"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return one row for each method and choice of moments; a capture of one moment has no rows of all."""
        return possible_rows(facts, METHODS)


@register_suite
class Ablations(ComparisonSuite):
    """SAGE, and SAGE without each of its parts."""

    name: ClassVar[str] = "table3"
    summary: ClassVar[str] = "SAGE without each of its parts"
    title: ClassVar[str] = "SAGE without its parts"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return ``sage``, then all named rows that leave a part out."""
        return [SAGE, *(name for name in ROWS if name.startswith(f"{SAGE}-no-"))]
