"""What is trained on is never counted as unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_ns.capture.layout import TEST, TRAIN, VAL, read_capture
from sage_ns.capture.splits import FramesMode, Splits, select_splits
from tests.tiny_capture import write_tiny_capture, write_transforms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_capture(tmp_path / "capture")


def frames_of(folder: Path, name: str) -> list[dict]:
    return json.loads((folder / name).read_text())["frames"]


def add(folder: Path, name: str, frames: list[dict]) -> None:
    write_transforms(folder / name, frames_of(folder, name) + frames)


def select(folder: Path, mode: FramesMode = "multi") -> Splits:
    return select_splits(read_capture(folder), mode, 0)


def places(frames) -> list[tuple[int, int]]:
    return [(frame.timestep, frame.camera_index) for frame in frames]


def test_disjoint_splits_are_kept_whole(folder: Path) -> None:
    splits = select(folder)
    assert places(splits.val) == [(0, 2), (1, 2), (2, 2)] and places(splits.test) == [(3, 0), (3, 1), (3, 2)]
    assert splits.seen_notes() == []


def test_frames_in_two_splits_are_left_out_and_named(folder: Path) -> None:
    trained = frames_of(folder, TRAIN)
    add(folder, VAL, trained[:2])
    add(folder, TEST, trained[2:3])
    splits = select(folder)
    assert places(splits.val) == [(0, 2), (1, 2), (2, 2)] and places(splits.test) == [(3, 0), (3, 1), (3, 2)]
    val, test = splits.seen_notes()
    assert val.startswith("2 frames of the val split") and "timestep 0 camera 0, timestep 0 camera 1" in val
    assert test.startswith("1 frames of the test split") and "timestep 1 camera 0" in test and "transforms" in test


def test_the_same_picture_under_another_name_of_its_camera(folder: Path) -> None:
    again = {**frames_of(folder, TRAIN)[0], "camera_index": 9}
    add(folder, VAL, [again])
    splits = select(folder)
    assert (0, 9) not in places(splits.val) and places(splits.seen["val"]) == [(0, 9)]


def test_self_reenactment_leaves_out_timesteps_that_are_trained_on(folder: Path) -> None:
    add(folder, TEST, frames_of(folder, VAL)[:1])
    assert places(select(folder).seen["test"]) == [(0, 2)]


def test_frames_that_this_training_does_not_use_are_unseen(folder: Path) -> None:
    add(folder, TEST, [frame for frame in frames_of(folder, TRAIN) if frame["timestep_index"] == 2])
    assert len(select(folder, "single").test) == 5 and len(select(folder, "multi").test) == 3


def test_a_split_that_is_trained_on_completely_is_borrowed(folder: Path) -> None:
    write_transforms(folder / VAL, frames_of(folder, TRAIN)[:2])
    splits = select(folder)
    assert splits.sources["val"] == "test" and len(splits.seen["val"]) == 2
