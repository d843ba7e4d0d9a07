"""Motion in the csv files of Live Link Face, Epic's app that records ARKit's face tracking on an iPhone.

The header is `Timecode,BlendShapeCount`, ARKit's 52 names beginning with a capital, and nine angles: yaw, pitch and
roll of head, left and right eye. While the app does not see the face, all cells after the count are empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from sage_ns.errors import CaptureError
from sage_ns.motion.face.arkit_names import ARKIT_NAMES
from sage_ns.motion.files.registry import register_reader
from sage_ns.motion.files.score_table import ScoreReader, ScoreTable, beginning, known_names, read_csv, scores_of

USUAL_FPS = 60.0
"""Moments per second of the app, unless the user sets another number."""
_RATES = (24, 25, 30, 48, 50, 60, 100, 120)
"""Frames per second that a timecode counts."""
_SAME_RATE = 0.01
"""Relative difference below which the measured rate is that of the timecode; dropped moments make it lower."""
_DAY = 86400.0
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;.](\d+(?:\.\d*)?)")
"""Hours, minutes, seconds and frames with a fraction: 14:03:52:28.207."""
_ANGLES = re.compile(r"(head|lefteye|righteye)(yaw|pitch|roll)")


@register_reader
class LiveLinkFace(ScoreReader):
    """A csv file of Live Link Face, raw or calibrated."""

    name = "Live Link Face"
    reads = "a csv recording of Live Link Face"
    keeps = (
        "ARKit's 52 scores, which also turn jaw and eyes; the angles of head and eyes are ignored; the timecode gives "
        "the moments per second"
    )
    programs = ("Live Link Face (iPhone)",)
    specificity = 1
    """Also a csv with a header of names."""

    def recognises(self, path: Path) -> bool:
        """Return whether the header has a timecode and a number of blendshapes."""
        header = {name.strip().lower() for name in beginning(path).partition("\n")[0].split(",")}
        return {"timecode", "blendshapecount"} <= header

    def table(self, path: Path) -> ScoreTable:
        """Read the scores of all moments, and the rate from the timecodes."""
        header, rows, notes = read_csv(path)
        names = known_names(header)
        if len(names) < len(ARKIT_NAMES):
            found = f"{len(names)} of ARKit's {len(ARKIT_NAMES)} blendshapes in the header"
            raise CaptureError(f"{path}: found {found}. Export the recording again.")
        columns = {name: header.index(name) for name in names}
        moments = ((line, {name: row[column] for name, column in columns.items()}) for line, row in rows)
        scores = scores_of(path, moments)
        if any(_ANGLES.fullmatch(name.lower()) for name in header):
            notes.append(
                "the angles of the head (HeadYaw, HeadPitch, HeadRoll) and of the eyes are ignored, because the app "
                "does not document their unit and direction: the head stays, and the eyes follow the scores eyeLook*"
            )
        timecode = [name.lower() for name in header].index("timecode")
        fps = rate([row[timecode] for _, row in rows])
        if fps is None:
            notes.append(f"the timecodes tell no rate: {USUAL_FPS:g} moments per second are assumed")
        return ScoreTable(scores, fps or USUAL_FPS, notes=tuple(notes))


def rate(timecodes: Sequence[str]) -> float | None:
    """Return the moments per second of a recording; None if its timecodes are unreadable or do not advance.

    A timecode does not say how many frames a second has. The largest frame number tells, if the recording lasts beyond
    the end of a second; otherwise 60 is assumed.
    """
    found = [_TIMECODE.fullmatch(text.strip()) for text in timecodes]
    if len(found) < 2 or not all(found):
        return None
    parts = [[float(part) for part in match.groups()] for match in found if match]
    seconds = [3600 * hours + 60 * minutes + second for hours, minutes, second, _ in parts]
    frames = [frame for *_, frame in parts]
    ended = [frame for frame, (now, after) in zip(frames, pairwise(seconds), strict=False) if now != after]
    most = max(frames if ended else [*frames, USUAL_FPS - 1])
    base = next((each for each in _RATES if each > math.floor(most)), None)
    if base is None:
        return None
    times = [second + frame / base for second, frame in zip(seconds, frames, strict=True)]
    steps = [after - before for before, after in pairwise(times)]
    steps = [step + _DAY if step < -_DAY / 2 else step for step in steps]
    if min(steps) < 0 or sum(steps) <= 0:
        return None
    measured = len(steps) / sum(steps)
    nearest = min(_RATES, key=lambda each: abs(each - measured))
    return float(nearest) if abs(nearest - measured) <= _SAME_RATE * nearest else measured
