"""Recordings of ARKit's blendshape scores: what all their formats share, and their conversion to motion of a rig.

A score says how far one of 52 named parts of the face is moved. Only a rig turns it into FLAME parameters
(`sage_ns.motion.face.arkit`). These readers therefore implement `MotionReader.read_for`.
"""

from __future__ import annotations

import csv
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sage_ns.errors import CaptureError
from sage_ns.motion.face.arkit_names import ARKIT_NAMES, NAMES_BY_KEY, name_key
from sage_ns.motion.files.registry import MotionReader, MotionSplit

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel

LOWEST, HIGHEST = -0.5, 2.0
"""Scores are made for 0..1. Calibrated recordings go a little beyond, which is clamped; scores beyond these two are in
another unit, for instance percent."""
IN_USE = 0.05
"""A name whose scores all stay below this is not in use in a recording."""
MOST_BYTES = 512 * 2**20
"""Largest recording that is read; an hour at 60 moments per second has about 120 MB."""
_BEGINNING = 2**16
"""Bytes of a file that decide whether it is a recording."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of a recording, one row per moment."""

    scores: Float[np.ndarray, "num_moments 52"]
    """In the order of `ARKIT_NAMES`; NaN where the recording has no value because the face was lost."""
    fps: float | None = None
    """Moments per second; None if the recording does not tell."""
    head: Float[np.ndarray, "num_moments 3"] | None = None
    """Rotation of the head, axis times radians in ARKit's axes; NaN where the recording has no value."""
    notes: tuple[str, ...] = ()
    """Notes of the reader for the user."""


class ScoreReader(MotionReader):
    """Base class of the readers of blendshape scores."""

    @abstractmethod
    def table(self, path: Path) -> ScoreTable:
        """Read a recording as it is.

        Raises:
            CaptureError: The file is broken; names line and column.
        """

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Refuse: scores become motion only on a rig."""
        self.table(path)
        raise CaptureError(
            f"{path}: blendshape scores become motion only on the rig of an avatar. Give the head model, too: "
            "load_motion(path, avatar.rig.head_model)."
        )

    def read_for(self, path: Path, split: MotionSplit, rig: Callable[[], HeadModel]) -> Motion:
        """Read the recording and convert it to motion of the rig. Moments without the face repeat the moment before."""
        import torch

        from sage_ns.motion.face.arkit import ArkitMap
        from sage_ns.motion.motion import Motion

        table = self.table(path)
        scores, notes = _completed(path, table)
        head = None if table.head is None else torch.from_numpy(_held(table.head)).float()
        arkit = ArkitMap.of(rig().to("cpu"))
        used = {name for name, most in zip(ARKIT_NAMES, scores.max(axis=0), strict=True) if most > IN_USE}
        lost = [name for name in arkit.not_representable if name in used]
        if lost:
            notes.append(f"without effect on this rig: {', '.join(lost)}")
        params = arkit.sequence(torch.from_numpy(scores).float(), head)
        return Motion.of(params, path, fps=table.fps, notes=(*table.notes, *notes))


def beginning(path: Path) -> str:
    """Return the first characters of a text file, without a byte order mark; "" for anything else."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(_BEGINNING)
    return "" if b"\0" in start else start.decode("utf-8-sig", errors="replace")


def read_text(path: Path) -> str:
    """Return the content of a text file in UTF-8, with or without a byte order mark.

    Raises:
        CaptureError: The file is too large or is not text.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise CaptureError(
            f"{path}: found {size / 1e6:.0f} MB, expected at most {MOST_BYTES / 1e6:.0f}: cut it in parts"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptureError(f"{path}: not a text file in UTF-8 ({error}). Export the recording again.") from error


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], list[str]]:
    """Read a csv file with a header.

    Returns:
        The names of the columns, the rows with their line numbers, and notes. An incomplete last row is left out with a
        note: the recording was cut off while it was written.

    Raises:
        CaptureError: The file is not a csv, has no rows, or one of them has another number of cells than the header.
    """
    lines = read_text(path).splitlines()
    try:
        rows = [(number, row) for number, row in enumerate(csv.reader(lines), start=1) if any(map(str.strip, row))]
    except csv.Error as error:
        raise CaptureError(f"{path}: not a readable csv file ({error}). Export the recording again.") from error
    header = [name.strip() for name in rows[0][1]] if rows else []
    rows, notes = rows[1:], []
    if rows and len(rows[-1][1]) < len(header):
        notes.append(f"line {rows[-1][0]} is incomplete and is left out")
        rows = rows[:-1]
    if not rows:
        raise CaptureError(f"{path}: found no moments below the header. Export the recording again.")
    for number, row in rows:
        if len(row) != len(header):
            raise CaptureError(
                f"{path}: line {number}: found {len(row)} cells, expected {len(header)} as in the header. Export the "
                "recording again."
            )
    return header, rows, notes


def number(text: object, path: Path, line: int, name: str) -> float:
    """Return a value of a recording; NaN for an empty cell, null, and a value that is not a number.

    Raises:
        CaptureError: It is infinite or is no number; names the file, the line and the column.
    """
    try:
        if text is None or (isinstance(text, str) and not text.strip()):
            return math.nan
        if isinstance(text, bool) or not isinstance(text, (str, int, float)):
            raise ValueError
        value = float(text)
        if math.isinf(value):
            raise ValueError
    except (ValueError, OverflowError):
        found = f"found {str(text)[:40]!r}, expected a number"
        raise CaptureError(f"{path}: line {line}: '{name}': {found}") from None
    return value


def scores_of(path: Path, moments: Iterable[tuple[int, Mapping[str, object] | None]]) -> np.ndarray:
    """Return scores in the order of `ARKIT_NAMES`.

    Args:
        path: The recording, for messages.
        moments: Line number and the values by name in any spelling; None if the face was lost. Absent names are 0.

    Raises:
        CaptureError: A value is no number, or is far outside 0..1.
    """
    columns: dict[str, int | None] = {}
    rows = []
    for line, values in moments:
        row = [math.nan if values is None else 0.0] * len(ARKIT_NAMES)
        for spelled, value in (values or {}).items():
            if spelled not in columns:
                name = NAMES_BY_KEY.get(name_key(spelled))
                columns[spelled] = None if name is None else ARKIT_NAMES.index(name)
            if (column := columns[spelled]) is not None:
                row[column] = number(value, path, line, spelled)
                if row[column] < LOWEST or row[column] > HIGHEST:
                    expected = "expected 0..1: divide percentages by 100"
                    raise CaptureError(f"{path}: line {line}: '{spelled}': found {row[column]:g}, {expected}")
        rows.append(row)
    return np.array(rows).reshape(-1, len(ARKIT_NAMES))


def known_names(names: Sequence[str]) -> list[str]:
    """Return the names that are blendshapes of ARKit, in any spelling."""
    return [name for name in names if name_key(name) in NAMES_BY_KEY]


def _completed(path: Path, table: ScoreTable) -> tuple[Float[np.ndarray, "num_moments 52"], list[str]]:
    """Return scores in 0..1 without gaps, and notes on what was filled or clamped."""
    missing = np.isnan(table.scores)
    if missing.all(axis=0).any():
        name = ARKIT_NAMES[int(missing.all(axis=0).argmax())]
        raise CaptureError(f"{path}: '{name}': found no value in any moment: the face was never seen. Record it again.")
    notes = []
    num, lost = len(missing), int(missing.any(axis=1).sum())
    if lost:
        notes.append(f"{lost} of {num} moments have no scores (the face was lost): they hold the last pose")
    held = _held(table.scores)
    scores = held.clip(0.0, 1.0)
    outside = (scores != held).any(axis=1)
    if outside.any():
        name = ARKIT_NAMES[int(np.abs(scores - held).max(axis=0).argmax())]
        notes.append(f"clamped the scores of {int(outside.sum())} of {num} moments to 0..1 (farthest: {name})")
    return scores, notes


def _held(values: Float[np.ndarray, "num_moments n"]) -> Float[np.ndarray, "num_moments n"]:
    """Replace NaN by the last value above it in the column, or else by the first below it, or else by 0."""
    rows = np.arange(len(values))[:, None]
    known = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    source = np.where(last < 0, known.argmax(axis=0)[None], last)
    return np.nan_to_num(np.take_along_axis(values, source, axis=0))
