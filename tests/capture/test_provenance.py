"""Where pictures come from, and whether somebody asked: from a tracker's report to the lines that people read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sage_ns.capture.provenance import (
    LONGEST,
    NOT_STATED,
    REPORT,
    UNKNOWN,
    provenance_lines,
    provenance_of,
    read_report,
    report_lines,
)
from sage_ns.errors import CaptureError

WRITTEN: dict[str, Any] = {
    "made_by": "sage-track 0.1.0",
    "date": "2026-11-30T12:00:00+00:00",
    "source": {"file": "me.jpg", "sha256": "ab12", "size": [600, 800]},
    "consent": "my own picture",
    "consent_note": "",
    "face": {"confidence": 0.99, "width_px": 250.0, "turn_degrees": 4.2},
    "focal_length": {"mm_of_35mm_film": 52.0, "source": "EXIF: 52 mm"},
    "landmarks": {"rms_px": 3.21, "rms_of_face_width": 0.0123},
    "foreground": "network",
    "notes": ["hair before busy backgrounds"],
}


def write(folder: Path, report: object) -> Path:
    (folder / REPORT).write_text(json.dumps(report))
    return folder


def test_a_report_becomes_lines(tmp_path: Path) -> None:
    report = read_report(write(tmp_path, WRITTEN))
    assert report is not None
    lines = dict(report_lines(report))
    assert lines["source"] == "me.jpg (SHA-256 ab12)" and lines["consent"] == "my own picture"
    assert lines["face"] == "confidence 0.99, 250 px wide, turned by 4 degrees"
    assert lines["landmarks"] == "off by 3.2 px, 1.2% of the face"
    assert lines["focal length"] == "52 mm as for 35 mm film, EXIF: 52 mm"
    assert lines["note"] == "hair before busy backgrounds"


def test_consent_that_nobody_stated_is_said_once(tmp_path: Path) -> None:
    said = "Nobody has stated it."
    report = {**WRITTEN, "consent": "", "consent_note": said, "notes": [said, "small"]}
    lines = report_lines(report)
    assert ("consent", NOT_STATED) in lines and [text for title, text in lines if title == "note"] == ["small"]


@pytest.mark.parametrize("report", [{}, {"source": 3, "face": [], "landmarks": "x", "notes": 5, "consent": None}])
def test_reports_of_other_programs_are_read_as_far_as_they_go(report: dict[str, Any]) -> None:
    assert report_lines(report) == [("source", UNKNOWN), ("consent", NOT_STATED)]


def test_avatars_keep_source_date_and_consent(tmp_path: Path) -> None:
    kept = provenance_of(write(tmp_path, WRITTEN))
    assert json.loads(kept) == {name: WRITTEN[name] for name in ("made_by", "date", "source", "consent")}
    assert dict(provenance_lines(kept))["tracked"] == "2026-11-30T12:00:00+00:00, sage-track 0.1.0"
    for damaged in ("", "{", "[]", "3", "[" * 5000):
        assert provenance_lines(damaged) == [("source", UNKNOWN), ("consent", NOT_STATED)]


def test_a_report_that_cannot_be_used_does_not_stop_training(tmp_path: Path) -> None:
    assert provenance_of(tmp_path) == "" and read_report(tmp_path) is None
    assert provenance_of(write(tmp_path, {"consent": "x" * LONGEST})) == ""
    (tmp_path / REPORT).write_text("{")
    assert provenance_of(tmp_path) == ""
    for broken in ("{", "[1]"):
        (tmp_path / REPORT).write_text(broken)
        with pytest.raises(CaptureError, match=REPORT):
            read_report(tmp_path)
