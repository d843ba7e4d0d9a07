"""How far a training has come, in words and as a bar."""

from __future__ import annotations

from dataclasses import dataclass

import viser

RECONSTRUCT, SELF_SUPERVISE = "reconstruct", "self-supervise"


@dataclass(frozen=True)
class Progress:
    """What the panel says about training."""

    text: str
    percent: float | None
    """Of the phase; None where nothing is being trained."""


def training_progress(num_done: int, reconstruct_steps: int, total: int) -> Progress:
    """Progress after ``num_done`` of ``total`` steps, the first ``reconstruct_steps`` of which are phase 1."""
    phases = [(RECONSTRUCT, min(reconstruct_steps, total)), (SELF_SUPERVISE, total - reconstruct_steps)]
    phases = [(name, length) for name, length in phases if length > 0]
    if num_done >= total:
        return trained(num_done)
    number = 2 if num_done >= reconstruct_steps and len(phases) == 2 else 1
    name, length = phases[number - 1]
    done = num_done - (reconstruct_steps if number == 2 else 0)
    text = f"phase {number} of {len(phases)}: **{name}**, step {done:,} of {length:,}"
    return Progress(text, 100.0 * done / length)


def trained(num_steps: int) -> Progress:
    """Progress of what is not trained any more; the run of an avatar file is as if after one step."""
    return Progress(f"trained: {num_steps:,} steps" if num_steps > 1 else "avatar file", None)


class ProgressBar:
    """Text and bar on a page.

    Args:
        gui: where.
        order: above what has a larger one.
    """

    def __init__(self, gui: viser.GuiApi, order: float) -> None:
        self._shown: Progress | None = None
        self._text = gui.add_markdown("", order=order)
        self._bar = gui.add_progress_bar(0.0, visible=False, order=order)

    def show(self, progress: Progress) -> bool:
        """Say this from now on; False, and no work, where it has been said."""
        if progress == self._shown:
            return False
        self._shown = progress
        self._text.content = progress.text
        self._bar.visible = progress.percent is not None
        if progress.percent is not None:
            self._bar.value = progress.percent
        return True
