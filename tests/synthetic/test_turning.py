"""Captures of one camera and a head that turns: the studio's, and the tiny one of the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture import read_capture
from sage_ns.capture.checked import CaptureOptions, inspect_capture
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams, load_head_model, pose_vertices
from sage_ns.synthetic import SyntheticCapture, cameras, synthesize_capture
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.light import Light, Studio
from sage_ns.synthetic.motion import rest
from sage_ns.synthetic.render import build_scene, render
from sage_ns.synthetic.studio import create_person
from sage_ns.synthetic.turning import exposure_gains, exposures, turn_head
from tests.synthetic.test_studio import digest, quietly
from tests.tiny_turning import AZIMUTHS, FRONT, LIGHT, write_tiny_turning

TURNING = SyntheticCapture(
    regime="monocular", width=40, height=58, num_cameras=4, num_turning_timesteps=6, num_test_timesteps=1,
    num_driver_timesteps=3, supersampling=1, workers=1, tracking_error=0.0,
)  # fmt: skip


def picture(folder: Path, moment: int, camera: int = 8) -> np.ndarray:
    return np.asarray(Image.open(folder / "images" / f"{moment:05d}_{camera:02d}.png"), dtype=float)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize_capture(tmp_path_factory.mktemp("turning") / "person", TURNING, quietly)


def test_one_camera_that_stands_still_sees_the_turn_and_others_are_held_out(folder: Path) -> None:
    capture = read_capture(folder)
    assert [(f.timestep, f.camera_index) for f in capture.train] == [(t, 8) for t in range(6)]
    assert capture.train_multiframe == capture.train
    poses = np.stack([f.camera_to_world for f in capture.train])
    assert (poses == poses[0]).all()
    assert [(f.timestep, f.camera_index) for f in capture.val] == [(0, c) for c in (0, 5, 15)]
    assert [(f.timestep, f.camera_index) for f in capture.test] == [(6, c) for c in (5, 8, 15)]
    model = load_head_model(folder / "head_model.npz")
    assert FlameParams.load(folder / "driver" / "sequence.npz").num_timesteps == 3
    FlameParams.load(folder / "canonical_flame_param.npz").check_fits(model)
    assert "a head that turns" in (folder / "readme.txt").read_text()
    options = CaptureOptions(folder, None, "multi", None, 1, "white", "auto", True)
    inspect_capture(options)


def test_the_same_settings_give_the_same_bytes_and_blur_and_drift_change_their_pictures_alone(
    folder: Path, tmp_path: Path
) -> None:
    first = digest(folder)
    changed = replace(TURNING, motion_blur=8.0, exposure_drift=1.0, workers=2)
    second = digest(synthesize_capture(tmp_path / "b", changed, quietly))
    assert {name for name in first if first[name] != second[name]} == {
        *(f"images/{t:05d}_08.png" for t in range(1, 6)),
        *(f"fg_masks/{t:05d}_08.png" for t in (2, 5)),
    }
    for moment in range(1, 6):
        mask = np.asarray(Image.open(folder / "fg_masks" / f"{moment:05d}_08.png")) == 255
        if moment not in (2, 5):
            gain = exposure_gains(6, 1.0, 0)[moment]
            change = picture(tmp_path / "b", moment)[mask].mean() - picture(folder, moment)[mask].mean()
            assert np.sign(change) == np.sign(gain - 1.0)
    sharp, blurred = (picture(each, 5)[..., 1] for each in (folder, tmp_path / "b"))
    assert np.abs(np.diff(blurred)).mean() < 0.8 * np.abs(np.diff(sharp)).mean()


def test_the_head_turns_nods_and_blinks_but_acts_nothing() -> None:
    model = builtin_head()
    motion = turn_head(model, 60, 60.0, 3)
    angles = np.degrees(motion.rotation + motion.neck_pose)
    assert 57 < angles[:, 1].max() < 64 and -64 < angles[:, 1].min() < -57
    assert 17 < angles[:, 0].max() < 23 and -23 < angles[:, 0].min() < -17
    assert np.abs(angles[0]).max() == 0.0
    assert np.abs(np.diff(angles, axis=0)).max() < 16.0
    lids = [model.expression_names.index(f"blink_{side}") for side in ("left", "right")]
    blinks = motion.expr[:, lids].min(axis=1) > 0.5
    assert 1 <= blinks.sum() <= 3 and not blinks[0]
    acted = np.delete(motion.expr - motion.expr[0], lids, axis=1)
    assert 0.01 < np.abs(acted).max() < 0.3
    assert motion.jaw_pose[:, 0].min() > 0.0 and motion.jaw_pose[:, 0].max() < 0.06
    lips = pose_vertices(model, motion.at(0).params(np.zeros(model.num_shape)))[0, model.regions.vertices("lips")]
    closed = pose_vertices(model, rest(model, 0.0, 0.0).params(np.zeros(model.num_shape)))[0]
    opened = (lips[:, 1] - closed[model.regions.vertices("lips"), 1]).min()
    assert -0.006 < opened < -0.001, "the mouth is slightly open"
    assert np.array_equal(turn_head(model, 1, 60.0, 3).expr, motion.expr[:1])
    still = turn_head(model, 20, 0.0, 3)
    assert np.degrees(np.abs(still.rotation + still.neck_pose)).max() < 8.0


def test_an_exposure_lies_around_its_moment_and_gains_start_at_one() -> None:
    motion = turn_head(builtin_head(), 12, 60.0, 0)
    instants = exposures(motion, 12, 4.0)
    turns = np.stack([np.degrees(each.rotation + each.neck_pose) for each in instants])
    np.testing.assert_allclose(turns.mean(axis=0), np.degrees(motion.rotation + motion.neck_pose), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(turns[-1] - turns[0], axis=-1), 4.0)
    gains = exposure_gains(30, 0.5, 1)
    assert gains[0] == 1.0 and np.abs(np.log2(gains)).max() == pytest.approx(0.5)
    assert (exposure_gains(30, 0.0, 1) == 1.0).all()


def test_the_lamps_stay_in_the_room_when_the_head_turns() -> None:
    """Head, camera and room turned together give the same picture; head and camera alone do not."""
    settings = replace(TURNING, hair="none")
    person, rig, shape = create_person(settings)
    model, angle = builtin_head(), np.radians(50.0)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    neutral = rest(model)
    posed = pose_vertices(rig, neutral.params(shape))[0].numpy()
    camera = cameras(settings)[8]
    pose = np.eye(4)
    pose[:3] = turn @ camera.camera_to_world[:3]
    turned_camera = replace(camera, camera_to_world=pose)
    lights = tuple(
        Light(tuple((turn @ np.array(lamp.toward)).tolist()), lamp.color, lamp.spread) for lamp in Studio().lights
    )

    def seen(vertices: np.ndarray, room: Studio, view: object) -> np.ndarray:
        someone = replace(person, studio=room)
        return render(build_scene(someone, vertices, neutral.expr[0]), view, someone)  # type: ignore[arg-type]

    upright = seen(posed, Studio(), camera)
    with_the_room = seen(posed @ turn.T, Studio(lights), turned_camera)
    in_the_room = seen(posed @ turn.T, Studio(), turned_camera)
    face = (upright[..., 3] == 1.0) & (with_the_room[..., 3] == 1.0)
    noise = np.abs(with_the_room - upright)[face, :3].mean()
    assert noise < 0.015
    assert np.abs(in_the_room - upright)[face, :3].mean() > 4.0 * noise


@pytest.mark.parametrize(
    ("setting", "value"),
    [("num_turning_timesteps", 0), ("turn", 91.0), ("motion_blur", -1.0), ("exposure_drift", 4.0)],
)
def test_impossible_settings_are_named(tmp_path: Path, setting: str, value: float) -> None:
    with pytest.raises(CaptureError, match=setting):
        synthesize_capture(tmp_path / "x", replace(TURNING, **{setting: value}), quietly)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("moving_camera", [False, True])
def test_the_tiny_capture_obeys_its_closed_form(tmp_path: Path, moving_camera: bool) -> None:
    """A head of one colour in light from one side: its pixels are that colour times the light of their normals."""
    folder = write_tiny_turning(tmp_path / "capture", 6, 1, moving_camera=moving_camera)
    capture = read_capture(folder)
    assert [(f.timestep, f.camera_index) for f in capture.train] == [(t, FRONT) for t in range(6)]
    assert [(f.timestep, f.camera_index) for f in capture.val] == [(0, 1), (0, 2)]
    assert [(f.timestep, f.camera_index) for f in capture.test] == [(6, c) for c in range(len(AZIMUTHS))]
    poses = np.stack([f.camera_to_world for f in capture.train])
    assert bool((poses == poses[0]).all()) != moving_camera
    model, params = load_head_model(folder / "head_model.npz"), FlameParams.load(folder / "flame_param")
    vertices = pose_vertices(model, params).double().numpy()
    drawn = model.triangles.unique().numpy()
    for frame in capture.train:
        local = (vertices[frame.timestep, drawn] - frame.camera_to_world[:3, 3]) @ frame.camera_to_world[:3, :3]
        pixels = np.stack([frame.cx - frame.fx * local[:, 0] / local[:, 2],
                           frame.cy + frame.fy * local[:, 1] / local[:, 2]], axis=-1)  # fmt: skip
        mask = np.asarray(Image.open(frame.mask_path or "")) / 255.0
        rows, columns = np.nonzero(mask > 0.1)
        assert np.abs(pixels.min(axis=0) - [columns.min() + 0.5, rows.min() + 0.5]).max() < 1.3
        assert np.abs(pixels.max(axis=0) - [columns.max() + 0.5, rows.max() + 0.5]).max() < 1.3
    inspect_capture(CaptureOptions(folder, None, "multi", None, 1, "white", "auto", True))
    assert LIGHT @ LIGHT < 1.0, "no surface is black"


def test_a_tracker_that_moves_the_camera_has_the_same_pictures(tmp_path: Path) -> None:
    still, moving = (
        digest(write_tiny_turning(tmp_path / str(moves), 4, 1, moving_camera=moves)) for moves in (False, True)
    )
    different = {name for name in still if still[name] != moving[name]}
    assert different == {
        "transforms.json",
        "transforms_train.json",
        *(f"flame_param/{t:05d}.npz" for t in (1, 2, 3)),
    }
