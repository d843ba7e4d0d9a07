"""Plots of the benchmark as PNG files, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sage_ns.system.files import whole_file

_DOTS_PER_INCH = 160


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    deviation: Sequence[float | None] | None = None
    """standard deviation of each value over seeds; None or a None = not shown"""
    color: int = 0
    """number of the colour; lines that belong together share it"""
    dashed: bool = False
    marked: bool = True
    """mark each point"""


def line_plot(
    title: str, across: str, up: str, lines: Sequence[Line], every_value: bool = False, logarithmic: bool = False
) -> Figure:
    """Draw lines over one axis.

    Args:
        title: title.
        across: name and unit of the horizontal axis.
        up: name and unit of the vertical axis.
        lines: lines; those without points are left out.
        every_value: name every x that a line has on the horizontal axis, which is logarithmic then.
        logarithmic: make the vertical axis logarithmic.
    """
    figure, axes = empty_plot(title, across, up)
    for line in (line for line in lines if len(line.x)):
        axes.errorbar(
            line.x,
            line.y,
            yerr=None if line.deviation is None else [each or 0.0 for each in line.deviation],
            label=line.label,
            color=f"C{line.color}",
            linestyle="--" if line.dashed else "-",
            marker="o" if line.marked else "",
            markersize=4,
            capsize=3,
        )
    if every_value:
        values = sorted({value for line in lines for value in line.x})
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    if logarithmic:
        axes.set_yscale("log")
    return with_legend(figure, axes)


def bar_plot(title: str, up: str, names: Sequence[str], bars: Mapping[str, Sequence[float | None]]) -> Figure:
    """Draw groups of bars; the vertical axis begins a little below the shortest bar.

    Args:
        title: title.
        up: name and unit of the vertical axis.
        names: names of the groups.
        bars: values of each group by label; None = no bar.
    """
    figure, axes = empty_plot(title, "", up)
    width = 0.8 / max(len(bars), 1)
    for index, (label, values) in enumerate(bars.items()):
        shown = [(place, value) for place, value in enumerate(values) if value is not None]
        left = [place + (index - (len(bars) - 1) / 2) * width for place, _ in shown]
        drawn = axes.bar(left, [value for _, value in shown], width, label=label, color=f"C{index}")
        axes.bar_label(drawn, fmt="%.1f", fontsize=6)
    values = [value for group in bars.values() for value in group if value is not None]
    if values:
        low, high = min(values), max(values)
        margin = max(0.25 * (high - low), 0.5)
        axes.set_ylim(low - margin, high + margin)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
    return with_legend(figure, axes)


def save_plot(figure: Figure, path: Path) -> None:
    """Write a plot as PNG, complete or not at all."""
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=_DOTS_PER_INCH)


def empty_plot(title: str, across: str, up: str, size: tuple[float, float] = (7.0, 4.2)) -> tuple[Figure, Axes]:
    """Return a plot without content, and its axes; ``size`` is width and height in inches."""
    # Not pyplot, which keeps figures alive and may look for a display.
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def with_legend(figure: Figure, axes: Axes) -> Figure:
    """Return the plot with a legend, if anything in it has a label."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)
    return figure
