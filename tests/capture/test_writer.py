"""Captures written from arrays are what the reader reads, and what is wrong is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.capture import load_image, read_capture
from sage_ns.capture.images import load_matte
from sage_ns.capture.validation import check_images
from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params

PARAMS = tiny_params(tiny_head_model(), 3)
POSE = np.eye(4)
POSE[:3, 3] = (0.01, 0.02, 1.0)
INTRINSICS = np.array([[40.0, 0.0, 7.5], [0.0, 41.0, 4.25], [0.0, 0.0, 1.0]])
IMAGE = np.random.default_rng(0).random((10, 14, 3))


def taken(timestep: int = 0, camera: int = 0, **changes: Any) -> CameraPicture:
    given = {"camera_to_world": POSE, "intrinsics": INTRINSICS, "image": IMAGE, "mask": IMAGE[..., 0]}
    return CameraPicture(timestep, camera, **{**given, **changes})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    pictures = [taken(2, 1, split="test"), taken(1, 3, mask=None), taken(1, 0), taken(0, 7, split="val")]
    out = write_capture(tmp_path / "made", iter(pictures), PARAMS)
    capture = read_capture(out)
    assert [(f.timestep, f.camera_index) for f in capture.train] == [(1, 0), (1, 3)]
    assert [(f.timestep, f.camera_index) for f in (*capture.val, *capture.test)] == [(0, 7), (2, 1)]
    frame = capture.train[0]
    assert (frame.fx, frame.fy, frame.cx, frame.cy, frame.width, frame.height) == (40.0, 41.0, 7.5, 4.25, 14, 10)
    np.testing.assert_array_equal(frame.camera_to_world, POSE)
    image, mask = load_image(frame.image_path, frame.mask_path)
    assert mask is not None and capture.train[1].mask_path is None
    np.testing.assert_allclose(image.numpy() / 255, IMAGE, atol=0.51 / 255)
    np.testing.assert_allclose(mask[..., 0].numpy() / 255, IMAGE[..., 0], atol=0.51 / 255)
    read = FlameParams.load(out / "flame_param")
    torch.testing.assert_close(read.motion_vector(), PARAMS.motion_vector())
    torch.testing.assert_close(read.static_offset, PARAMS.static_offset)
    canonical = FlameParams.load(out / "canonical_flame_param.npz")
    assert canonical.jaw_pose.tolist() == [[pytest.approx(0.3), 0, 0]] and not canonical.expr.any()
    torch.testing.assert_close(canonical.shape, PARAMS.shape)
    assert len(json.loads((out / "transforms.json").read_text())["frames"]) == 4


def test_what_hides_the_head_is_written_and_named(tmp_path: Path) -> None:
    hidden = (IMAGE[..., 1] > 0.5).astype(float)
    out = write_capture(tmp_path / "made", [taken(0, hidden=hidden), taken(1)], PARAMS)
    first, second = read_capture(out).train_multiframe
    path = out / "hidden" / "00000_00.png"
    assert first.hidden_path == path and second.hidden_path is None
    read = load_matte(path, (14, 10), 1, "frame 0: 'hidden_path'")
    np.testing.assert_array_equal(read[..., 0].numpy(), 255 * hidden)
    with pytest.raises(CaptureError, match=r"frame 0: 'hidden_path' .* has 14 x 10 px, the picture 28 x 20 px"):
        load_matte(path, (28, 20), 1, "frame 0: 'hidden_path'")
    path.unlink()
    with pytest.raises(CaptureError, match=r"hidden/00000_00.png"):
        check_images(read_capture(out).train_multiframe)


def moved(**entries: float) -> np.ndarray:
    pose = POSE.copy()
    for name, value in entries.items():
        pose[int(name[1]), int(name[2])] = value
    return pose


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (taken(3), "timesteps 0 to 2"),
        (taken(camera=-1), "'camera_index'"),
        (taken(image=IMAGE[..., 0]), "'image' has the shape [10, 14]"),
        (taken(image=255 * IMAGE), "'image' has values outside of 0..1"),
        (taken(image=np.where(IMAGE > 0.9, np.nan, IMAGE)), "NaN"),
        (taken(image=(255 * IMAGE).astype(np.int32)), "type int32"),
        (taken(hidden=IMAGE[:-1, :, 0]), "'hidden' has the shape [9, 14]; expected [10, 14]"),
        (taken(hidden=(IMAGE[..., 0] > 0.5).astype(np.uint8)), "'hidden' contains only 0 and 1"),
        (taken(mask=IMAGE[:-1, :, 0]), "'mask' has the shape [9, 14]; expected [10, 14]"),
        (taken(mask=(IMAGE[..., 0] > 0.5).astype(np.uint8)), "multiply it by 255"),
        (taken(camera_to_world=np.eye(3)), "'camera_to_world' is not a 4x4 matrix"),
        (taken(camera_to_world=moved(m03=np.nan)), "'camera_to_world' holds NaN"),
        (taken(camera_to_world=moved(m00=2.0)), "'camera_to_world' has no rotation"),
        (taken(camera_to_world=POSE @ np.diag([1.0, -1.0, -1.0, 1.0])), "behind the camera"),
        (taken(intrinsics=INTRINSICS.T), "transpose the matrix"),
        (taken(intrinsics=np.full((3, 3), np.inf)), "'intrinsics'"),
        (taken(1, 0), "picture of timestep 1 by camera 0 is given twice"),
        (taken(split="training"), "'split' is 'training'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_pictures_are_refused_and_nothing_is_left(tmp_path: Path, wrong: CameraPicture, named: str) -> None:
    with pytest.raises(CaptureError) as error:
        write_capture(tmp_path / "made", [taken(1, 0), wrong], PARAMS)
    assert named in str(error.value) and f"timestep {wrong.timestep}" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jaw_pose": torch.full((3, 3), torch.nan)}, "'jaw_pose': found 9 non-finite"),
        ({"eyes_pose": torch.zeros(2, 6)}, "'eyes_pose': found shape [2, 6], expected shape [3, 6]"),
        ({"static_offset": torch.zeros(4)}, "'static_offset'"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(FlameParamsError) as error:
        write_capture(tmp_path / "made", [taken()], replace(PARAMS, **changes))
    assert named in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_something_to_train_on_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="none of the 1 pictures is for training"):
        write_capture(tmp_path / "made", [taken(split="test")], PARAMS)


def test_an_existing_folder_stays_without_overwrite_and_until_the_new_one_is_complete(tmp_path: Path) -> None:
    out = write_capture(tmp_path / "made", [taken()], PARAMS)
    with pytest.raises(CaptureError, match="--overwrite"):
        write_capture(out, [taken(1)], PARAMS)
    with pytest.raises(CaptureError, match="timesteps 0 to 2"):
        write_capture(out, [taken(1), taken(9)], PARAMS, overwrite=True)
    assert read_capture(out).train[0].timestep == 0
    write_capture(out, [taken(1)], PARAMS, overwrite=True)
    assert [frame.timestep for frame in read_capture(out).train] == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
