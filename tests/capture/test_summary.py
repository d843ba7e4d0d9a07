"""What a capture's summary says of a tiny one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_ns.capture import read_capture
from sage_ns.capture.summary import ranges, summarise
from tests.tiny_capture import write_tiny_capture


def test_splits_pictures_masks_and_head_model(tmp_path: Path) -> None:
    capture = read_capture(write_tiny_capture(tmp_path / "capture"))
    summary = summarise(capture)
    train, _, val, test = summary.splits
    assert train.name == "train" and train.num_pictures == len(capture.train)
    assert train.timesteps == ranges(frame.timestep for frame in capture.train)
    assert val.cameras == "2" and test.num_pictures == len(capture.test)
    frame = capture.train[0]
    assert summary.pictures == f"{frame.width} x {frame.height}"
    assert summary.head_model is not None and "tiny: 54 vertices" in summary.head_model and not summary.problem


def test_without_a_head_model_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)
    folder = write_tiny_capture(tmp_path / "capture")
    for path in folder.glob("head_model.*"):
        path.unlink()
    summary = summarise(read_capture(folder))
    assert summary.head_model is None and "head_model.npz" in summary.problem


def test_ranges() -> None:
    assert ranges([5, 0, 1, 2, 2, 7, 8]) == "0-2, 5, 7-8"
    assert ranges([]) == "-"
