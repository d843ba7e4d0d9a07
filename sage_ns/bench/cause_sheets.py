"""Tables that separate causes: figures by region and for the hardest moments, and after alignment of the head."""

from __future__ import annotations

from collections.abc import Sequence

from sage_ns.bench.sheet import Sheet, change, figure_cells
from sage_ns.bench.summary import RowSummary
from sage_ns.evaluation.figures import ALIGNED, EVIDENCE_TITLES, REGION_TITLES


def cause_sheets(capture: str, summaries: Sequence[RowSummary], over: str) -> list[Sheet]:
    """Return the tables by region and after alignment; each is left out if no row has its figures.

    Args:
        capture: name of the capture, for the titles.
        summaries: all rows of the capture.
        over: end of the titles, which says what figures are means of.
    """
    regions = [name for name in REGION_TITLES if _any(summaries, f"psnr_{name}")]
    sheets = []
    if regions or _any(summaries, "gmsd"):
        sheets.append(_by_region(capture, summaries, regions, over))
    if _any(summaries, f"{ALIGNED}psnr"):
        sheets.append(_aligned(capture, summaries, regions, over))
    return sheets


def _any(summaries: Sequence[RowSummary], figure: str) -> bool:
    return any(figure in each.figures["all"] for each in summaries)


def _by_region(capture: str, summaries: Sequence[RowSummary], regions: Sequence[str], over: str) -> Sheet:
    evidence = [name for name in EVIDENCE_TITLES if _any(summaries, f"psnr_{name}")]
    titles = [*(REGION_TITLES[name] for name in regions), *(EVIDENCE_TITLES[name] for name in evidence)]
    headings = ("row", *titles, "hardest quarter", "its faces", "MS-SSIM", "GMSD")
    rows = []
    for each in summaries:
        everything, hardest = each.figures["all"], each.figures["hardest"]
        rows.append(
            (
                each.row,
                *(figure_cells(everything, f"psnr_{name}") for name in (*regions, *evidence)),
                *(figure_cells(hardest, name) for name in ("psnr", "psnr_face")),
                *(figure_cells(everything, name) for name in ("ms_ssim", "gmsd")),
            )
        )
    title = f"{capture}: self-reenactment by region, all cameras, PSNR unless a column says otherwise{over}"
    return Sheet(title, headings, rows)


def _aligned(capture: str, summaries: Sequence[RowSummary], regions: Sequence[str], over: str) -> Sheet:
    headings = (
        *("row", "PSNR / SSIM", "change", "face", "change"),
        *(REGION_TITLES[name] for name in regions),
        *("hardest, face", "shift [mm]", "turn [degrees]"),
    )
    rows = []
    for each in summaries:
        found, hardest = each.figures["all"], each.figures["hardest"]
        rows.append(
            (
                each.row,
                figure_cells(found, f"{ALIGNED}psnr", f"{ALIGNED}ssim"),
                change(found, found, "psnr", f"{ALIGNED}psnr"),
                figure_cells(found, f"{ALIGNED}psnr_face", f"{ALIGNED}ssim_face"),
                change(found, found, "psnr_face", f"{ALIGNED}psnr_face"),
                *(figure_cells(found, f"{ALIGNED}psnr_{name}") for name in regions),
                figure_cells(hardest, f"{ALIGNED}psnr_face"),
                *(figure_cells(found, ALIGNED + name) for name in ("shift", "turn")),
            )
        )
    missing = [each.row for each in summaries if f"{ALIGNED}psnr" not in each.figures["all"]]
    left_out = f" (not for {', '.join(missing)}: pictures cannot be drawn again)" if missing else ""
    title = f"{capture}: self-reenactment, all cameras, after alignment of the head in each moment{left_out}{over}"
    return Sheet(title, headings, rows)
