"""Suite ``monocular``: one camera and a turning head, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import MONOCULAR_ROWS, MULTI
from sage_ns.bench.suites.comparison import ComparisonSuite
from sage_ns.bench.suites.registry import register_suite
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.bench.measured import CaptureFacts


@register_suite
class Monocular(ComparisonSuite):
    """Surfels, then each part of ``sage-monocular`` added, the whole, and the whole without each part."""

    name: ClassVar[str] = "monocular"
    summary: ClassVar[str] = "one camera and a turning head: each part of sage-monocular added, and left out"
    title: ClassVar[str] = "one camera and a turning head"

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
