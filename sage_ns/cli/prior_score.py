"""``sage-prior score``: how well priors complete people from one photo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from sage_ns.errors import OptionError
from sage_ns.system.console import escape

NUM_SURFELS = 30_000
"""Of a person that ``fill`` completes: those of the preset small."""
Combine = Callable[[Sequence[float]], float]
_TITLES = {
    "photo": "camera of the photo",
    "all": "all views",
    "front": "up to 40 degrees",
    "slanting": "40 to 75 degrees",
    "side": "beyond 75 degrees",
}
"""Groups of pictures in the order of the table; the first two show other moments, the others the photo's."""


@dataclass
class Score:
    """Complete people from one photo, and compare all other pictures of them with the truth. Nothing is trained.

    Prints PSNR and SSIM for each source and capture: other moments as the camera of the photo and as all cameras see
    them, and the photo's moment by how far around the head the camera is; then mean and worst over the captures.
    """

    sources: Annotated[tuple[str, ...], tyro.conf.Positional]
    """files of priors; or fill: what completes a person without a prior"""
    captures: Annotated[tuple[Path, ...], tyro.conf.arg(aliases=("-c",))]
    """captures with one training picture, and pictures of other cameras (val) and moments (test)"""
    head_model: Path | None = None
    """head model file that all captures were tracked with; default: the one found near each capture"""
    downscale_factor: int = 1
    """average blocks of this many pixels along each side"""
    every: int = 1
    """compare each of so many test moments"""
    seed: int = 0
    """random seed of the completion"""
    output: Path | None = None
    """json file to write all figures to"""
    sheets: Path | None = None
    """folder to write a picture for each source and capture to: the completed person above the truth"""

    def run(self, console: Console) -> None:
        """Complete, compare, print and write.

        Raises:
            SageError: a source or a capture cannot be used; all are read before the first is compared.
        """
        from sage_ns.capture.checked import CaptureOptions
        from sage_ns.priors.scores import Trial, score, summary
        from sage_ns.priors.sources import open_source
        from sage_ns.system.files import write_json
        from sage_ns.training.config import LearnerConfig

        for name, value in (("downscale_factor", self.downscale_factor), ("every", self.every)):
            if value < 1:
                raise OptionError("expected at least 1", **{name: value})
        config = LearnerConfig(num_surfels=NUM_SURFELS)
        sources = {name: open_source(name, config) for name in dict.fromkeys(self.sources)}
        trials = [
            Trial.read(CaptureOptions(capture, self.head_model, "photo", downscale_factor=self.downscale_factor),
                      self.every)
            for capture in dict.fromkeys(self.captures)
        ]  # fmt: skip
        found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        for name, source in sources.items():
            for trial in trials:
                sheet = None if self.sheets is None else self.sheets / f"{Path(name).stem}_{trial.name}.png"
                scores = summary(score(source, trial, self.seed, sheet))
                found.setdefault(name, {})[trial.name] = scores
                if self.output is not None:
                    write_json(self.output, found)
        console.print(_table(found))


def _table(found: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]) -> Table:
    table = Table(title=escape("people completed from one photo: PSNR [dB] / SSIM"))
    for title in ("source", "person", *_TITLES.values(), "face, all views"):
        table.add_column(title)
    for name, people in found.items():
        for person, groups in people.items():
            table.add_row(escape(name), escape(person), *_cells([groups], mean))
        if len(people) > 1:
            table.add_row(escape(name), "mean", *_cells(list(people.values()), mean))
            table.add_row(escape(name), "worst", *_cells(list(people.values()), min))
        table.add_section()
    return table


def _cells(people: Sequence[Mapping[str, Mapping[str, float]]], combine: Combine) -> list[str]:
    columns = [*((group, ("psnr", "ssim")) for group in _TITLES), ("all", ("psnr_face", "ssim_face"))]
    return [" / ".join(_figure(people, group, figure, combine) for figure in figures) for group, figures in columns]


def _figure(people: Sequence[Mapping[str, Mapping[str, float]]], group: str, figure: str, combine: Combine) -> str:
    values = [groups[group][figure] for groups in people if figure in groups.get(group, {})]
    if not values:
        return "-"
    return f"{combine(values):.2f}" if figure.startswith("psnr") else f"{combine(values):.3f}"
