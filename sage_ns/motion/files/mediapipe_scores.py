"""Motion in recordings of MediaPipe's 52 blendshape scores: one JSON object per line, or a csv with a header of names.

A line holds the scores by name, at its top or under `blendshapes`; there they may also be MediaPipe's list of 52
numbers (`_neutral` first) or its list of categories. `null` or an empty list means that no face was found.

`facial_transformation_matrixes` turns the head, as MediaPipe states it: a similarity [4, 4] from the canonical face (x
to its left, y up, looks along +z; centimetres) to the space of a camera at the origin that looks along -z. Python has
rows; JavaScript has `data`, sixteen numbers by columns. The zeros beside the translation tell which of them it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sage_ns.errors import CaptureError
from sage_ns.motion.face.arkit_names import ARKIT_NAMES
from sage_ns.motion.files.registry import register_reader
from sage_ns.motion.files.score_table import (
    ScoreReader,
    ScoreTable,
    beginning,
    known_names,
    number,
    read_csv,
    read_text,
    scores_of,
)

MEDIAPIPE_NAMES = ("_neutral", *sorted(name for name in ARKIT_NAMES if name != "tongueOut"))
"""The 52 names in the order of MediaPipe's list: alphabetical after `_neutral`; it has no tongue."""
_SCORES = ("blendshapes", "face_blendshapes", "faceBlendshapes")
"""Keys of the scores in a line."""
_TIME, _HEAD = "timestamp_ms", "head"
_MATRICES = ("facial_transformation_matrixes", "facialTransformationMatrixes")
_SCALE = (0.1, 10.0)
"""Range of the scale of a matrix; larger and smaller ones are no poses."""
_SKEW = 0.01
"""Entries of R^T R of its rotation that may differ from the identity."""
_BESIDE = frozenset({_TIME, _HEAD, *_MATRICES, "_neutral", "frame", "frame_index", "timestamp", "time", "fps"})
"""Names beside the scores."""
_FEWEST_NAMES = 3
"""Known names in a header that make a csv a recording."""
_LINES_TO_TRY = 20


@register_reader
class MediapipeScores(ScoreReader):
    """A file of scores, as JSON lines or as csv."""

    name = "MediaPipe scores"
    reads = "a recording of MediaPipe's face blendshapes (JSON lines or csv)"
    keeps = (
        "the scores by ARKit's names, which also turn jaw and eyes; `head` (axis times radians) or MediaPipe's "
        "`facial_transformation_matrixes` turn the neck, and `timestamp_ms` gives the moments per second, if the file "
        "has them"
    )
    programs = ("scripts around MediaPipe's FaceLandmarker", "streams for `examples/03_drive_from_arkit.py`")

    def recognises(self, path: Path) -> bool:
        """Return whether the first lines are JSON objects with scores, or the first line is a header of names."""
        lines = [line for line in beginning(path).splitlines() if line.strip()]
        if lines and len(known_names([name.strip() for name in lines[0].split(",")])) >= _FEWEST_NAMES:
            return True
        return any(_holds_scores(line) for line in lines[:_LINES_TO_TRY])

    def table(self, path: Path) -> ScoreTable:
        """Read the scores, the rate and the rotation of the head."""
        is_json = beginning(path).lstrip().startswith(("{", "null"))
        return _json_lines(path) if is_json else _csv(path)


def _holds_scores(line: str) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and (any(key in entry for key in _SCORES) or bool(known_names(list(entry))))


def _json_lines(path: Path) -> ScoreTable:
    moments, heads, times = [], [], []
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        place = f"{path}: line {line}"
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CaptureError(f"{place}: not a JSON object ({error}). Write one object per line.") from error
        if entry is not None and not isinstance(entry, dict):
            raise CaptureError(f"{place}: found {type(entry).__name__}, expected a JSON object of scores by name")
        moments.append((line, _scores(entry, place)))
        heads.append(_head(entry or {}, path, line))
        times.append(number((entry or {}).get(_TIME), path, line, _TIME))
    head = np.array(heads)
    return ScoreTable(scores_of(path, moments), _rate(times), head if np.isfinite(head).any() else None)


def _scores(entry: dict[str, Any] | None, place: str) -> Mapping[str, object] | None:
    """Return the scores of a line by name; None without a face."""
    if entry is None:
        return None
    key = next((key for key in _SCORES if key in entry), None)
    found = {name: value for name, value in entry.items() if name not in _BESIDE} if key is None else entry[key]
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]  # MediaPipe's list of faces
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict) and "categories" in found[0]:
        found = found[0]["categories"]  # the same in JavaScript
    if found is None or found == []:
        return None
    if isinstance(found, list) and all(isinstance(each, dict) for each in found):
        found = {str(each.get("category_name", each.get("categoryName"))): each.get("score") for each in found}
    elif isinstance(found, list) and len(found) == len(MEDIAPIPE_NAMES):
        found = dict(zip(MEDIAPIPE_NAMES, found, strict=True))
    if not isinstance(found, dict):
        expected = f"scores by name, or the {len(MEDIAPIPE_NAMES)} numbers or categories of MediaPipe"
        raise CaptureError(f"{place}: '{key}': found {type(found).__name__}, expected {expected}")
    names = [name for name in found if name not in _BESIDE]
    unknown = set(names) - set(known_names(names))
    if unknown:
        raise CaptureError(f"{place}: '{sorted(unknown)[0][:40]}' is not one of ARKit's {len(ARKIT_NAMES)} blendshapes")
    return found


def _head(entry: dict[str, Any], path: Path, line: int) -> list[float]:
    turn = entry.get(_HEAD)
    key = next((key for key in _MATRICES if entry.get(key)), None)
    if turn is None and key is not None:
        return _turn_of(entry[key], path, line, key)
    if turn is None:
        return [math.nan] * 3
    if not isinstance(turn, list) or len(turn) != 3:
        expected = "expected [x, y, z], axis times radians"
        raise CaptureError(f"{path}: line {line}: '{_HEAD}': found {str(turn)[:40]}, {expected}")
    return [number(angle, path, line, _HEAD) for angle in turn]


def _turn_of(value: object, path: Path, line: int, key: str) -> list[float]:
    """Return the rotation of the first face's matrix, axis times radians."""
    import torch

    from sage_ns.geometry.rotations import matrix_to_axis_angle

    first = value[0] if isinstance(value, list) and len(value) == 1 else value
    first = first.get("data") if isinstance(first, dict) else first
    rows = first if isinstance(first, list) else []
    numbers = [each for row in rows for each in (row if isinstance(row, list) else [row])]
    if len(numbers) != 16:
        raise CaptureError(
            f"{path}: line {line}: '{key}': found {str(value)[:40]}, expected one matrix of 4 x 4 numbers"
        )
    matrix = np.array([number(each, path, line, key) for each in numbers]).reshape(4, 4)
    matrix = matrix if not matrix[3, :3].any() else matrix.T
    linear = matrix[:3, :3]
    with np.errstate(all="ignore"):
        scale = np.cbrt(np.linalg.det(linear))
        off = np.abs(linear.T @ linear / scale**2 - np.eye(3)).max()
    if matrix[3, :3].any() or not matrix[:3, 3].any() or not _SCALE[0] <= scale <= _SCALE[1] or not off < _SKEW:
        expected = "expected a rotation, a scale and a translation, which is not 0"
        raise CaptureError(f"{path}: line {line}: '{key}': found {matrix.tolist()}, {expected}")
    return matrix_to_axis_angle(torch.from_numpy(linear / scale)).tolist()


def _csv(path: Path) -> ScoreTable:
    header, rows, notes = read_csv(path)
    columns = {name: header.index(name) for name in known_names(header)}
    moments = ((line, {name: row[column] for name, column in columns.items()}) for line, row in rows)
    scores = scores_of(path, moments)
    times = []
    if _TIME in header:
        column = header.index(_TIME)
        times = [number(row[column], path, line, _TIME) for line, row in rows]
    others = [name for name in header if name not in columns and name not in (_TIME, "_neutral")]
    if others:
        notes.append(f"columns that are no blendshapes are ignored: {', '.join(others[:8])}")
    return ScoreTable(scores, _rate(times), notes=tuple(notes))


def _rate(times: list[float]) -> float | None:
    """Return the moments per second of time stamps in milliseconds; None if they are absent or do not advance."""
    if len(times) < 2 or not all(map(math.isfinite, times)) or times[-1] <= times[0]:
        return None
    return 1000.0 * (len(times) - 1) / (times[-1] - times[0])
