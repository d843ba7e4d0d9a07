from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sage_ns.capture.frames import read_frames
from sage_ns.capture.layout import read_capture
from tests.tiny_capture import edit_frames, write_tiny_capture, write_transforms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_capture(tmp_path / "capture")


def moments(frames) -> list[tuple[int, int]]:
    return [(frame.timestep, frame.camera_index) for frame in frames]


def test_vhap_splits(folder: Path) -> None:
    capture = read_capture(folder)
    assert moments(capture.train) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert moments(capture.val) == [(0, 2), (1, 2), (2, 2)]
    assert moments(capture.test) == [(3, 0), (3, 1), (3, 2)]
    assert capture.train_multiframe is capture.train
    assert list(capture.flame_param_paths) == [0, 1, 2, 3]


def test_frames_hold_absolute_paths_and_the_json_camera(folder: Path) -> None:
    frame = read_capture(folder).train[1]
    entry = json.loads((folder / "transforms_train.json").read_text())["frames"][1]
    assert frame.image_path == folder / "images" / "00000_01.png"
    assert frame.mask_path == folder / "fg_masks" / "00000_01.png"
    assert frame.flame_param_path == folder / "flame_param" / "00000.npz"
    assert (frame.fx, frame.fy, frame.cx, frame.cy) == (entry["fl_x"], entry["fl_y"], 16.0, 20.0)
    assert (frame.width, frame.height, frame.camera_id) == (32, 40, "cam01")
    np.testing.assert_array_equal(frame.camera_to_world, entry["transform_matrix"])


def test_frames_come_in_the_order_that_vhap_writes(folder: Path) -> None:
    path = folder / "transforms_train.json"
    expected = moments(read_frames(path))
    content = json.loads(path.read_text())
    content["frames"].reverse()
    path.write_text(json.dumps(content))
    assert moments(read_frames(path)) == expected == sorted(expected)


def test_relative_data_folder_becomes_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert read_capture(Path("capture")).train[0].image_path == folder / "images" / "00000_00.png"


def test_union_folder_leads_into_its_siblings(folder: Path) -> None:
    union = folder.parent / "UNION1_subject"
    union.mkdir()
    second = write_tiny_capture(folder.parent / "second", num_timesteps=2)
    for split in ("train", "val", "test"):
        frames = []
        for sequence, shift in ((folder, 0), (second, 4)):
            for entry in json.loads((sequence / f"transforms_{split}.json").read_text())["frames"]:
                entry["timestep_index"] += shift
                for key in ("file_path", "fg_mask_path", "flame_param_path"):
                    entry[key] = f"../{sequence.name}/{entry[key]}"
                for key in ("timestep_index_original", "timestep_id"):
                    del entry[key]
                frames.append(entry)
        write_transforms(union / f"transforms_{split}.json", frames)
    capture = read_capture(union)
    assert list(capture.flame_param_paths) == [0, 1, 2, 3, 4, 5]
    assert capture.flame_param_paths[4] == second / "flame_param" / "00000.npz"
    assert all(frame.image_path.is_file() and ".." not in frame.image_path.parts for frame in capture.train)
    link = folder.parent / "elsewhere" / "union"
    link.parent.mkdir()
    os.symlink(union, link)
    assert all(frame.image_path.is_file() for frame in read_capture(link).train)


def test_intrinsics_for_the_whole_file(folder: Path) -> None:
    path = folder / "transforms_train.json"
    expected = read_frames(path)[1]
    edit_frames(path, fl_x=None, fl_y=None, camera_angle_x=None, camera_angle_y=None, cx=None, cy=None, w=None, h=None)
    frame = read_frames(path)[1]
    assert (frame.width, frame.height, frame.cx, frame.cy) == (32, 40, 16.0, 20.0)
    assert frame.fx == frame.fy == expected.fx  # the last camera's, which is this one


def test_focal_length_from_the_frames_own_angle_wins_over_the_files(folder: Path) -> None:
    path = folder / "transforms_train.json"
    angle = 0.4
    edit_frames(path, fl_x=None, fl_y=None, camera_angle_x=angle, camera_angle_y=None)
    frame = read_frames(path)[0]
    assert frame.fx == pytest.approx(16 / math.tan(angle / 2))
    assert frame.fy == frame.fx, "square pixels"


def test_size_from_the_image_header(folder: Path) -> None:
    path = folder / "transforms_train.json"
    edit_frames(path, w=None, h=None, cx=None, cy=None)
    content = json.loads(path.read_text())
    for key in ("w", "h", "cx", "cy"):
        del content[key]
    path.write_text(json.dumps(content))
    frame = read_frames(path)[0]
    assert (frame.width, frame.height, frame.cx, frame.cy) == (32, 40, 16.0, 20.0)


@pytest.mark.parametrize(
    ("cy_origin", "stated", "expected"),
    [
        ("top", None, 12.0),
        ("bottom", None, 28.0),
        ("auto", None, 28.0),  # as VHAP exports since November 2024
        ("auto", "top", 12.0),
        ("auto", "bottom", 28.0),
        ("bottom", "top", 28.0),  # the user's word wins
    ],
)
def test_cy_origin(folder: Path, cy_origin, stated: str | None, expected: float) -> None:
    path = folder / "transforms_train.json"
    edit_frames(path, cy=12.0)
    if stated is not None:
        path.write_text(json.dumps({**json.loads(path.read_text()), "cy_origin": stated}))
    assert {frame.cy for frame in read_frames(path, cy_origin)} == {expected}


def test_centred_cy_needs_no_convention(folder: Path) -> None:
    frames = [read_frames(folder / "transforms_train.json", origin)[0] for origin in ("auto", "top", "bottom")]
    assert {frame.cy for frame in frames} == {20.0}


def test_paths_without_suffix_find_the_image(folder: Path) -> None:
    path = folder / "transforms_train.json"
    edit_frames(path, file_path=lambda name: name.removesuffix(".png"))
    (folder / "images" / "00000_00.png").rename(folder / "images" / "00000_00.jpg")
    frames = read_frames(path)
    assert frames[0].image_path.name == "00000_00.jpg"
    assert frames[1].image_path.name == "00000_01.png"


def test_masks_and_camera_index_are_optional(folder: Path) -> None:
    path = folder / "transforms_train.json"
    edit_frames(path, fg_mask_path=None, camera_index=None, camera_id=None)
    frame = read_frames(path)[0]
    assert (frame.mask_path, frame.camera_index, frame.camera_id) == (None, 0, "0")


def test_timestep_gaps_and_missing_splits(folder: Path) -> None:
    for name in ("transforms_val.json", "transforms.json", "transforms_test.json"):
        (folder / name).unlink()
    edit_frames(folder / "transforms_train.json", timestep_index=lambda timestep: 10 + 7 * timestep)
    capture = read_capture(folder)
    assert list(capture.flame_param_paths) == [10, 17, 24]
    assert capture.val == () and capture.test == ()


def test_multiframe_list_and_timesteps_outside_all_splits(folder: Path) -> None:
    shutil.copy(folder / "transforms_train.json", folder / "transforms_train_multiframe.json")
    content = json.loads((folder / "transforms_train.json").read_text())
    write_transforms(folder / "transforms_train.json", content["frames"][:2])
    write_transforms(folder / "transforms_test.json", [])
    capture = read_capture(folder)
    assert moments(capture.train) == [(0, 0), (0, 1)]
    assert len(capture.train_multiframe) == 6
    assert list(capture.flame_param_paths) == [0, 1, 2, 3], "timestep 3 is known from transforms.json alone"
    (folder / "flame_param" / "00003.npz").unlink()
    assert list(read_capture(folder).flame_param_paths) == [0, 1, 2]


def test_a_lone_transforms_file_is_all_training(folder: Path) -> None:
    for split in ("train", "val", "test"):
        (folder / f"transforms_{split}.json").unlink()
    assert len(read_capture(folder).train) == 12
