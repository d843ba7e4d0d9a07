"""Novel views by how far the camera is beside the front of the face: what one camera and a turning head do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sage_ns.bench.result import SIDES, View
from sage_ns.bench.sheet import Sheet, figure_cells

if TYPE_CHECKING:
    from sage_ns.bench.summary import RowSummary

TITLES: Mapping[View, str] = {"side_35": "up to 40 degrees", "side_65": "40 to 75", "side_90": "beyond 75"}
"""Names of the views for headings."""


def side_sheets(capture: str, summaries: Sequence[RowSummary], over: str) -> list[Sheet]:
    """Return the table of novel views by direction; none for a capture whose held-out cameras are all in front.

    Args:
        capture: name of the capture, for the title.
        summaries: figures of the rows.
        over: what the title says about the number of seeds.
    """
    shown: list[View] = [view for view in SIDES if any("psnr" in each.figures[view] for each in summaries)]
    if len(shown) < 2:
        return []
    headings = ["row", *(heading for view in shown for heading in (TITLES[view], "its face"))]
    rows = []
    for each in summaries:
        figures = [(each.figures[view], suffix) for view in shown for suffix in ("", "_face")]
        rows.append((each.row, *(figure_cells(values, "psnr" + suffix, "ssim" + suffix) for values, suffix in figures)))
    return [Sheet(f"{capture}: novel view by the camera's angle to the face, PSNR / SSIM{over}", headings, rows)]
