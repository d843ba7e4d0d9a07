"""Result of one row of one capture with one seed, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from statistics import fmean
from types import NoneType
from typing import Any, Literal

from sage_ns.bench.rows import is_row
from sage_ns.errors import SageError
from sage_ns.evaluation.moments import hardest_moments
from sage_ns.system.files import write_json
from sage_ns.system.typed_json import load_typed

RESULT_FILE = "metrics.json"

FIGURES_VERSION = 2
"""Part of the fingerprint of all results: with another number, trained avatars are evaluated again. Raise it when
figures are added or defined in another way."""

View = Literal["novel_view", "frontal", "all", "hardest", "side_35", "side_65", "side_90"]
VIEWS: tuple[View, ...] = ("novel_view", "frontal", "all", "hardest", "side_35", "side_65", "side_90")
"""The canonical moment from a held-out camera; held-out moments from the frontal camera, and from all cameras; the
quarter of the held-out moments with the strongest expressions, from all cameras; novel views from cameras up to 40,
up to 75 and more degrees beside the face."""
SIDES: Mapping[View, tuple[float, float]] = {"side_35": (0.0, 40.0), "side_65": (40.0, 75.0), "side_90": (75.0, 181.0)}
"""Degrees beside the face from which and below which a camera belongs to a view."""


@dataclass(frozen=True)
class ImageFigures:
    """Figures of one picture by name, see `sage_ns.bench.yardstick.Yardstick.figures`, and again as ``aligned_...``."""

    timestep: int
    camera: int
    figures: Mapping[str, float]
    yaw: float | None = None
    """degrees that the camera is beside the front of the face, to either side; None: not measured"""
    strength: float | None = None
    """strength of the expression in millimetres, see `sage_ns.evaluation.moments.MomentRuler.strength`"""


@dataclass(frozen=True)
class Result:
    """Figures of one trained avatar and its cost."""

    key: str
    """fingerprint of all inputs of the figures"""
    row: str
    capture: str
    seed: int
    canonical_timestep: int
    frontal_camera: int
    """index of the test camera that is nearest to the face's front; -1 without a test split"""
    num_surfels: int
    num_steps: int
    seconds: Mapping[str, float]
    """seconds of the training, by phase"""
    peak_bytes: int
    """peak memory of the training"""
    novel_view: tuple[ImageFigures, ...]
    """held-out cameras at training moments"""
    reenactment: tuple[ImageFigures, ...]
    """held-out moments"""
    made_by: Mapping[str, Any]
    """version, commit, date and machine"""
    pictures_from: str | None = None
    """folder of the pictures of another method; None for our own rows"""

    def figures(self, view: View) -> dict[str, float]:
        """Return the means over the images of a view, by name; empty if there are none.

        Novel views are those of the canonical moment (or all, if it has none): a row that was trained on more moments
        is then measured on the same pictures.
        """
        return self._means[view]

    @cached_property
    def _means(self) -> dict[View, dict[str, float]]:
        # Tables ask for the same means a thousand times.
        return {view: self._mean_over(view) for view in VIEWS}

    def _mean_over(self, view: View) -> dict[str, float]:
        if view == "novel_view" or view in SIDES:
            images = [each for each in self.novel_view if each.timestep == self.canonical_timestep] or self.novel_view
            if view in SIDES:
                low, high = SIDES[view]
                images = [each for each in images if each.yaw is not None and low <= each.yaw < high]
        elif view == "hardest":
            strengths = {each.timestep: each.strength for each in self.reenactment if each.strength is not None}
            hardest = hardest_moments(strengths)
            images = [each for each in self.reenactment if each.timestep in hardest]
        else:
            images = [each for each in self.reenactment if view == "all" or each.camera == self.frontal_camera]
        names = dict.fromkeys(name for each in images for name in each.figures)
        return {name: fmean(each.figures[name] for each in images if name in each.figures) for name in names}

    def save(self, folder: Path) -> None:
        """Write the result into the row's folder."""
        write_json(folder / RESULT_FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Result | None:
        """Read the result of a row's folder; None if it is missing or cannot be read."""
        try:
            found = load_typed(cls, folder / RESULT_FILE, SageError)
        except SageError:
            return None
        named = found.pictures_from is not None or is_row(found.row)
        printable = found.row.isprintable() and found.capture.isprintable()
        return found if named and printable and _is_known_origin(found.made_by) else None


_ORIGIN: Mapping[str, Any] = {
    **dict.fromkeys(("version", "date", "processor"), str),
    **{"commit": (str, NoneType), "gpu": (str, NoneType), "cores": int},
}
"""Types of the entries of `made_by` that the tables state."""


def _is_known_origin(made_by: Mapping[str, Any]) -> bool:
    known = all(name in made_by and isinstance(made_by[name], kind) for name, kind in _ORIGIN.items())
    return known and all(not isinstance(each, float) or isfinite(each) for each in made_by.values())
