"""Suite ``oneshot``: one picture, with and without each part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sage_ns.bench.rows import ONESHOT_ROWS, SINGLE
from sage_ns.bench.suites.comparison import ComparisonSuite
from sage_ns.bench.suites.registry import register_suite
from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.bench.measured import CaptureFacts


@register_suite
class Oneshot(ComparisonSuite):
    """Surfels on the picture, ``sage-oneshot``, the person that it starts from, and the whole without each part."""

    name: ClassVar[str] = "oneshot"
    summary: ClassVar[str] = "one picture: sage-oneshot, its start, and the whole without each part"
    title: ClassVar[str] = "one picture"

    def rows(self, facts: CaptureFacts) -> Sequence[str]:
        """Return the rows.

        Raises:
            SageError: there are several training pictures.
        """
        pictures = sum(len(each) for each in facts.cameras.values())
        if pictures > 1:
            raise SageError(
                f"{facts.folder}: the suite oneshot needs a single training picture; the capture has {pictures}."
            )
        return [SINGLE, *ONESHOT_ROWS]
