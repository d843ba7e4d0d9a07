"""Csv recordings of Live Link Face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import CaptureError
from sage_ns.motion.face.arkit import ARKIT_NAMES, arkit_motion
from sage_ns.motion.files import load_driver, load_motion
from sage_ns.motion.files.live_link_face import rate
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head import builtin_head
from tests.motion.files.written import live_link_face

HEAD = builtin_head()


def timecodes(num: int, base: int, start: float = 3600.9, fps: float | None = None) -> list[str]:
    """Timecodes of evenly spaced moments."""
    written = []
    for index in range(num):
        time = start + index / (fps or base)
        second, frame = int(time + 1e-6), (time - int(time + 1e-6)) * base
        hours, minutes = second // 3600, second // 60 % 60
        written.append(f"{hours:02d}:{minutes:02d}:{second % 60:02d}:{max(frame, 0.0):06.3f}")
    return written


def test_scores_become_motion_of_the_rig(tmp_path: Path) -> None:
    moments = [{}, {"jawOpen": 0.5, "mouthSmileLeft": 0.25}, {"eyeLookUpLeft": 1.0, "eyeBlinkRight": 0.7}]
    path = live_link_face(tmp_path / "take_iPhone.csv", moments)
    motion = load_motion(path, HEAD)
    expected = torch.cat([arkit_motion(moment, HEAD).motion_vector() for moment in moments])
    torch.testing.assert_close(motion.vectors, expected, atol=1e-5, rtol=0)
    assert motion.fps == 60.0 and motion.timesteps.tolist() == [0, 1, 2] and motion.source == path
    (note,) = motion.notes
    assert "angles of the head (HeadYaw, HeadPitch, HeadRoll) and of the eyes are ignored" in note


def test_empty_cells_hold_the_last_pose(tmp_path: Path) -> None:
    path = live_link_face(tmp_path / "take.csv", [None, {"jawOpen": 0.2}, {"jawOpen": 0.6}, None, None, {}])
    motion = load_motion(path, HEAD)
    assert (motion.params.jaw_pose[:, 0] / motion.params.jaw_pose[2, 0]).tolist() == pytest.approx(
        [1 / 3, 1 / 3, 1, 1, 1, 0]
    )
    assert any("3 of 6 moments have no scores (the face was lost): they hold the last pose" in n for n in motion.notes)


def test_scores_a_little_outside_are_clamped(tmp_path: Path) -> None:
    path = live_link_face(tmp_path / "take_cal.csv", [{"jawOpen": 1.3}, {"jawOpen": 1.0}, {"jawOpen": -0.2}, {}])
    motion = load_motion(path, HEAD)
    assert torch.equal(motion.vectors[0], motion.vectors[1]) and torch.equal(motion.vectors[2], motion.vectors[3])
    assert any("clamped the scores of 2 of 4 moments to 0..1 (farthest: jawOpen)" in note for note in motion.notes)


def test_scores_without_effect_are_named(tmp_path: Path) -> None:
    path = live_link_face(tmp_path / "take.csv", [{"tongueOut": 0.5}, {}])
    assert "without effect on this rig: tongueOut" in load_motion(path, HEAD).notes


def test_the_rig_is_needed_and_asked_for_after_the_file_is_read(tmp_path: Path) -> None:
    path = live_link_face(tmp_path / "take.csv", [{"jawOpen": 0.5}])
    with pytest.raises(CaptureError, match=r"take\.csv: .*load_motion\(path, avatar\.rig\.head_model\)"):
        load_motion(path)
    assert load_driver(path, lambda: HEAD).params.jaw_pose[0, 0] > 0.1

    def rig() -> HeadModel:
        raise AssertionError("the file is broken: nothing must be loaded")

    path.write_text(path.read_text().replace("0.5", "half"))
    with pytest.raises(CaptureError, match=r"take\.csv: line 2: 'JawOpen': found 'half', expected a number"):
        load_driver(path, rig)


def test_byte_order_mark_windows_lines_and_a_cut_last_line(tmp_path: Path) -> None:
    path = live_link_face(tmp_path / "take.csv", [{"jawOpen": 0.5}, {}])
    text = path.read_text() + "01:00:00:02.000,61,0.1,0.2\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    motion = load_motion(path, HEAD)
    assert motion.num_rows == 2 and any("line 4 is incomplete" in note for note in motion.notes)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda text: text.partition("\n")[0] + "\n", "found no moments below the header"),
        (lambda text: text.replace(",TongueOut", ",Tongue"), "found 51 of ARKit's 52 blendshapes in the header"),
        (lambda text: text.replace("0.5", "50"), "line 2: 'JawOpen': found 50, expected 0..1: divide percentages"),
        (lambda text: text.replace("0.5", "inf"), "line 2: 'JawOpen': found 'inf', expected a number"),
        (lambda text: text.replace("0.5", "0.5,0.5"), "line 2: found 64 cells, expected 63"),
        (lambda text: text.replace("0.5", "\xa0").encode("latin-1"), "not a text file in UTF-8"),
    ],
)
def test_broken_recordings_are_refused_by_name(tmp_path: Path, broken, named: str) -> None:
    path = live_link_face(tmp_path / "take.csv", [{"jawOpen": 0.5}, {}])
    content = broken(path.read_text())
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CaptureError) as error:
        load_motion(path, HEAD)
    assert str(path) in str(error.value) and named in str(error.value)


def test_a_recording_that_never_saw_the_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="the face was never seen"):
        load_motion(live_link_face(tmp_path / "take.csv", [None, None]), HEAD)


@pytest.mark.parametrize(("base", "fps"), [(60, 60), (30, 30), (24, 24), (25, 25), (60, 30)])
def test_the_timecode_gives_the_rate(base: int, fps: int) -> None:
    assert rate(timecodes(3 * base, base, fps=fps)) == pytest.approx(fps, rel=1e-6)


def test_the_rate_of_short_dropped_and_midnight_recordings() -> None:
    assert rate(timecodes(6, 60, start=10.0)) == 60.0
    assert rate(["23:59:59:58.0", "23:59:59:59.0", "00:00:00:00.0"]) == 60.0
    kept = [text for index, text in enumerate(timecodes(600, 60)) if index % 5]
    assert rate(kept) == pytest.approx(48, rel=0.01)
    for useless in (["x", "y"], ["00:00:01:00.0"] * 3, ["00:00:02:00", "00:00:01:00"], ["00:00:01:00"], ["", ""]):
        assert rate(useless) is None


def test_useless_timecodes_are_said(tmp_path: Path) -> None:
    path = live_link_face(tmp_path / "take.csv", [{}, {"jawOpen": 0.5}])
    path.write_text("\n".join("x" + line[11:] if line[:2] == "01" else line for line in path.read_text().splitlines()))
    motion = load_motion(path, HEAD)
    assert motion.fps == 60.0 and any("60 moments per second are assumed" in note for note in motion.notes)


def test_the_header_is_that_of_the_app(tmp_path: Path) -> None:
    header = live_link_face(tmp_path / "take.csv", [{}]).read_text().partition("\n")[0].split(",")
    assert len(header) == 2 + 61 and len(np.unique(header)) == 63
    assert {name.lower() for name in ARKIT_NAMES} <= {name.lower() for name in header}
