"""Depth distortion of the posed heads of phase 2, step by step, stored beside a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.system.files import read_json, write_json
from sage_ns.training.self_supervise import SelfSupervise

CURVE_FILE = "distortion.json"

LOSS = "depth_distortion"
_OF_PICTURES = "l1"
"""Loss that only steps on real pictures have."""


class LossCurve:
    """Values of one loss at the steps of phase 2 that draw a posed head; steps on real pictures do not count.

    A step keeps its value as a tensor. The values become numbers when the curve is written, with a checkpoint: no step
    waits for the device.

    Args:
        folder: folder of the training.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / CURVE_FILE
        self._steps: list[int] = []
        self._values: list[float] = []
        self._pending: list[Tensor] = []

    def begin(self, step: int) -> None:
        """Start, or continue after ``step`` steps; values of later steps are dropped."""
        earlier = read_curve(self.path.parent) if step else None
        if earlier is not None:
            kept = earlier[0] < step
            self._steps, self._values = earlier[0][kept].tolist(), earlier[1][kept].tolist()
        self._pending = []

    def add(self, step: int, phase: str, losses: Mapping[str, Tensor]) -> None:
        """Keep the loss of a step if it drew a posed head.

        Args:
            step: number of the step.
            phase: name of its phase.
            losses: weighted losses by name.
        """
        if phase == SelfSupervise.name and LOSS in losses and _OF_PICTURES not in losses:
            self._steps.append(step)
            self._pending.append(losses[LOSS].detach())

    def write(self) -> None:
        """Write the curve so far."""
        if self._pending:
            self._values += torch.stack(self._pending).tolist()
            self._pending = []
        write_json(self.path, {"loss": LOSS, "steps": self._steps, "values": self._values})


def read_curve(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return steps [n] and weighted losses [n] of a training's folder; None if it has no curve."""
    content = read_json(folder / CURVE_FILE)
    if content is None:
        return None
    return np.array(content["steps"], dtype=np.int64), np.array(content["values"], dtype=np.float64)


def smoothed(values: Float[np.ndarray, "n"], width: int) -> Float[np.ndarray, "n"]:
    """Return the mean of each value and its neighbours within a window of ``width`` values; shorter at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    middle = np.arange(len(values))
    low = np.maximum(middle - (width - 1) // 2, 0)
    high = np.minimum(middle + width // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
