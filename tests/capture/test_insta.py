"""INSTA's folders as captures: the same vertex falls on the same pixel, and frames stay with their checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture import load_image, read_capture
from sage_ns.capture.insta import convert_insta
from sage_ns.cli.capture import main
from sage_ns.errors import CaptureError, HeadModelError, SageError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.motion.files import load_motion
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, load_head_model, pose_vertices, save_head_model
from sage_ns.rig.eyelids import EYELID_FILES
from tests.tiny import tiny_head_model

MODEL = tiny_head_model(num_expression=10)
IDS = (0, 1, 2, 3, 4, 6)
"""The tracker lost number 5."""
TEST_IDS = (4, 6)
WIDTH, HEIGHT = 24, 20
K = np.array([[60.0, 0.0, 11.25], [0.0, 60.0, 9.5], [0.0, 0.0, 1.0]])


def rotation(*axis_angle: float) -> torch.Tensor:
    return axis_angle_to_matrix(torch.tensor(axis_angle))


def world_to_camera(number: int) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV: the head, which looks along +z, is before a camera that looks back at it (y down)."""
    turned = rotation(0.1 * number, 0.05, -0.02 * number) @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return turned.numpy(), np.array([0.01 * number, -0.02, 0.9], dtype=np.float32)


def six(*axis_angle: float) -> np.ndarray:
    return rotation(*axis_angle)[:2].reshape(1, 6).numpy()


def checkpoint(number: int, **changes: Any) -> dict[str, Any]:
    R, t = world_to_camera(number)
    flame = {
        "exp": np.full((1, 10), 0.1 * number, dtype=np.float32),
        "shape": np.linspace(-1, 1, 300, dtype=np.float32)[None],
        "jaw": six(0.05 * number, 0.0, 0.0),
        "eyes": np.concatenate([six(0.0, 0.1, 0.0), six(0.0, 0.2, 0.0)], axis=1),
        "eyelids": np.full((1, 2), 0.9 * (number == 3), dtype=np.float32),
    }
    opencv = {"R": R[None], "t": t[None], "K": K[None]}
    return {"flame": flame, "opencv": opencv, "frame_id": f"{number:05d}", **changes}


def color(number: int) -> tuple[int, int, int]:
    return (40 * number, 100, 200)


def entry(number: int) -> dict[str, Any]:
    to_camera = np.eye(4)
    to_camera[:3, :3], to_camera[:3, 3] = world_to_camera(number)
    return {"file_path": f"images/{number:05d}.png", "transform_matrix": np.linalg.inv(to_camera).tolist()}


def write_transforms(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]]) -> None:
    shared = {"w": float(WIDTH), "h": float(HEIGHT), "fl_x": 60.0, "fl_y": 60.0, "cx": 11.25, "cy": 9.5}
    for name, frames in (("train", train), ("test", test), ("val", test[-1:])):
        (folder / f"transforms_{name}.json").write_text(json.dumps({**shared, "frames": frames}))


@pytest.fixture
def insta(tmp_path: Path) -> tuple[Path, Path]:
    """INSTA's folder and the tracker's, whose frames INSTA lists in no order."""
    folder, actor = tmp_path / "insta", tmp_path / "actor"
    (folder / "images").mkdir(parents=True)
    (actor / "checkpoint").mkdir(parents=True)
    for number in IDS:
        pixels = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
        pixels[..., :3], pixels[:, : WIDTH // 2, 3] = color(number), 255
        Image.fromarray(pixels).save(folder / "images" / f"{number:05d}.png")
        torch.save(checkpoint(number), actor / "checkpoint" / f"{number:05d}.frame")
    train = [entry(number) for number in reversed(IDS) if number not in TEST_IDS]
    write_transforms(folder, train, [entry(number) for number in reversed(TEST_IDS)])
    return folder, actor


def test_a_vertex_falls_on_the_same_pixel_with_the_same_face(insta: tuple[Path, Path], tmp_path: Path) -> None:
    converted = convert_insta(*insta, tmp_path / "out")
    capture = read_capture(converted.folder)
    frames = sorted((*capture.train, *capture.test), key=lambda frame: frame.timestep)
    for number, frame in zip(IDS, frames, strict=True):
        params = FlameParams.load(frame.flame_param_path)
        torch.testing.assert_close(params.expr, torch.full((1, 10), 0.1 * number))
        torch.testing.assert_close(params.jaw_pose, torch.tensor([[0.05 * number, 0.0, 0.0]]))
        torch.testing.assert_close(params.eyes_pose, torch.tensor([[0.0, 0.1, 0.0, 0.0, 0.2, 0.0]]))
        torch.testing.assert_close(params.shape, torch.linspace(-1, 1, 300))
        vertices = pose_vertices(MODEL, params)[0]
        R, t = world_to_camera(number)
        before = (vertices.numpy() @ R.T + t) @ K.T
        camera = PinholeCamera.from_opengl(
            torch.from_numpy(frame.camera_to_world).float(),
            *(frame.fx, frame.fy, frame.cx, frame.cy, frame.width, frame.height),
        )
        after = project(vertices, camera)
        np.testing.assert_allclose(after.pixels.numpy(), before[:, :2] / before[:, 2:], atol=1e-3)
        image, mask = load_image(frame.image_path, frame.mask_path)
        assert mask is not None and mask[0, :, 0].tolist() == [255] * 12 + [0] * 12
        assert tuple(image[0, 0].tolist()) == color(number) and image[0, -1].tolist() == [255] * 3


def test_splits_stay_and_there_is_no_held_out_camera(insta: tuple[Path, Path], tmp_path: Path) -> None:
    converted = convert_insta(*insta, tmp_path / "out")
    capture = read_capture(converted.folder)
    assert [IDS[frame.timestep] for frame in capture.train] == [0, 1, 2, 3]
    assert [IDS[frame.timestep] for frame in capture.test] == [4, 6] and capture.val == ()
    assert len(converted.notes) == 1 and "eyelids at 1 of 6 timesteps" in converted.notes[0]


def test_one_list_without_splits_is_for_training(insta: tuple[Path, Path], tmp_path: Path) -> None:
    folder, actor = insta
    content = json.loads((folder / "transforms_train.json").read_text())
    for name in ("train", "test", "val"):
        (folder / f"transforms_{name}.json").unlink()
    (folder / "transforms.json").write_text(json.dumps({**content, "frames": [entry(number) for number in IDS]}))
    converted = convert_insta(folder, actor / "checkpoint", tmp_path / "out")
    assert len(read_capture(converted.folder).train) == 6 and "all frames are used for training" in converted.notes[0]


def refused(insta: tuple[Path, Path], out: Path, text: str) -> None:
    with pytest.raises(CaptureError) as error:
        convert_insta(*insta, out)
    assert text in str(error.value)
    assert not out.exists()


@pytest.mark.parametrize("field", ["exp", "shape", "jaw", "eyes"])
def test_numbers_that_no_head_has_are_refused(field: str, insta: tuple[Path, Path], tmp_path: Path) -> None:
    contents = checkpoint(3)
    contents["flame"][field].reshape(-1)[1] = 1e30
    torch.save(contents, insta[1] / "checkpoint" / "00003.frame")
    with pytest.raises(SageError, match=r"00003\.frame.*1e\+30"):
        convert_insta(*insta, tmp_path / "out")


@pytest.mark.parametrize("value", [[], ["x" * 2**20]])
def test_lists_without_pictures_and_texts_for_sizes(value: list, insta: tuple[Path, Path], tmp_path: Path) -> None:
    path = insta[0] / "transforms_train.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | ({"w": value[0]} if value else {"frames": []})))
    with pytest.raises(CaptureError, match=r"transforms_train\.json.*expected") as error:
        convert_insta(*insta, tmp_path / "out")
    assert len(str(error.value)) < 500


def test_checkpoints_of_the_neighbours_are_refused(insta: tuple[Path, Path], tmp_path: Path) -> None:
    for number in IDS[:-1]:
        torch.save(checkpoint(number + 1), insta[1] / "checkpoint" / f"{number:05d}.frame")
    write_transforms(insta[0], [entry(number) for number in IDS[:3]], [entry(3)])
    refused(insta, tmp_path / "out", "belong to the checkpoints numbered -1")


def test_checkpoints_of_another_sequence_are_refused(insta: tuple[Path, Path], tmp_path: Path) -> None:
    torch.save(checkpoint(5), insta[1] / "checkpoint" / "00002.frame")
    refused(insta, tmp_path / "out", "00002.frame: its camera is not the 'transform_matrix'")


def test_missing_and_wrong_files_are_refused_by_name(insta: tuple[Path, Path], tmp_path: Path) -> None:
    folder, actor = insta
    out = tmp_path / "out"
    refused((tmp_path, actor), out, "is not an INSTA folder")
    refused((folder, folder), out, "contains no *.frame")
    image = folder / "images" / "00002.png"
    rgba = Image.open(image).copy()
    rgba.convert("RGB").save(image)
    refused(insta, out, "00002.png: its channels are RGB, expected RGBA")
    rgba.crop((0, 0, 12, 10)).save(image)
    refused(insta, out, "00002.png is 12 x 10 px")
    image.unlink()
    refused(insta, out, "00002.png: no such file")
    torch.save(checkpoint(3, opencv={}), actor / "checkpoint" / "00003.frame")
    refused(insta, out, "'opencv.R': found nothing")
    (actor / "checkpoint" / "00003.frame").unlink()
    refused(insta, out, "1 of 6 checkpoints missing: 00003.frame")
    (folder / "transforms_test.json").unlink()
    refused(insta, out, "no transforms_test.json")


def test_the_light_keeps_the_camera_axes(insta: tuple[Path, Path], tmp_path: Path) -> None:
    out = convert_insta(*insta, tmp_path / "out").folder
    for name in ("transforms", "transforms_train", "transforms_test", "transforms_val"):
        assert json.loads((out / f"{name}.json").read_text())["light_axes"] == "camera"


@pytest.fixture
def eyelids(tmp_path: Path) -> tuple[Path, Path]:
    """The tracker's eyelids, and the head model that they belong to."""
    folder, model = tmp_path / "blendshapes", tmp_path / "flame" / "generic.npz"
    folder.mkdir()
    for name, vertex in zip(EYELID_FILES, (5, 6), strict=True):
        offsets = np.zeros((MODEL.num_vertices, 3), dtype=np.float32)
        offsets[vertex] = 0.01
        np.save(folder / name, offsets)
    save_head_model(MODEL, model)
    return folder, model


def test_eyelids_keep_blinks(insta: tuple[Path, Path], eyelids: tuple[Path, Path], tmp_path: Path) -> None:
    folder, model = eyelids
    converted = convert_insta(*insta, tmp_path / "out", eyelids=folder, head_model=model)
    assert converted.notes == ()
    rig = load_head_model(converted.folder / "head_model.npz")
    assert rig.num_expression == 12
    params = FlameParams.load(converted.folder / "flame_param")
    torch.testing.assert_close(params.expr[:, 10], torch.tensor([0.9 * (number == 3) for number in IDS]))
    torch.testing.assert_close(params.expr[:, 11], params.expr[:, 10])
    closed = pose_vertices(rig, params[3]) - pose_vertices(rig, replace(params[3], expr=_open(params[3].expr)))
    torch.testing.assert_close(closed[0, 5].norm(), torch.tensor(0.9 * 0.01 * 3**0.5), atol=1e-4, rtol=0)
    # The checkpoints themselves drive the rig with their blinks, others without.
    assert torch.equal(load_motion(insta[1], rig).params.expr, params.expr)
    assert load_motion(insta[1], rig).notes == () and "are lost" in load_motion(insta[1], MODEL).notes[0]
    # A second conversion does not add eyelids to the model of the first.
    with pytest.raises(HeadModelError, match="has eyelids already"):
        convert_insta(*insta, tmp_path / "out", True, eyelids=folder)


def _open(expr: torch.Tensor) -> torch.Tensor:
    return torch.cat([expr[:, :10], torch.zeros(len(expr), 2)], dim=1)


def test_wrong_eyelids_are_refused_before_anything_is_written(
    insta: tuple[Path, Path], eyelids: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = eyelids
    np.save(folder / "l_eyelid.npy", np.zeros((5023, 3)))
    command = ["insta", *map(str, insta), str(tmp_path / "out"), "--eyelids", str(folder), "--head-model", str(model)]
    with pytest.raises(SystemExit):
        main(command)
    assert "l_eyelid.npy" in capsys.readouterr().out and not (tmp_path / "out").exists()
    with pytest.raises(HeadModelError, match="no head model found"):
        convert_insta(*insta, tmp_path / "out", eyelids=folder)


def test_last_frames_for_testing(insta: tuple[Path, Path], tmp_path: Path) -> None:
    main(["insta", *map(str, insta), str(tmp_path / "out"), "--test-frames", "1"])
    capture = read_capture(tmp_path / "out")
    assert [frame.timestep for frame in capture.test] == [5] and len(capture.train) == 5
    for number in (0, 6):
        with pytest.raises(
            CaptureError, match=r"--test-frames is ., and there are 6 frames. Give a number from 1 to 5"
        ):
            convert_insta(*insta, tmp_path / "other", test_frames=number)


def test_exports_of_vhap_need_no_conversion(insta: tuple[Path, Path], tmp_path: Path) -> None:
    write_transforms(insta[0], [{**entry(0), "timestep_index": 0}], [])
    refused(insta, tmp_path / "out", "already a VHAP export")


def test_command(insta: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["insta", *map(str, insta), str(tmp_path / "out")])
    printed = " ".join(capsys.readouterr().out.split())
    assert "24 x 20" in printed and "blinks are lost" in printed and "generic_model.pkl" in printed
    with pytest.raises(SystemExit):
        main(["insta", *map(str, insta), str(tmp_path / "out")])
    assert "--overwrite" in capsys.readouterr().out
