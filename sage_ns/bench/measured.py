"""What suites are made of: facts about a capture before training, and results after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sage_ns.bench.job import Job, Settings
from sage_ns.bench.result import Result
from sage_ns.bench.summary import RowSummary, summarise
from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.capture.flame_table import expression_magnitude
from sage_ns.capture.selection import timesteps_in_order
from sage_ns.system.files import read_json, write_json


@dataclass(frozen=True)
class CaptureFacts:
    """Training moments and training cameras of a capture."""

    folder: Path
    """absolute path"""
    head_model: Path | None
    """head model file that was named; None = the one near the capture"""
    canonical: int
    """canonical timestep"""
    cameras: Mapping[int, frozenset[int]]
    """training cameras by timestep id: the canonical one first, then in the order of
    :func:`sage_ns.capture.selection.timesteps_in_order`"""
    expression_mm: Mapping[int, float]
    """how far expression and jaw move the face from neutral, by timestep id [mm]"""

    @property
    def name(self) -> str:
        """Name of the capture."""
        return self.folder.name

    @classmethod
    def read(cls, folder: Path, settings: Settings) -> CaptureFacts:
        """Read a capture.

        Raises:
            SageError: the capture cannot be used.
        """
        loaded = load_capture(CaptureOptions(folder, settings.head_model, downscale_factor=settings.downscale_factor))
        canonical, tracking = loaded.splits.canonical_timestep, loaded.tracking
        frames = (*loaded.splits.train, *loaded.capture.train_multiframe)
        seen: dict[int, set[int]] = {}
        for frame in frames:
            seen.setdefault(frame.timestep, set()).add(frame.camera_index)
        ids = sorted(seen)
        params = {timestep: tracking.params[tracking.row_of(timestep)] for timestep in ids}
        trained = tracking.params[tracking.rows_of(torch.tensor(ids))]
        return cls(
            folder=folder,
            head_model=settings.head_model,
            canonical=canonical,
            cameras={
                timestep: frozenset(seen[timestep])
                for timestep in timesteps_in_order(ids, canonical, params, loaded.head_model)
            },
            expression_mm=dict(
                zip(ids, (1e3 * expression_magnitude(trained, loaded.head_model)).tolist(), strict=True)
            ),
        )


@dataclass(frozen=True)
class Measured:
    """Results of the rows of one suite on one capture."""

    facts: CaptureFacts
    rows: Sequence[str]
    """rows of the suite, those without results included"""
    done: Sequence[tuple[Job, Result]]
    """finished jobs of these rows, of all seeds"""

    @cached_property
    def summaries(self) -> Mapping[str, RowSummary]:
        """Figures over seeds by row, in the order of :attr:`rows`; rows without results are left out."""
        found = {each.row: each for each in summarise([result for _, result in self.done])}
        return {row: found[row] for row in self.rows if row in found}

    def of_row(self, row: str) -> list[tuple[Job, Result]]:
        """Return the finished jobs of one row, one for each seed."""
        return [(job, result) for job, result in self.done if job.row == row]

    def own(self, row: str, file: str) -> list[Any]:
        """Return what :func:`measured_once` has stored for each seed of a row, in this file of the job's folder."""
        contents = [read_json(job.folder / file) for job, _ in self.of_row(row)]
        return [content["measured"] for content in contents if content is not None]


def measured_once(path: Path, key: str, measure: Callable[[], Any]) -> Any:
    """Return what ``measure`` has measured: from the file, if it was written with the same key, else now.

    Args:
        path: JSON file, written when the measurement is complete.
        key: fingerprint of everything that the measurement depends on.
        measure: makes the measurement; its result must be JSON.
    """
    content = read_json(path)
    if content is None or content.get("key") != key:
        content = {"key": key, "measured": measure()}
        write_json(path, content)
    return content["measured"]
