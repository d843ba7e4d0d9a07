"""Cameras that no capture can have: each is refused, and the error names the source and the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage_ns.capture.camera_checks import camera_to_world, check_intrinsics, check_pinhole, check_size
from sage_ns.capture.frames import read_frames
from sage_ns.errors import CaptureError
from sage_ns.video.camera_paths import read_camera_path
from tests.tiny_capture import edit_frames, write_tiny_capture

TRAIN = "transforms_train.json"


def pose(**entries: float) -> list[list[float]]:
    matrix = np.eye(4)
    for place, value in entries.items():
        matrix[int(place[1]), int(place[2])] = value
    return matrix.tolist()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (pose(m03=1e30), "the position in"),
        (pose(m00=1e200), "has no rotation"),
        (pose(m00=1e-310), "has no rotation"),
        (pose(m00=-1.0), "determinant -1"),
        (pose(m30=1.0), "last row"),
        (pose(m33=2.0), "last row"),
        (np.zeros((4, 4)).tolist(), "has no rotation"),
        ([[10**400] * 4] * 4, "not a 4x4 matrix"),
        ("one", "not a 4x4 matrix"),
    ],
)
def test_poses_of_captures_and_camera_paths_pass_the_same_checks(tmp_path: Path, matrix: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=f"here: .*{message}|here: {message}"):
        camera_to_world(matrix, "here")
    if isinstance(matrix, str) or matrix[0][0] == 10**400:
        return
    folder = write_tiny_capture(tmp_path / "capture", num_cameras=1, num_timesteps=1)
    edit_frames(folder / TRAIN, transform_matrix=matrix)
    with pytest.raises(CaptureError, match=rf"{TRAIN}, frame 0: .*{message}|{TRAIN}, frame 0: {message}"):
        read_frames(folder / TRAIN)
    path = tmp_path / "path.json"
    camera = {"camera_to_world": np.ravel(matrix).tolist(), "fov": 40}
    path.write_text(json.dumps({"render_width": 8, "render_height": 8, "camera_path": [camera]}))
    with pytest.raises(CaptureError, match=rf"path\.json, camera 0: .*{message}"):
        read_camera_path(path)


@pytest.mark.parametrize("focal", [1e30, 5e-324, 1e-310, -300.0, 0.0, float("nan"), float("inf"), 1.0, 1e7])
@pytest.mark.parametrize("axis", [0, 1])
def test_focal_lengths_out_of_proportion(focal: float, axis: int) -> None:
    lengths = [300.0, 300.0]
    lengths[axis] = focal
    with pytest.raises(CaptureError, match=f"here: 'fl_{'xy'[axis]}' is"):
        check_intrinsics((lengths[0], lengths[1]), (50, 40), (100, 80), "here")


@pytest.mark.parametrize("center", [1e30, -1e30, float("nan"), 1e5])
def test_principal_points_out_of_proportion(center: float) -> None:
    for point in ((center, 40.0), (50.0, center)):
        with pytest.raises(CaptureError, match=r"here: 'c[xy]' is"):
            check_intrinsics((300, 300), point, (100, 80), "here")
    check_intrinsics((300, 300), (-500, 40), (100, 80), "a small part of a large picture")


def test_pixels_that_are_not_square() -> None:
    check_intrinsics((300, 310), (50, 40), (100, 80), "here")
    with pytest.raises(CaptureError, match="here: 'fl_x' is 300 and 'fl_y' is 3000"):
        check_intrinsics((300, 3000), (50, 40), (100, 80), "here")


@pytest.mark.parametrize("side", [0.0, -1.0, 1.5, 1e30, float("nan"), float("inf"), 70_000.0])
def test_impossible_sizes(side: float) -> None:
    for size in ((side, 4.0), (4.0, side)):
        with pytest.raises(CaptureError, match="here: image size"):
            check_size(*size, "here")


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        *(({name: 0.01}, name) for name in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "skew", "b1")),
        ({"k1": "0.1"}, "k1"),
        ({"k1": float("nan")}, "k1"),
        ({"distortion_params": [0, 0, 0.1, 0]}, "distortion_params"),
        ({"camera_model": "OPENCV_FISHEYE"}, "camera_model"),
        ({"camera_model": "EQUIRECTANGULAR"}, "camera_model"),
        ({"camera_model": 7}, "camera_model"),
        ({"is_fisheye": True}, "is_fisheye"),
    ],
)
def test_lens_distortion_and_other_models_are_refused(tmp_path: Path, stated: dict[str, Any], field: str) -> None:
    with pytest.raises(CaptureError, match=f"here: '{field}' is .*[Uu]ndistort"):
        check_pinhole(stated, "here")
    folder = write_tiny_capture(tmp_path / "capture", num_cameras=1, num_timesteps=1)
    edit_frames(folder / TRAIN, **stated)
    with pytest.raises(CaptureError, match=f"{TRAIN}, frame 0: '{field}' is"):
        read_frames(folder / TRAIN)


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"camera_model": "PINHOLE", "k1": 0, "k2": 0.0},
        {"camera_model": "OPENCV", "p1": 0.0, "distortion_params": [0.0] * 6},
        {"camera_model": "SIMPLE_PINHOLE", "is_fisheye": False, "k1": None},
    ],
)
def test_zeros_are_a_pinhole(stated: dict[str, Any]) -> None:
    check_pinhole(stated, "here")
