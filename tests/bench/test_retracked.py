"""A capture that trains on what `sage-track` found and is tested on the held-out pictures of another tracking."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.bench.tracking.retracked import (
    moments_of_a_film,
    moved_camera,
    placed_motion,
    retrack,
    world_of,
    world_of_cameras,
)
from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import read_capture
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sage_ns.geometry.similarity import Similarity
from sage_ns.rig import FlameParams, HeadModel, joints, pose_vertices, save_head_model
from tests.tiny import tiny_head_model
from tests.tiny_capture import edit_frames, tiny_motion, write_tiny_capture

TURN = axis_angle_to_matrix(torch.tensor([0.2, -0.4, 0.1]))
SHIFT = torch.tensor([0.3, -0.1, 0.2])


def in_another_world(params: FlameParams, model: HeadModel) -> FlameParams:
    """The same heads after `x -> TURN x + SHIFT`."""
    root = joints(model, replace(params, translation=torch.zeros_like(params.translation)))[:, 0]
    return replace(
        params,
        rotation=matrix_to_axis_angle(TURN @ axis_angle_to_matrix(params.rotation)),
        translation=(root + params.translation) @ TURN.T + SHIFT - root,
    )


def pixels(frame: Frame, model: HeadModel) -> np.ndarray:
    """Where the camera sees the vertices of the head."""
    vertices = pose_vertices(model, FlameParams.load(frame.flame_param_path).check_fits(model))[0].double().numpy()
    pose = frame.camera_to_world
    x, y, z = ((vertices - pose[:3, 3]) @ pose[:3, :3]).T
    return np.stack([frame.cx - frame.fx * x / z, frame.cy + frame.fy * y / z], axis=-1)


def tracked_capture(folder: Path, model: HeadModel, num_timesteps: int = 1) -> Path:
    """The first moments of the tiny capture, as a tracker finds them that has put the world elsewhere."""
    write_tiny_capture(folder, num_cameras=2, num_timesteps=num_timesteps, model=model)
    in_another_world(tiny_motion(model, 4)[:num_timesteps], model).save_vhap(folder / "flame_param")
    placed = Similarity(1.0, TURN, SHIFT)

    def moved(pose: list[list[float]]) -> list[list[float]]:
        return moved_camera(np.array(pose), placed).tolist()

    edit_frames(folder / "transforms_train.json", transform_matrix=moved)
    return folder


def test_held_out_pictures_show_the_same_head_in_the_tracked_world(tmp_path: Path) -> None:
    model = tiny_head_model()
    rig, tracked = write_tiny_capture(tmp_path / "rig", model=model), tracked_capture(tmp_path / "tracked", model)
    placement = retrack(rig, tracked, tmp_path / "out", [0])
    assert placement.num_moments == 1
    assert placement.scale == pytest.approx(1.0, abs=1e-5) and placement.face_error_mm < 1e-3
    theirs, ours = read_capture(rig), read_capture(tmp_path / "out")
    assert len(ours.train) == 1 and [len(ours.val), len(ours.test)] == [len(theirs.val), len(theirs.test)]
    for name in ("val", "test"):
        for delivered, placed in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            assert placed.image_path == delivered.image_path
            np.testing.assert_allclose(pixels(placed, model), pixels(delivered, model), atol=2e-3)
    load_capture(CaptureOptions(tmp_path / "out"))


def test_other_cameras_of_a_tracked_moment_see_the_tracked_head(tmp_path: Path) -> None:
    model = tiny_head_model()
    rig, tracked = write_tiny_capture(tmp_path / "rig", model=model), tracked_capture(tmp_path / "tracked", model)
    found = FlameParams.load(tracked / "flame_param")
    smiling = replace(found, expr=found.expr + 1.0)
    smiling.save_vhap(tracked / "flame_param")
    retrack(rig, tracked, tmp_path / "out", [0])
    val = [frame for frame in read_capture(tmp_path / "out").val if frame.timestep == 0]
    assert len(val) == 1
    torch.testing.assert_close(FlameParams.load(val[0].flame_param_path).expr, smiling.expr)


def test_pictures_that_are_held_out_are_not_trained_on(tmp_path: Path) -> None:
    model = tiny_head_model()
    rig, tracked = write_tiny_capture(tmp_path / "rig", model=model), tracked_capture(tmp_path / "tracked", model)
    picture = (rig / "images" / "00000_02.png").read_bytes()  # of the held-out camera
    entries = [
        {"camera_index": index, "source": {"file": "a.png", "sha256": hashlib.sha256(content).hexdigest()}}
        for index, content in enumerate((picture, b"another"))
    ]
    (tracked / "tracking.json").write_text(json.dumps({"pictures": entries}))
    frames = json.loads((tracked / "transforms_train.json").read_text())["frames"]
    edit = [dict(frames[0], camera_index=0), dict(frames[0], camera_index=1)]
    (tracked / "transforms_train.json").write_text(json.dumps({"frames": edit}))
    retrack(rig, tracked, tmp_path / "out", [0])
    assert [frame.camera_index for frame in read_capture(tmp_path / "out").train] == [1]


def test_cameras_that_both_know_place_the_world(tmp_path: Path) -> None:
    """Also where the tracked face is elsewhere: its error then shows in the held-out pictures."""
    model = tiny_head_model()
    rig = write_tiny_capture(tmp_path / "rig", num_cameras=4, model=model)
    tracked = tracked_capture(tmp_path / "tracked", model)
    delivered = json.loads((rig / "transforms_train.json").read_text())["frames"][:3]
    placed = Similarity(1.2, TURN.double(), SHIFT.double())
    moved = [
        dict(frame, transform_matrix=moved_camera(np.array(frame["transform_matrix"]), placed).tolist())
        for frame in delivered
    ]
    (tracked / "transforms_train.json").write_text(json.dumps({"frames": moved}))
    contents = [(rig / frame["file_path"]).read_bytes() for frame in delivered]
    pictures = [
        {"camera_index": frame["camera_index"], "source": {"sha256": hashlib.sha256(content).hexdigest()}}
        for frame, content in zip(delivered, contents, strict=True)
    ]
    found = world_of_cameras(read_capture(rig), tracked, {"pictures": pictures})
    assert found is not None and found.scale == pytest.approx(1.2)
    torch.testing.assert_close(found.rotation, TURN.double(), atol=1e-6, rtol=0)
    assert world_of_cameras(read_capture(rig), tracked, {"pictures": pictures[:2]}) is None


def test_a_larger_head_keeps_its_size_and_meets_the_delivered_face() -> None:
    model = tiny_head_model()
    delivered, size = tiny_motion(model, 3), 1.1
    larger = replace(delivered[0], static_offset=(size - 1) * model.v_template)
    placed = world_of(delivered[0], larger, model)
    assert placed.scale == pytest.approx(size, abs=1e-4)
    motion = placed_motion(delivered, larger, model, placed)
    assert torch.equal(motion.jaw_pose, delivered.jaw_pose) and torch.equal(motion.expr, delivered.expr)
    face = model.regions.vertices("face")
    found, goal = pose_vertices(model, motion)[0, face], placed(pose_vertices(model, delivered)[0, face].double())
    assert (found - goal).norm(dim=-1).max() < 1e-5


def test_a_camera_moves_along_with_what_it_sees() -> None:
    placed = Similarity(1.3, TURN.double(), SHIFT.double())
    pose = np.eye(4)
    pose[:3, 3] = [0.1, 0.2, 1.0]
    point = np.array([0.02, 0.05, -0.01])
    moved = moved_camera(pose, placed)
    inside = moved[:3, :3].T @ (placed(torch.from_numpy(point)[None])[0].numpy() - moved[:3, 3])
    np.testing.assert_allclose(inside, 1.3 * (point - pose[:3, 3]), atol=1e-12)


def test_a_film_names_its_moments_by_their_time(tmp_path: Path) -> None:
    rig = write_tiny_capture(tmp_path / "rig")
    (tmp_path / "clip").mkdir()
    report = tmp_path / "clip" / "tracking.json"
    report.write_text(json.dumps({"frames": [{"seconds": 0.0}, {"seconds": 0.167}]}))
    assert moments_of_a_film(tmp_path / "clip", rig, 12.0) == [0, 2]
    with pytest.raises(CaptureError, match="is the frame rate 24"):
        moments_of_a_film(tmp_path / "clip", rig, 24.0)


def test_captures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = tiny_head_model()
    rig, tracked = write_tiny_capture(tmp_path / "rig", model=model), tracked_capture(tmp_path / "tracked", model)
    with pytest.raises(CaptureError, match="has 1 moments, but 2"):
        retrack(rig, tracked, tmp_path / "out", [0, 1])
    with pytest.raises(CaptureError, match="has no timestep 99"):
        retrack(rig, tracked, tmp_path / "out", [99])
    with pytest.raises(CaptureError, match="side by side"):
        retrack(rig, tracked, tmp_path / "elsewhere" / "out", [0])
    other = replace(model, expression_basis=model.expression_basis.flip(-1))
    save_head_model(other, tmp_path / "other.npz")
    with pytest.raises(CaptureError, match="are not those of 'tiny', which it was tracked with"):
        retrack(rig, tracked, tmp_path / "out", [0], tmp_path / "other.npz")
    assert not (tmp_path / "out").exists()
