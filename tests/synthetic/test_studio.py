"""The made-up capture: complete, consistent, repeatable, and never half-written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture import read_capture
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams, load_head_model, pose_vertices
from sage_ns.synthetic import SyntheticCapture, cameras, synthesize_capture
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.motion import mistracked, perform
from sage_ns.synthetic.studio import create_person
from sage_ns.synthetic.surface import loop_subdivision, noise, vertex_normals
from sage_ns.synthetic.true_skin import activation, crease_depths

TINY = SyntheticCapture(
    width=40, height=58, num_train_timesteps=2, num_test_timesteps=2, num_driver_timesteps=5, supersampling=2, workers=1
)


def quietly(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize_capture(tmp_path_factory.mktemp("synthetic") / "person", TINY, quietly)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_layout_is_complete(folder: Path) -> None:
    capture = read_capture(folder)
    assert [f.camera_index for f in capture.train] == [i for i in range(16) if i != 8]
    assert {f.timestep for f in capture.train} == {0}
    assert [(f.timestep, f.camera_index) for f in capture.val] == [(0, 8)]
    assert {f.timestep for f in capture.train_multiframe} == {0, 1}
    assert len(capture.train_multiframe) == 30
    assert {f.timestep for f in capture.test} == {2, 3}
    assert {f.camera_index for f in capture.test} == {3, 7, 8, 12}
    listed = {f.image_path for f in (*capture.train_multiframe, *capture.val, *capture.test)}
    assert {path.resolve() for path in (folder / "images").iterdir()} - {p.resolve() for p in listed} == {
        (folder / "images" / "00001_08.png").resolve()
    }
    for frame in (*capture.train, *capture.test):
        with Image.open(frame.image_path) as image, Image.open(frame.mask_path or "") as mask:
            assert (image.mode, image.size, mask.mode, mask.size) == ("RGB", (40, 58), "L", (40, 58))
    model = load_head_model(folder / "head_model.npz")
    for name in ("canonical_flame_param.npz", "flame_param", "driver/flame_param", "driver/sequence.npz"):
        FlameParams.load(folder / name).check_fits(model)
    assert FlameParams.load(folder / "driver" / "sequence.npz").num_timesteps == 5
    assert FlameParams.load(folder / "canonical_flame_param.npz").jaw_pose[0, 0] == pytest.approx(0.3)
    assert "driver" in (folder / "readme.txt").read_text()
    assert not [path for path in folder.parent.iterdir() if path != folder]


def test_every_camera_sees_the_head_on_white(folder: Path) -> None:
    for frame in (*read_capture(folder).train, *read_capture(folder).val):
        with Image.open(frame.image_path) as image, Image.open(frame.mask_path or "") as mask:
            color, alpha = np.asarray(image), np.asarray(mask) / 255.0
        assert (color[alpha == 0] == 255).all()
        assert alpha.max() == 1.0
        assert 0.12 < alpha.mean() < 0.5
        rows, columns = np.nonzero(alpha > 0.5)
        assert abs(columns.mean() - 20) < 6 and abs(rows.mean() - 29) < 9
        assert rows.min() > 0 and rows.max() < 57 and columns.min() > 0 and columns.max() < 39
        assert ((alpha > 0.05) & (alpha < 0.95)).any(), "no soft edge"


def test_parameters_and_cameras_agree_with_the_masks(folder: Path) -> None:
    """The posed rig's eyes and nose project into the mask; the head's left is on the right of the front view."""
    model = load_head_model(folder / "head_model.npz")
    vertices = pose_vertices(model, FlameParams.load(folder / "flame_param")[0])[0].numpy()
    for frame in (*read_capture(folder).train, *read_capture(folder).val):
        world_to_camera = np.linalg.inv(frame.camera_to_world)
        local = vertices @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        assert (local[:, 2] < -0.8).all()
        u = frame.cx - frame.fx * local[:, 0] / local[:, 2]
        v = frame.cy + frame.fy * local[:, 1] / local[:, 2]
        with Image.open(frame.mask_path or "") as mask:
            alpha = np.asarray(mask) / 255.0
        nose = model.regions.vertices("nose").numpy()
        in_front = frame.camera_to_world[2, 3] > 0.6  # elsewhere the nose is the outline itself
        assert alpha[v[nose].astype(int), u[nose].astype(int)].mean() > (0.95 if in_front else 0.5)
        inside = alpha[np.clip(v, 0, 57).astype(int), np.clip(u, 0, 39).astype(int)]
        assert (inside > 0.2).mean() > 0.95
        if frame.camera_index == 8:
            eyes = [u[model.regions.vertices(f"{side}_eyeball").numpy()].mean() for side in ("left", "right")]
            assert eyes[0] > eyes[1] + 4


def test_the_truth_is_near_the_rig_but_not_on_it(folder: Path) -> None:
    report = json.loads((folder / "tracking_report.json").read_text())
    assert 0.1 < report["fit"][0] < 0.8
    assert report["fit"][0] < report["written"][0] < 2.5
    assert report["written"][0] <= report["written_worst_frame"][0]
    with np.load(folder / "truth" / "surface.npz") as truth:
        assert truth["vertices"].shape[0] == 1
        assert truth["triangles"].max() < truth["vertices"].shape[1]
        assert 0.1 < truth["face"].mean() < 0.9


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(folder: Path, tmp_path: Path) -> None:
    few = replace(TINY, num_cameras=4, num_train_timesteps=1, num_test_timesteps=1, supersampling=1)
    first = digest(synthesize_capture(tmp_path / "a", few, quietly))
    second = digest(synthesize_capture(tmp_path / "b", replace(few, workers=2), quietly))
    assert first == second
    other = digest(synthesize_capture(tmp_path / "c", replace(few, seed=1, hair="none"), quietly))
    assert other["images/00000_08.png"] != first["images/00000_08.png"]
    assert other["head_model.npz"] == first["head_model.npz"]


def test_hair_can_be_dyed_and_nothing_else_changes(tmp_path: Path) -> None:
    few = replace(TINY, num_cameras=4, num_train_timesteps=1, num_test_timesteps=1, supersampling=1)
    pictures = []
    for color in ("black", "blond"):
        folder = synthesize_capture(tmp_path / color, replace(few, hair_color=color), quietly)
        pictures.append(np.asarray(Image.open(folder / "images" / "00000_08.png").convert("L"), dtype=float))
    black, blond = pictures
    height = black.shape[0]
    assert (blond - black)[: height // 3].max() > 40.0
    assert np.abs(blond - black)[height // 2 :].max() < 20.0


def test_a_used_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").write_text("keep")
    with pytest.raises(CaptureError, match=r"used exists and is not empty.*overwrite"):
        synthesize_capture(used, TINY, quietly)
    assert (used / "mine.txt").read_text() == "keep"
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="is a file"):
        synthesize_capture(tmp_path / "file", TINY, quietly)


def test_a_failure_leaves_nothing_behind_and_overwriting_replaces(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError("stop")

    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    few = replace(TINY, num_cameras=4, num_train_timesteps=1, num_test_timesteps=1, supersampling=1, overwrite=True)
    with pytest.raises(RuntimeError, match="stop"):
        synthesize_capture(out, few, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "old.txt").exists()
    synthesize_capture(out, few, quietly)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (out / "old.txt").exists() and (out / "transforms.json").is_file()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("num_cameras", 3), ("num_cameras", 17), ("num_test_timesteps", 0), ("supersampling", 0)),
        *(("seed", -1), ("scale", 0.01), ("tracking_error", -1.0)),
    ],
)
def test_impossible_settings_are_named(tmp_path: Path, setting: str, value: float) -> None:
    name = "picture width" if setting == "scale" else setting
    with pytest.raises(CaptureError, match=name):
        synthesize_capture(tmp_path / "x", replace(TINY, **{setting: value}), quietly)
    assert not (tmp_path / "x").exists()


def test_cameras_stand_on_the_frontal_arc_and_look_at_the_head() -> None:
    placed = cameras(SyntheticCapture())
    assert list(placed) == list(range(16))
    for camera in placed.values():
        pose = camera.camera_to_world
        np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) > 0
        assert 1.0 < np.linalg.norm(pose[:3, 3]) < 1.15
        np.testing.assert_allclose(camera.project(np.array([[0.0, 0.004, -0.012]])), [[137.5, 200.5]], atol=1e-6)
    assert 8 in cameras(replace(SyntheticCapture(), num_cameras=5))
    assert np.argmax([c.camera_to_world[2, 3] for c in placed.values()]) == 8


def test_sequences_move_smoothly_and_differ() -> None:
    model = builtin_head()
    test, train, driver = (perform(model, name, 40, seed=3) for name in ("test", "train", "driver"))
    for motion in (test, train, driver):
        assert np.isfinite(motion.expr).all()
        assert motion.jaw_pose[:, 0].min() >= 0.0 and motion.jaw_pose[:, 0].max() > 0.05
        assert np.abs(np.diff(motion.rotation, axis=0)).max() < 0.1
    assert np.abs(test.expr - train.expr).max() > 0.5
    tracked = mistracked(test, 1.0, seed=3)
    error = np.linalg.norm(tracked.translation - test.translation, axis=-1)
    assert 1e-5 < error.mean() < 2e-3
    assert np.array_equal(mistracked(test, 0.0, seed=3).expr, test.expr)


def test_loop_subdivision_of_a_tetrahedron_and_of_an_open_square() -> None:
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    matrix, finer = loop_subdivision(np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]), 4)
    assert matrix.shape == (10, 4) and finer.shape == (16, 3)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1.0)
    # valence 3: 7/16 of the corner and 3/16 of each neighbour; the corners sum to zero, so 1/4 of it remains
    np.testing.assert_allclose((matrix @ corners)[:4], corners * 0.25)
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    matrix, finer = loop_subdivision(np.array([[0, 1, 2], [0, 2, 3]]), 4)
    fine = matrix @ square
    np.testing.assert_allclose(fine[0], 0.75 * square[0] + 0.125 * (square[1] + square[3]))
    np.testing.assert_allclose(vertex_normals(fine, finer), np.tile([0.0, 0.0, 1.0], (9, 1)), atol=1e-12)


def test_creases_come_with_their_expressions() -> None:
    model = builtin_head()
    expr = np.zeros(100)
    expr[model.expression_names.index("mouth_smile_left")] = 0.8
    assert activation(model.expression_names, expr, "smile") == (pytest.approx(0.8), 0.0)
    assert activation(model.expression_names, expr, "brow_raise") == (0.0, 0.0)
    depths = crease_depths(model.v_template.numpy().astype(np.float64) * 1e3)
    forehead = model.regions.vertices("forehead").numpy()
    chin = torch.nonzero(model.v_template[:, 1] < -0.06).squeeze().numpy()
    assert depths["brow_raise"][forehead].max() > 0.3
    assert np.abs(depths["brow_raise"][chin]).max() < 1e-3


def test_the_mouth_is_lined_with_mucosa_and_dark_in_its_depth_alone() -> None:
    person, rig, _ = create_person(SyntheticCapture(scale=0.2))
    material, depth = person.material, person.skin.q[:, 2]
    assert 100 < material.in_mouth.sum() < rig.num_vertices
    red, green, _ = material.albedo[material.in_mouth].T
    soft = green < 0.5 * red  # teeth are not
    assert soft.any() and not soft.all() and red[soft].min() > 0.1
    walls, throat = soft & (red > 0.35), soft & (red < 0.2)
    assert depth[material.in_mouth][throat].max() < depth[material.in_mouth][walls].max() - 5.0


def test_noise_is_smooth_repeatable_and_centred() -> None:
    points = np.random.default_rng(0).uniform(-100, 100, size=(4000, 3))
    field = noise(points, 10.0, seed=1)
    assert np.array_equal(field, noise(points, 10.0, seed=1))
    assert abs(field.mean()) < 0.05 and 0.3 < field.std() < 0.8
    assert np.abs(noise(points + 0.01, 10.0, seed=1) - field).max() < 0.02
