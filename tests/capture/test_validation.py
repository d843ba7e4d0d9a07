"""Every way a capture can be broken, one by one: the message names file and field, and nothing long ran before."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.capture.images import load_image
from sage_ns.errors import CaptureError, FlameParamsError, HeadModelError, SageError
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.rig import save_head_model
from tests.tiny import tiny_head_model
from tests.tiny_capture import edit_frames, write_tiny_capture, write_transforms

TRAIN = "transforms_train.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_capture(tmp_path / "capture")


def parse(folder: Path, **options) -> None:
    FlameCaptureDataParserConfig(data=folder, **options).setup().get_dataparser_outputs("train")


def edit_params(folder: Path, **fields) -> None:
    """Rewrites fields of timestep 1's parameters; None takes a field away."""
    path = folder / "flame_param" / "00001.npz"
    arrays = {name: array for name, array in {**np.load(path), **fields}.items() if array is not None}
    np.savez(path, **arrays)


def matrix(change: Callable[[np.ndarray], None]) -> Callable[[list], list]:
    def changed(rows: list) -> list:
        array = np.array(rows)
        change(array)
        return array.tolist()

    return changed


def set_entry(row: int, column: int, value: float) -> Callable[[list], list]:
    return matrix(lambda array: array.__setitem__((row, column), value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestep_index": None}, "no 'timestep_index'.*VHAP"),
        ({"timestep_index": -1}, "'timestep_index' is -1"),
        ({"timestep_index": 0.5}, "'timestep_index' is 0.5"),
        ({"timestep_index": "0"}, "'timestep_index' is '0'"),
        ({"flame_param_path": None}, "no 'flame_param_path'.*--flame-mode param"),
        ({"flame_param_path": 3}, "'flame_param_path' is 3"),
        ({"file_path": None}, "no 'file_path'"),
        ({"transform_matrix": None}, "'transform_matrix' is not a 4x4 matrix"),
        ({"transform_matrix": [[1, 2], [3]]}, "'transform_matrix' is not a 4x4 matrix"),
        ({"transform_matrix": set_entry(0, 0, float("nan"))}, "'transform_matrix' holds NaN"),
        ({"transform_matrix": lambda rows: (2 * np.array(rows)).tolist()}, "no rotation"),
        ({"transform_matrix": lambda rows: np.zeros((4, 4)).tolist()}, "no rotation"),
        ({"transform_matrix": matrix(lambda a: a.__imul__([-1, 1, 1, 1]))}, "no rotation.*determinant -1"),
        ({"transform_matrix": set_entry(3, 0, 1.0)}, "last row"),
        ({"transform_matrix": matrix(lambda a: a.__imul__([1, -1, -1, 1]))}, "behind the camera.*OpenCV"),
        ({"fl_x": 0.0}, "'fl_x' is 0"),
        ({"fl_y": -3.0}, "'fl_y' is -3"),
        ({"fl_x": float("inf")}, "'fl_x' is inf"),
        ({"fl_x": None, "camera_angle_x": 4.0}, "'camera_angle_x' is 4"),
        ({"cy": float("nan")}, "'cy' is nan"),
        ({"w": 0}, "'w' x 'h' is 0"),
        ({"w": 33}, r"is 32 x 40 px, but the transforms state 33 x 40 px"),
    ],
)
def test_broken_frame_fields(folder: Path, changes: dict, message: str) -> None:
    edit_frames(folder / TRAIN, **changes)
    with pytest.raises(CaptureError, match=message) as caught:
        parse(folder)
    if "px" not in message:
        assert f"{TRAIN}, frame 0" in str(caught.value)


def test_missing_focal_length(folder: Path) -> None:
    edit_frames(folder / TRAIN, fl_x=None, camera_angle_x=None)
    content = json.loads((folder / TRAIN).read_text())
    del content["fl_x"], content["camera_angle_x"]
    (folder / TRAIN).write_text(json.dumps(content))
    with pytest.raises(CaptureError, match=r"transforms_train.json, frame 0: no focal length"):
        parse(folder)


def test_not_a_capture(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(CaptureError, match=r"looked for transforms_train\.json.*found photo\.jpg"):
        parse(tmp_path)
    with pytest.raises(CaptureError, match="is not a folder"):
        parse(tmp_path / "nowhere")


def test_broken_json_names_line_and_column(folder: Path) -> None:
    text = json.dumps(json.loads((folder / TRAIN).read_text()), indent=1)
    (folder / TRAIN).write_text(text[: len(text) // 2] + "\n?")
    with pytest.raises(CaptureError, match=r"transforms_train\.json is not valid JSON.*line \d+, column \d+"):
        parse(folder)


@pytest.mark.parametrize("content", ["[]", '{"frames": {}}', '{"other": []}', '{"frames": [1]}'])
def test_json_without_frames(folder: Path, content: str) -> None:
    (folder / TRAIN).write_text(content)
    with pytest.raises(CaptureError, match=r"transforms_train\.json.*expected"):
        parse(folder)


def test_empty_training_split(folder: Path) -> None:
    write_transforms(folder / TRAIN, [])
    with pytest.raises(CaptureError, match=r"transforms_train\.json: the training split is empty"):
        parse(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("images", "6 of 6 images missing: .*00000_00.png.* and 3 more"),
        ("fg_masks", "6 of 6 masks missing.*--use-masks False"),
        ("flame_param", "4 of 4 FLAME parameter files missing: .*00000.npz"),
    ],
)
def test_missing_files_are_named_and_counted(folder: Path, files: str, message: str) -> None:
    for name in (TRAIN, "transforms_val.json", "transforms_test.json"):
        edit_frames(folder / name, camera_index=0)
    write_transforms(folder / "transforms_val.json", [])
    write_transforms(folder / "transforms_test.json", [])
    if files == "flame_param":
        shutil.copy(folder / "transforms.json", folder / TRAIN)
    shutil.rmtree(folder / files)
    with pytest.raises(CaptureError, match=message):
        parse(folder, frames="multi")


def test_frames_of_a_moment_must_agree_on_its_parameters(folder: Path) -> None:
    edit_frames(folder / "transforms_val.json", flame_param_path="flame_param/00003.npz")
    with pytest.raises(CaptureError, match=r"transforms_val\.json.*timestep 0 has 'flame_param_path'"):
        parse(folder)


def test_image_of_another_size(folder: Path) -> None:
    Image.new("RGB", (16, 20)).save(folder / "images" / "00000_01.png")
    with pytest.raises(CaptureError, match=r"00000_01\.png is 16 x 20 px, but the transforms state 32 x 40"):
        parse(folder)


def test_mask_of_another_size(folder: Path) -> None:
    Image.new("L", (16, 20)).save(folder / "fg_masks" / "00000_01.png")
    with pytest.raises(CaptureError, match=r"fg_masks/00000_01\.png is 16 x 20 px"):
        parse(folder)
    parse(folder, use_masks=False)


def test_file_that_is_no_image(folder: Path) -> None:
    (folder / "images" / "00000_01.png").write_text("not a picture")
    with pytest.raises(CaptureError, match=r"00000_01\.png is not a readable image"):
        parse(folder)


def test_truncated_image_is_refused_before_training(folder: Path) -> None:
    path = folder / "images" / "00000_01.png"
    path.write_bytes(path.read_bytes()[:-200])
    for read in (lambda: parse(folder), lambda: load_image(path)):
        with pytest.raises(CaptureError, match=r"00000_01\.png cannot be decoded.*truncated"):
            read()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expr": np.full((1, 10), np.nan, np.float32)}, "expr"),
        ({"jaw_pose": np.zeros((1, 4), np.float32)}, "jaw_pose"),
        ({"translation": None}, "translation"),
        ({"expr": np.ones((1, 100), np.float32)}, "expr.*100.*10"),
        ({"shape": np.ones(400, np.float32)}, "shape.*400.*300"),
        ({"static_offset": np.zeros((1, 5143, 3), np.float32)}, "static_offset.*5143.*54"),
    ],
)
def test_broken_parameters(folder: Path, fields: dict, message: str) -> None:
    edit_params(folder, **fields)
    with pytest.raises(FlameParamsError, match=message) as caught:
        parse(folder)
    assert "00001.npz" in str(caught.value)


def test_truncated_parameter_file(folder: Path) -> None:
    path = folder / "flame_param" / "00001.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FlameParamsError, match=r"00001\.npz"):
        parse(folder)


def test_sequence_in_place_of_a_moment(folder: Path) -> None:
    arrays = dict(np.load(folder / "flame_param" / "00001.npz"))
    sequence = {n: a if n in ("shape", "static_offset") else np.repeat(a, 5, 0) for n, a in arrays.items()}
    edit_params(folder, **sequence)
    with pytest.raises(CaptureError, match=r"00001\.npz: holds 5 timesteps"):
        parse(folder)


def test_canonical_timestep_that_was_not_trained_on(folder: Path) -> None:
    with pytest.raises(CaptureError, match=r"canonical_timestep 3 has no training frame.*0, 1, 2"):
        parse(folder, canonical_timestep=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"downscale_factor": 64}, "downscale_factor 64"),
        ({"downscale_factor": 0}, "downscale_factor is 0"),
        ({"background": "mauvish"}, "background 'mauvish'"),
    ],
)
def test_impossible_options(folder: Path, options: dict, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        parse(folder, **options)


def test_wrong_cy_origin_in_the_file(folder: Path) -> None:
    content = json.loads((folder / TRAIN).read_text())
    (folder / TRAIN).write_text(json.dumps({**content, "cy_origin": "middle"}))
    with pytest.raises(CaptureError, match="'cy_origin' is 'middle'"):
        parse(folder)


def test_no_head_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)
    (folder / "head_model.npz").unlink()
    with pytest.raises(HeadModelError, match="no head model found"):
        parse(folder)
    with pytest.raises(HeadModelError, match=r"gone\.pkl"):
        parse(folder, head_model=folder / "gone.pkl")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


def test_malicious_head_model_is_refused_and_not_run(folder: Path) -> None:
    marker = folder / "was_run"
    (folder / "evil.pkl").write_bytes(pickle.dumps({"v_template": Malicious(marker)}))
    with pytest.raises(HeadModelError, match=r"evil\.pkl"):
        parse(folder, head_model=folder / "evil.pkl")
    assert not marker.exists()


def test_head_model_with_fewer_coefficients(folder: Path) -> None:
    save_head_model(tiny_head_model(num_expression=10, num_shape=300), folder / "ten.npz")
    save_head_model(tiny_head_model(num_expression=2), folder / "two.npz")
    parse(folder, head_model=folder / "ten.npz")
    edit_params(folder, expr=np.full((1, 10), 0.5, np.float32))
    with pytest.raises(FlameParamsError, match=r"00001\.npz.*'expr'.*has 2"):
        parse(folder, head_model=folder / "two.npz")


def test_all_errors_are_of_one_family() -> None:
    assert all(issubclass(error, SageError) for error in (CaptureError, FlameParamsError, HeadModelError))
