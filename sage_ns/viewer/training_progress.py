"""Progress of a training, as text and as a bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import viser


@dataclass(frozen=True)
class Progress:
    """Text and percentage for the panel."""

    text: str
    percent: float | None
    """Percentage of the phase; None if no training is running."""


def training_progress(num_done: int, phases: Mapping[str, int], total: int) -> Progress:
    """Return the progress after ``num_done`` of ``total`` steps of a training.

    Args:
        num_done: steps that are done.
        phases: number of steps of each phase by name, in order; the last phase ends with the training.
        total: number of steps of the training.
    """
    if num_done >= total:
        return trained(num_done)
    names, ends = list(phases), [min(end, total) for end in accumulate(phases.values())]
    ends[-1] = total
    number = next(number for number, end in enumerate(ends) if num_done < end)
    start = ends[number - 1] if number else 0
    done, length = num_done - start, ends[number] - start
    counted = sum(end > before for before, end in zip([0, *ends], ends, strict=False))
    text = f"phase {number + 1} of {counted}: **{names[number].replace('_', '-')}**, step {done:,} of {length:,}"
    return Progress(text, 100.0 * done / length)


def trained(num_steps: int) -> Progress:
    """Return the progress of a finished training; the run of an avatar file has one step."""
    return Progress(f"trained: {num_steps:,} steps" if num_steps > 1 else "avatar file", None)


class ProgressBar:
    """Text and bar on a page.

    Args:
        gui: the page.
        order: position on the page; elements with a larger number are below.
    """

    def __init__(self, gui: viser.GuiApi, order: float) -> None:
        self._shown: Progress | None = None
        self._text = gui.add_markdown("", order=order)
        self._bar = gui.add_progress_bar(0.0, visible=False, order=order)

    def show(self, progress: Progress) -> bool:
        """Show the progress; return False, without work, if it is already shown."""
        if progress == self._shown:
            return False
        self._shown = progress
        self._text.content = progress.text
        self._bar.visible = progress.percent is not None
        if progress.percent is not None:
            self._bar.value = progress.percent
        return True
