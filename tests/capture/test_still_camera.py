"""Captures whose camera carries the head's motion, rewritten so that the camera stands still."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.capture import read_capture
from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.capture.flame_table import load_tracking
from sage_ns.capture.still_camera import question, with_still_camera
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import load_head_model, pose_vertices
from tests.tiny_capture import edit_frames, write_tiny_capture

TRANSFORMS = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One camera, which goes around the head from moment to moment."""
    folder = write_tiny_capture(tmp_path / "capture", num_cameras=1)
    for name in TRANSFORMS:
        path = folder / name
        content = json.loads(path.read_text())
        for each in content["frames"]:
            each["transform_matrix"] = around(0.2 * each["timestep_index"]).tolist()
        path.write_text(json.dumps(content))
    return folder


def around(angle: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = axis_angle_to_matrix(torch.tensor([0.0, angle, 0.0]).double()).numpy()
    pose[:3, 3] = pose[:3, 2]
    return pose


def test_pictures_stay_the_same_and_the_head_moves_instead(folder: Path) -> None:
    model = load_head_model(folder / "head_model.npz")
    capture = read_capture(folder)
    moments = load_tracking(capture.flame_param_paths, model)
    still, moved = with_still_camera(capture, moments, model)
    first = still.train[0].camera_to_world
    for before, after in zip((*capture.train, *capture.test), (*still.train, *still.test), strict=True):
        np.testing.assert_allclose(after.camera_to_world, first)
        seen = []
        for frame, params in ((before, moments[before.timestep]), (after, moved[after.timestep])):
            world_to_camera = torch.from_numpy(np.linalg.inv(frame.camera_to_world)).float()
            seen.append(pose_vertices(model, params)[0] @ world_to_camera[:3, :3].T + world_to_camera[:3, 3])
        torch.testing.assert_close(seen[1], seen[0], atol=2e-6, rtol=0)


def test_the_file_says_which_of_them_stood_still(folder: Path) -> None:
    options = CaptureOptions(folder, frames="multi")
    assert not np.allclose(load_capture(options).splits.train[1].camera_to_world, around(0.0))
    for name in TRANSFORMS:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({"light_axes": "camera", **content}))
    loaded = load_capture(options)
    assert all(np.allclose(frame.camera_to_world, around(0.0)) for frame in loaded.splits.train)
    assert loaded.tracking.params.rotation[1, 1] == pytest.approx(0.2 / 3 - 0.2, abs=1e-5)
    world = load_capture(CaptureOptions(folder, frames="multi", light_axes="world"))
    assert not np.allclose(world.splits.train[1].camera_to_world, around(0.0))


def test_a_camera_that_moves_around_a_still_head_raises_the_question(folder: Path) -> None:
    model = load_head_model(folder / "head_model.npz")
    capture = read_capture(folder)
    moments = load_tracking(capture.flame_param_paths, model)
    for params in moments.values():
        params.rotation.zero_()
    note = question(capture, moments)
    assert note is not None and "The camera moves by 23 degrees" in note and "--light-axes camera" in note
    turning = load_tracking(capture.flame_param_paths, model)
    for timestep, params in turning.items():
        params.rotation[:, 1] = 0.1 * timestep
    assert question(capture, turning) is None
    edit_frames(folder / "transforms_train.json", transform_matrix=lambda _: around(0.0).tolist())
    assert question(read_capture(folder), moments) is None


def test_cameras_at_several_places_cannot_have_stood_still(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture", num_cameras=3)
    with pytest.raises(CaptureError, match=r"timestep 0 has cameras at several places.*--light-axes world"):
        load_capture(CaptureOptions(folder, frames="multi", light_axes="camera"))


def test_axes_of_another_name_are_refused(folder: Path) -> None:
    path = folder / "transforms_train.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "light_axes": "head"}))
    with pytest.raises(CaptureError, match=r"'light_axes' is 'head'; expected \"world\" or \"camera\""):
        read_capture(folder)
