"""Quality against the strength of the expression: one point per held-out moment, as data and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from sage_ns.bench.result import Result

NUM_BINS = 4
"""Points of the line of a row: each is the mean of a quarter of the moments, by strength."""


@dataclass(frozen=True)
class StrengthPoint:
    """One held-out moment of a row."""

    timestep: int
    strength: float
    """millimetres, see `sage_ns.evaluation.moments.MomentRuler.strength`"""
    psnr_face: float
    """dB, mean over cameras that see the face, and seeds"""


def strength_curves(results: Sequence[Result]) -> dict[str, list[StrengthPoint]]:
    """Return the points of each row by ascending strength; rows without faces in view are left out.

    Args:
        results: results of one capture, of all rows and seeds.
    """
    samples: dict[str, dict[tuple[float, int], list[float]]] = {}
    for result in results:
        for each in result.reenactment:
            if each.strength is not None and "psnr_face" in each.figures:
                moments = samples.setdefault(result.row, {})
                moments.setdefault((each.strength, each.timestep), []).append(each.figures["psnr_face"])
    return {
        row: [
            StrengthPoint(timestep, strength, fmean(moments[strength, timestep]))
            for strength, timestep in sorted(moments)
        ]
        for row, moments in samples.items()
    }


def bin_means(curve: Sequence[StrengthPoint]) -> list[tuple[float, float]]:
    """Return mean strength and mean PSNR of each quarter of the moments, from weak to strong expressions."""
    edges = [len(curve) * index // NUM_BINS for index in range(NUM_BINS + 1)]
    bins = [curve[start:end] for start, end in pairwise(edges)]
    return [(fmean(p.strength for p in each), fmean(p.psnr_face for p in each)) for each in bins if each]


def write_strength_plot(path: Path, capture: str, curves: Mapping[str, Sequence[StrengthPoint]]) -> bool:
    """Plot PSNR of the face against the strength of the expression: a dot per moment, a line of means per row.

    Args:
        path: PNG file to write.
        capture: name of the capture, for the title.

    Returns:
        whether a plot was written; False without curves.
    """
    if not curves:
        return False
    from sage_ns.bench.plots import empty_plot, save_plot, with_legend

    across = "strength of the expression: RMS movement of the face [mm]"
    figure, axes = empty_plot(f"{capture}: held-out moments", across, "PSNR of the face [dB]", (9.0, 5.5))
    for index, (row, curve) in enumerate(curves.items()):
        color = f"C{index % 10}"
        axes.scatter([p.strength for p in curve], [p.psnr_face for p in curve], s=10, color=color, alpha=0.4)
        strengths, means = zip(*bin_means(curve), strict=True)
        style = ("-", "--", ":", "-.")[index // 10 % 4]
        axes.plot(strengths, means, style, color=color, marker="o", markersize=4, label=row)
    save_plot(with_legend(figure, axes), path)
    return True
