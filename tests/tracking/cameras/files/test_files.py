"""Files that state cameras: what is read comes back, and whatever leaves a question open is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage_ns.errors import CaptureError
from sage_ns.tracking.cameras.files import camera_readers, find_cameras, read_cameras, readers_table
from sage_ns.tracking.cameras.lens import Lens
from tests.tracking.cameras.ring import (
    CENTER,
    FOCAL,
    SIZE,
    opencv_json,
    ring,
    same,
    transforms,
    write_colmap_binary,
    write_colmap_text,
    write_json,
)

CAMERAS = ring(3)


def test_nerfstudios_transforms_are_read_with_their_lens(tmp_path: Path) -> None:
    content = transforms(CAMERAS, k1=0.1, k2=-0.02, k3=0.003, k4=0.0004, p1=0.01, p2=-0.02, camera_model="OPENCV")
    rig = read_cameras(write_json(tmp_path / "transforms.json", content))
    same(rig.cameras, CAMERAS, Lens((0.1, -0.02, 0.003, 0.0004), (0.01, -0.02)))
    assert rig.metres_per_unit is None
    assert [camera.picture for camera in rig.cameras] == [(tmp_path / f"c{i}.png").resolve() for i in range(3)]


def test_a_frames_own_intrinsics_come_before_those_of_the_file(tmp_path: Path) -> None:
    content = transforms(CAMERAS)
    content["frames"][1] |= {"fl_x": 400.0, "k1": 0.3, "fg_mask_path": "m.png"}
    cameras = read_cameras(write_json(tmp_path / "transforms.json", content)).cameras
    assert [camera.focal[0] for camera in cameras] == [FOCAL[0], 400.0, FOCAL[0]]
    assert [camera.lens.is_none for camera in cameras] == [True, False, True]
    assert cameras[1].mask == (tmp_path / "m.png").resolve()


def test_vhaps_transforms_are_metric_and_their_cy_has_to_be_clear(tmp_path: Path) -> None:
    content = transforms(CAMERAS)
    for index, frame in enumerate(content["frames"]):
        frame |= {"timestep_index": 4, "camera_index": index, "camera_id": f"s{index}", "flame_param_path": "f.npz"}
    path = write_json(tmp_path / "transforms.json", content)
    with pytest.raises(CaptureError, match=r"frame 0: 'cy' is 77 .* which edge"):
        read_cameras(path)
    rig = read_cameras(write_json(path, content | {"cy_origin": "bottom"}))
    assert rig.metres_per_unit == 1.0
    assert [camera.name for camera in rig.cameras] == ["s0", "s1", "s2"]
    assert rig.cameras[0].center == (CENTER[0], SIZE[1] - CENTER[1])
    same(read_cameras(write_json(path, content | {"cy_origin": "top"})).cameras, CAMERAS)
    content["frames"][1]["timestep_index"] = 5
    with pytest.raises(CaptureError, match="'timestep_index' has 2 values"):
        read_cameras(write_json(path, content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "'camera_model' is 'OPENCV_FISHEYE'"),
        ({"k5": 0.1}, "'k5' is 0.1"),
        ({"cy_origin": "left"}, "'cy_origin' is 'left'"),
        ({"frames": []}, "'frames' is an empty list"),
        ({"k1": "0"}, "'k1' is '0'"),
    ],
)
def test_transforms_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        read_cameras(write_json(tmp_path / "transforms.json", transforms(CAMERAS) | change))


def test_opencvs_calibration_is_read_in_each_of_its_forms(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    rig = read_cameras(write_json(path, opencv_json(CAMERAS)))
    same(rig.cameras, CAMERAS)
    assert rig.metres_per_unit == 1.0
    content = opencv_json(CAMERAS, units="mm")
    for name, camera in zip(content["cameras"], CAMERAS, strict=True):
        entry = content["cameras"][name]
        entry |= {"R": camera.world_to_camera[:3, :3].tolist(), "t": camera.world_to_camera[:3, 3:].tolist()}
        entry |= {"dist": [[0.1, 0.2, 0.01, 0.02, 0.3, 0.4, 0.5, 0.6]], "image_size": list(SIZE)}
        for gone in ("world_to_camera", "width", "height"):
            del entry[gone]
    rig = read_cameras(write_json(path, content))
    same(rig.cameras, CAMERAS, Lens((0.1, 0.2, 0.3), (0.01, 0.02), (0.4, 0.5, 0.6)))
    assert rig.metres_per_unit == 0.001
    listed = [
        {"name": name, "picture": f"p{name}.png", **entry} for name, entry in opencv_json(CAMERAS)["cameras"].items()
    ]
    for entry, camera in zip(listed, CAMERAS, strict=True):
        del entry["world_to_camera"]
        entry["c2w"] = np.linalg.inv(camera.world_to_camera)[:3].tolist()
    rig = read_cameras(write_json(path, {"units": "m", "cameras": listed}))
    same(rig.cameras, CAMERAS)
    assert rig.cameras[0].picture == (tmp_path / "pc0.png").resolve()


def test_a_rotation_vector_is_a_pose(tmp_path: Path) -> None:
    content = opencv_json(CAMERAS[:1])
    entry = content["cameras"]["c0"]
    del entry["world_to_camera"]
    entry |= {"rvec": [[0.0], [np.pi / 2], [0.0]], "tvec": [1, 2, 3]}
    camera = read_cameras(write_json(tmp_path / "cameras.json", content)).cameras[0]
    np.testing.assert_allclose(camera.world_to_camera[:3], [[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3]], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extrinsics": np.eye(4).tolist(), "world_to_camera": None}, "'extrinsics' does not say its direction"),
        ({"world_to_camera": None}, "no pose"),
        ({"c2w": np.eye(4).tolist()}, "both 'world_to_camera' and 'c2w' state the pose"),
        ({"world_to_camera": (2 * np.eye(4)).tolist()}, r"'world_to_camera' has no rotation .* OpenCV's axes"),
        ({"world_to_camera": np.diag([1.0, 1.0, -1.0, 1.0]).tolist()}, "mirrored"),
        ({"world_to_camera": None, "R": np.eye(3).tolist()}, "'R' and 't' are no pose"),
        ({"world_to_camera": None, "rvec": [1, 2], "tvec": [1, 2, 3]}, "'rvec' and 'tvec' are no pose"),
        ({"K": [[1, 2], [3, 4]]}, "'K' is not a 3x3 matrix"),
        ({"K": None}, "no intrinsics"),
        ({"K": [[300, 0, 0], [0, 300, 0], [60, 80, 1]]}, "transpose the matrix"),
        ({"camera_matrix": np.eye(3).tolist()}, "both 'K' and 'camera_matrix'"),
        ({"dist": [0.1, 0.2, 0.3]}, "4, 5 or 8 numbers"),
        ({"dist": {"k1": 1}}, "4, 5 or 8 numbers"),
        ({"width": None}, "expected two numbers"),
        ({"image_size": [1, 2]}, "no 'width'"),
        ({"picture": 3}, "'picture' is 3"),
    ],
)
def test_calibrations_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = opencv_json(CAMERAS)
    content["cameras"]["c1"] |= change
    with pytest.raises(CaptureError, match=rf"camera 'c1'.*{message}"):
        read_cameras(write_json(tmp_path / "cameras.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"cameras": {}}, "'units' is missing"),
        ({"units": "inch", "cameras": {}}, "'units' is 'inch'"),
        ({"units": "m", "cameras": {}}, "'cameras' is {}"),
        ({"units": "m", "cameras": [{"K": 1}]}, "expected an object with a name"),
        ([], "expected a JSON object"),
    ],
)
def test_files_that_are_no_calibration(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        read_cameras(write_json(tmp_path / "cameras.json", content))


def test_nersembles_calibration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "camera_params.json"
    matrix = [[FOCAL[0], 0, CENTER[0]], [0, FOCAL[1], CENTER[1]], [0, 0, 1]]
    poses = {camera.name: camera.world_to_camera.tolist() for camera in CAMERAS}
    rig = read_cameras(write_json(path, {"world_2_cam": poses, "intrinsics": matrix, "width": 120, "height": 160}))
    same(rig.cameras, CAMERAS)
    assert rig.metres_per_unit == 1.0
    rig = read_cameras(write_json(path, {"world_2_cam": poses, "intrinsics": dict.fromkeys(poses, matrix)}))
    assert [camera.size for camera in rig.cameras] == [None] * 3
    with pytest.raises(CaptureError, match="'world_2_cam' is None"):
        read_cameras(write_json(path, {"intrinsics": matrix}))


def test_colmaps_models_are_read_as_text_and_as_bytes(tmp_path: Path) -> None:
    rig = read_cameras(write_colmap_text(tmp_path / "text", CAMERAS, "OPENCV", "0.1 0.2 0.01 0.02"))
    same(rig.cameras, CAMERAS, Lens((0.1, 0.2), (0.01, 0.02)))
    rig = read_cameras(write_colmap_binary(tmp_path / "bytes", CAMERAS))
    same(rig.cameras, CAMERAS)
    assert rig.metres_per_unit is None
    assert [camera.name for camera in rig.cameras] == ["c0.png", "c1.png", "c2.png"]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("cameras.txt", "PINHOLE", "FOV", "camera model FOV is not read"),
        ("cameras.txt", " 62.0", "", "4 finite parameters"),
        ("cameras.txt", "300.0", "x", "line 2: could not convert"),
        ("cameras.txt", "\n7 ", "\n8 ", "camera 7 is not in the model"),
        ("images.txt", " 7 c0.png", "", "line 2: expected IMAGE_ID"),
    ],
)
def test_texts_of_colmap_that_are_refused(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    folder = write_colmap_text(tmp_path / "sparse", CAMERAS)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(CaptureError, match=message):
        read_cameras(folder)


def test_bytes_of_colmap_that_end_early_or_are_of_another_model(tmp_path: Path) -> None:
    folder = write_colmap_binary(tmp_path / "sparse", CAMERAS)
    whole = (folder / "images.bin").read_bytes()
    for length in (3, 40, len(whole) - 5):
        (folder / "images.bin").write_bytes(whole[:length])
        with pytest.raises(CaptureError, match="cut off"):
            read_cameras(folder)
    (folder / "images.bin").write_bytes(bytes(8))
    with pytest.raises(CaptureError, match="no pictures with poses"):
        read_cameras(folder)
    cameras = bytearray((folder / "cameras.bin").read_bytes())
    cameras[12] = 5
    (folder / "cameras.bin").write_bytes(cameras)
    with pytest.raises(CaptureError, match="OPENCV_FISHEYE"):
        read_cameras(folder)


def test_the_file_beside_the_pictures_is_found_and_two_are_refused(tmp_path: Path) -> None:
    assert find_cameras(tmp_path) is None
    write_colmap_binary(tmp_path / "sparse" / "0", CAMERAS)
    rig = find_cameras(tmp_path)
    assert rig is not None
    assert rig.kind == "a COLMAP model"
    write_json(tmp_path / "cameras.json", opencv_json(CAMERAS))
    with pytest.raises(CaptureError, match=r"sparse/0 and .*cameras.json state cameras\. Say which"):
        find_cameras(tmp_path)


def test_a_path_without_cameras_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file or folder"):
        read_cameras(tmp_path / "nothing")
    with pytest.raises(CaptureError, match=r"states no cameras .*NeRSemble's calibration"):
        read_cameras(tmp_path)


def test_the_page_on_tracking_has_the_table_of_files() -> None:
    page = (Path(__file__).parents[4] / "docs" / "tracking.md").read_text(encoding="utf-8")
    assert readers_table() in page
    assert len(camera_readers()) == 4
