"""Where the pictures of a capture come from, and whether somebody asked the person: for reports and avatar files.

`sage-track` writes both into the capture's `tracking.json`. Avatars keep them, so that whoever gets an avatar can see
them; nothing checks what they say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_ns.errors import CaptureError, SageError
from sage_ns.system.json_files import load_json

REPORT = "tracking.json"
"""File of a capture with what its tracker has found."""
_KEPT = ("made_by", "date", "source", "consent")
LONGEST = 20_000
"""Characters of a provenance: names, dates, a hash, and what a user has typed."""
NOT_STATED = "nobody has stated that the person agrees to an avatar"
UNKNOWN = "nobody has recorded where the pictures come from"


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return the tracker's report of a capture; None if there is none.

    Raises:
        CaptureError: the file is broken.
    """
    path = folder / REPORT
    if not path.exists():
        return None
    report = load_json(path, CaptureError)
    if not isinstance(report, dict):
        raise CaptureError(f"{path}: found {type(report).__name__}, expected a JSON object. Track the capture again.")
    return report


def provenance_of(folder: Path) -> str:
    """Return source, date and consent of a capture as JSON, for avatars; "" if it has no report that can be read."""
    try:
        report = read_report(folder)
    except SageError:
        return ""
    kept = {name: report[name] for name in _KEPT if name in report} if report else {}
    text = json.dumps(kept) if kept else ""
    return text if len(text) <= LONGEST else ""


def provenance_lines(provenance: str) -> list[tuple[str, str]]:
    """Return what `provenance_of` has returned as lines of a title and a text."""
    try:
        kept = json.loads(provenance or "{}")
    except (ValueError, RecursionError):
        kept = {}
    if not isinstance(kept, Mapping) or not kept:
        return [("source", UNKNOWN), ("consent", NOT_STATED)]
    return _origin(kept)


def report_lines(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a tracker's report as lines of a title and a text; fields that are missing are left out."""
    face, landmarks, focal = (_mapping(report.get(name)) for name in ("face", "landmarks", "focal_length"))
    fits = [
        _with(face.get("confidence"), "confidence {:.2f}"),
        _with(face.get("width_px"), "{:.0f} px wide"),
        _with(face.get("turn_degrees"), "turned by {:.0f} degrees"),
    ]
    off = [
        _with(landmarks.get("rms_px"), "off by {:.1f} px"),
        _with(landmarks.get("rms_of_face_width"), "{:.1%} of the face"),
    ]
    zoom = [_with(focal.get("mm_of_35mm_film"), "{:.0f} mm as for 35 mm film"), str(focal.get("source", ""))]
    frames = report.get("frames")
    lines = [
        *_origin(report),
        ("frames", f"{len(frames)}" if isinstance(frames, list) else ""),
        ("face", ", ".join(filter(None, fits))),
        ("landmarks", ", ".join(filter(None, off))),
        ("focal length", ", ".join(filter(None, zoom))),
        ("foreground", str(report.get("foreground", ""))),
    ]
    notes = report.get("notes")
    lines += [("note", str(note)) for note in notes] if isinstance(notes, list) else []
    # The consent has a line of its own.
    return [(title, text) for title, text in lines if text and text != report.get("consent_note")]


def _origin(kept: Mapping[str, Any]) -> list[tuple[str, str]]:
    source = _mapping(kept.get("source"))
    name, digest = str(source.get("file", "")), str(source.get("sha256", ""))
    described = f"{name} (SHA-256 {digest})" if digest else name
    consent = str(kept.get("consent") or "")
    tracked = ", ".join(filter(None, (str(kept.get("date", "")), str(kept.get("made_by", "")))))
    return [
        ("source", described or UNKNOWN),
        *([("tracked", tracked)] if tracked else []),
        ("consent", consent or NOT_STATED),
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _with(value: object, text: str) -> str:
    return text.format(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
