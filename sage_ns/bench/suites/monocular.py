"""Suite ``monocular``: one camera and a turning head, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import MONOCULAR_ROWS, MULTI
from sage_ns.bench.suites.figures import quality_plot, quality_sheet
from sage_ns.bench.suites.registry import Suite, register_suite
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sage_ns.bench.measured import CaptureFacts, Measured
    from sage_ns.bench.sheet import Sheet

TITLE = "one camera and a turning head"


@register_suite
class Monocular(Suite):
    """Surfels, then each part of ``sage-monocular`` added, the whole, and the whole without each part."""

    name: ClassVar[str] = "monocular"
    summary: ClassVar[str] = "one camera and a turning head: each part of sage-monocular added, and left out"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return the rows.

        Raises:
            SageError: several cameras filmed the training moments, or one moment alone.
        """
        cameras = set().union(*facts.cameras.values())
        if len(cameras) > 1 or len(facts.cameras) < 2:
            raise SageError(
                f"{facts.folder}: the suite monocular needs one camera and a turning head; the capture has "
                f"{len(cameras)} cameras and {len(facts.cameras)} training moments."
            )
        return [MULTI, *MONOCULAR_ROWS]

    def sheet(self, measured: Measured) -> Sheet:
        """Return a line for each row."""
        return quality_sheet(measured, TITLE)

    def plot(self, measured: Measured) -> Figure:
        """Return PSNR by row."""
        return quality_plot(measured, TITLE)
