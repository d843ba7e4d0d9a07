"""Cameras for videos against closed forms, and broken camera paths one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.capture.layout import read_capture
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.video.camera_paths import along, capture_camera, orbiting, read_camera_path, resized, swaying
from tests.tiny_capture import edit_frames, write_tiny_capture

TARGET = torch.tensor([0.02, 0.1, -0.03])


def pose(angle: float = 0.0, distance: float = 0.7) -> Tensor:
    """Camera-to-world in OpenGL axes that looks at the target, turned about the vertical axis from the front."""
    matrix = torch.eye(4)
    matrix[:3, :3] = axis_angle_to_matrix(torch.tensor([0.0, angle, 0.0]))
    matrix[:3, 3] = TARGET + distance * matrix[:3, 2]
    return matrix


def camera(angle: float = 0.0, width: int = 60, height: int = 80) -> PinholeCamera:
    return PinholeCamera.from_opengl(pose(angle), 100.0, 110.0, 31.0, 38.0, width, height)


def direction(camera: PinholeCamera) -> Tensor:
    """Unit vector from the target to the camera's centre."""
    return torch.nn.functional.normalize(camera.center - TARGET, dim=0)


@pytest.mark.parametrize(("width", "height"), [(120, 160), (30, 80), (60, 40), (61, 83)])
def test_another_size_shows_all_of_the_view_in_the_middle(width: int, height: int) -> None:
    one, other = camera(), resized(camera(), width, height)
    assert (other.width, other.height) == (width, height)
    points = TARGET + 0.1 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    scale = min(width / 60, height / 80)
    moved = (project(points, one).pixels - torch.tensor([30.0, 40.0])) * scale + torch.tensor([width / 2, height / 2])
    torch.testing.assert_close(project(points, other).pixels, moved)


def test_orbiting_goes_around_once_and_looks_at_the_target() -> None:
    cameras = orbiting(camera(), TARGET, 8)
    for step, each in enumerate(cameras):
        angle = 2 * math.pi * step / 8
        assert float(direction(each) @ direction(cameras[0])) == pytest.approx(math.cos(angle), abs=1e-5)
        torch.testing.assert_close(project(TARGET[None], each).pixels, project(TARGET[None], cameras[0]).pixels)
    torch.testing.assert_close(orbiting(camera(), TARGET, 8, rounds=2)[4].T_camera_world, cameras[0].T_camera_world)


def test_swaying_goes_to_either_side_and_back() -> None:
    cameras = swaying(camera(), TARGET, 8, angle=0.5)
    sideways = [math.atan2(float(direction(each)[0]), float(direction(each)[2])) for each in cameras]
    assert sideways[0] == pytest.approx(0, abs=1e-6) and sideways[4] == pytest.approx(0, abs=1e-6)
    assert abs(sideways[2]) == pytest.approx(0.5, abs=1e-5) and sideways[6] == pytest.approx(-sideways[2], abs=1e-5)


def test_more_frames_than_cameras_are_put_between_them() -> None:
    ends = [camera(0.0), camera(0.6)]
    way = along(ends, 5)
    assert way[0] is ends[0] and way[4] is ends[1]
    middle = torch.linalg.inv(way[2].T_camera_world)
    torch.testing.assert_close(middle[:3, 3], (ends[0].center + ends[1].center) / 2)
    half = resized(camera(0.3), 60, 80)
    torch.testing.assert_close(way[2].T_camera_world[:3, :3], half.T_camera_world[:3, :3], atol=1e-6, rtol=0)
    assert along(ends, 2) == ends and along(ends[:1], 3) == [ends[0]] * 3 and along(ends, 1) == [ends[0]]


def test_a_captures_camera_is_found_by_its_index(tmp_path: Path) -> None:
    capture = read_capture(write_tiny_capture(tmp_path / "capture"))
    for index in (0, 2):  # the last one is held out
        found = capture_camera(capture, index)
        frame = next(frame for frame in (*capture.train, *capture.val) if frame.camera_index == index)
        assert (found.width, found.height) == (frame.width, frame.height)
        np.testing.assert_allclose(found.center, frame.camera_to_world[:3, 3], atol=1e-6)
        assert float(found.intrinsics[0, 0]) == pytest.approx(frame.fx)
    with pytest.raises(CaptureError, match="there is no camera 7; its cameras are 0, 1, 2"):
        capture_camera(capture, 7)


def test_a_camera_that_moves_is_taken_from_its_first_moment(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    edit_frames(folder / "transforms_test.json", fl_x=lambda old: 2 * old)
    assert float(capture_camera(read_capture(folder), 0).intrinsics[0, 0]) == pytest.approx(2.5 * 32)


def path_content(times: tuple[float | None, ...] = (None, None)) -> dict[str, Any]:
    entries = [
        {"camera_to_world": pose(0.2 * index).flatten().tolist(), "fov": 40.0 + index, "aspect": 1.5}
        | ({} if time is None else {"render_time": time})
        for index, time in enumerate(times)
    ]
    return {"render_height": 40, "render_width": 60, "camera_type": "perspective", "fps": 24, "camera_path": entries}


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "path.json"
    path.write_text(json.dumps(content))
    return path


def test_camera_paths_of_the_viewer(tmp_path: Path) -> None:
    path = read_camera_path(write(tmp_path, path_content()))
    assert path.times is None and path.fps == 24
    for index, each in enumerate(path.cameras):
        assert (each.width, each.height) == (60, 40)
        torch.testing.assert_close(each.center, pose(0.2 * index)[:3, 3])
        focal = 20 / math.tan(math.radians(40 + index) / 2)
        expected = torch.tensor([[focal, 0.0, 30.0], [0.0, focal, 20.0], [0.0, 0.0, 1.0]])
        torch.testing.assert_close(each.intrinsics, expected)
        at = project(TARGET[None], each)
        torch.testing.assert_close(at.pixels[0], torch.tensor([30.0, 20.0]), atol=1e-4, rtol=0)


def test_times_are_used_only_if_they_differ(tmp_path: Path) -> None:
    assert read_camera_path(write(tmp_path, path_content((0.0, 0.5, 1.0)))).times == (0.0, 0.5, 1.0)
    assert read_camera_path(write(tmp_path, path_content((0.0, 0.0, 0.0)))).times is None
    assert read_camera_path(write(tmp_path, path_content((0.0, None, 1.0)))).times is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_type": "fisheye"}, "'camera_type' is 'fisheye'"),
        ({"render_width": None}, "'render_width' is None"),
        ({"render_height": 0}, "'render_width' x 'render_height' is 60 x 0"),
        ({"camera_path": []}, "expected a list 'camera_path'"),
        ({"camera_path": [{"camera_to_world": [1, 2], "fov": 40}]}, "camera 0: 'camera_to_world' is not 16 numbers"),
        (
            {"camera_path": [{"camera_to_world": [2.0] * 16, "fov": 40}]},
            "camera 0: 'camera_to_world' has no rotation",
        ),
        ({"camera_path": [{"camera_to_world": np.eye(4).tolist()}]}, "camera 0: 'fov' is None"),
        ({"camera_path": [{"camera_to_world": np.eye(4).tolist(), "fov": 180}]}, "'fov' is 180; expected degrees"),
        ({"camera_path": path_content((0.0, 7.0))["camera_path"]}, r"'render_time' is 0\.\.7"),
    ],
)
def test_broken_camera_paths_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CaptureError, match=rf"path\.json.*{message}"):
        read_camera_path(write(tmp_path, {**path_content(), **change}))
