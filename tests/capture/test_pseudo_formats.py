"""Folders in the layouts of programs that imagine views: the same camera is found whatever the program's axes are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.capture.pseudo_formats import CanonicalHead, converters, find_converter
from sage_ns.capture.pseudo_views import NewView, read_bundle
from sage_ns.cli import capture as cli
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, identity_vertices, pose_vertices
from sage_ns.rig.skull import skull_motions
from tests.tiny_turning import write_tiny_turning

SIDE = 32
FOCAL = 90.0


def turned(degrees: float, distance: float = 1.0) -> np.ndarray:
    """Camera-to-head in OpenCV's axes: a camera that looks at the origin of the head from the side."""
    turn = axis_angle_to_matrix(torch.tensor([0.0, np.deg2rad(degrees), 0.0], dtype=torch.float64)).numpy()
    pose = np.eye(4)
    pose[:3, :3] = turn @ CAMERA_AXES[:3, :3]
    pose[:3, 3] = turn @ [0.0, 0.0, distance]
    return pose


def picture(path: Path, width: int = SIDE, alpha: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((SIDE, width, 4 if alpha else 3), dtype=np.uint8)
    pixels[8:24, 10:22] = 200
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_turning(tmp_path_factory.mktemp("photo"), num_turning=1, facing=20.0)


@pytest.fixture(scope="module")
def head(data: Path) -> CanonicalHead:
    checked = load_capture(CaptureOptions(data, frames="photo"))
    return CanonicalHead(
        checked.head_model, checked.tracking.params[checked.tracking.row_of(0)], checked.splits.train[0]
    )


def expected(head: CanonicalHead, camera_to_head: np.ndarray) -> np.ndarray:
    return skull_motions(head.model, head.params)[0].double().numpy() @ camera_to_head @ CAMERA_AXES


def check(view: NewView, pose: np.ndarray, focal: float = FOCAL) -> None:
    np.testing.assert_allclose(view.camera_to_world, pose, atol=1e-5)
    assert (view.fx, view.fy, view.cx, view.cy) == pytest.approx((focal, focal, SIDE / 2, SIDE / 2))
    assert view.image.shape == (SIDE, SIDE, 3) and view.mask.shape == (SIDE, SIDE)
    assert view.image[0, 0].tolist() == [255, 255, 255] and view.mask[12, 12] == 200


def cap4d(folder: Path, strength: float = 0.0, name: str = "00000") -> np.ndarray:
    """A head that is turned and moved in a world whose camera stands at the side."""
    rotation, translation = np.array([[0.1, 0.4, -0.2]]), np.array([[0.05, -0.1, -1.2]])
    motion = np.eye(4)
    motion[:3, :3] = axis_angle_to_matrix(torch.from_numpy(rotation[0])).numpy()
    motion[:3, 3] = translation[0]
    extrinsics = turned(15.0, 0.3)
    picture(folder / "images" / f"{name}.png")
    (folder / "flame").mkdir(exist_ok=True)
    np.savez(
        folder / "flame" / f"{name}.npz",
        **{"fx": [[2 * FOCAL]], "fy": [[2 * FOCAL]], "cx": [[float(SIDE)]], "cy": [[float(SIDE)]]},
        extr=extrinsics[None],
        rot=rotation,
        tra=translation,
        expr=np.full((1, 5), strength),
        resolutions=[[2 * SIDE, 2 * SIDE]],
    )
    return np.linalg.inv(extrinsics @ CAMERA_AXES @ motion)


def test_cap4d(tmp_path: Path, head: CanonicalHead) -> None:
    pose = cap4d(tmp_path / "generated_images")
    views = find_converter("cap4d").convert(tmp_path, head)
    assert len(views) == 1
    check(views[0], expected(head, pose))


def test_cap4d_takes_the_calmest_expressions(tmp_path: Path, head: CanonicalHead) -> None:
    for number in range(43):
        cap4d(tmp_path, strength=float(number % 2), name=f"{number:05d}")
    assert len(find_converter("cap4d").convert(tmp_path, head)) == 40


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("fx", [[-1.0]], "fx|lengths"), ("extr", np.eye(3), "extr"), ("rot", [[np.nan] * 3], "rot"), ("tra", None, "tra")],
)
def test_cap4d_names_what_is_broken(
    tmp_path: Path, head: CanonicalHead, name: str, value: object, message: str
) -> None:
    cap4d(tmp_path)
    path = tmp_path / "flame" / "00000.npz"
    arrays = dict(np.load(path))
    if value is None:
        del arrays[name]
    else:
        arrays[name] = np.array(value)
    np.savez(path, **arrays)
    with pytest.raises(CaptureError, match=message) as raised:
        find_converter("cap4d").convert(tmp_path, head)
    assert "00000.npz" in str(raised.value)


def test_portrait4d(tmp_path: Path, head: CanonicalHead) -> None:
    pose = turned(30.0)
    neck = (head.model.joint_regressor[1] @ identity_vertices(head.model, head.params)).double().numpy()
    theirs = pose.copy()
    theirs[:3, 3] = 3.0 * (pose[:3, 3] - neck)
    k = [FOCAL / SIDE, 0, 0.5, 0, FOCAL / SIDE, 0.5, 0, 0, 1]
    write_cameras(tmp_path, {"c": [*theirs.flatten().tolist(), *k]})
    (view,) = find_converter("portrait4d").convert(tmp_path, head)
    check(view, expected(head, pose))


def test_gagavatar(tmp_path: Path, head: CanonicalHead) -> None:
    pose = turned(-40.0)
    world_to_view = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.linalg.inv(pose)
    write_cameras(tmp_path, {"transform_matrix": world_to_view[:3].tolist()}, focal_length=2 * FOCAL / SIDE)
    (view,) = find_converter("gagavatar").convert(tmp_path, head)
    check(view, expected(head, pose))


def test_lam(tmp_path: Path, head: CanonicalHead) -> None:
    driver = replace(
        FlameParams.neutral(head.model), rotation=torch.tensor([[0.0, 0.5, 0.1]]), translation=torch.ones(1, 3)
    )
    driver.save_vhap(tmp_path / "flame_param")
    picture(tmp_path / "images" / "0.png")
    pose = turned(25.0)
    motion = skull_motions(head.model, driver.with_identity(head.params))[0].double().numpy()
    frame = {
        **{"timestep_index": 0, "flame_param_path": "flame_param/00000.npz", "file_path": "images/0.png"},
        **{"fl_x": FOCAL, "fl_y": FOCAL, "cx": SIDE / 2, "cy": SIDE / 2, "w": SIDE, "h": SIDE},
        "transform_matrix": (motion @ pose @ CAMERA_AXES).tolist(),
    }
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [frame]}))
    (view,) = find_converter("lam").convert(tmp_path, head)
    check(view, expected(head, pose))


def test_facelift(tmp_path: Path, data: Path, head: CanonicalHead) -> None:
    """Its front view is the real picture, at another focal length: the front camera lands where the real one stands."""
    frame = head.frame
    assert frame.mask_path is not None
    real = Image.open(frame.mask_path)
    side = 64
    focal = 549.0 * side / 512
    depth = np.linalg.norm(pose_vertices(head.model, head.params)[0].mean(0).numpy() - frame.camera_to_world[:3, 3])
    # In their units, the head is as large as makes it fill the view; its scale is not known to the converter.
    factor = 1.2
    size = (round(real.width * factor), round(real.height * factor))
    row = Image.new("L", (6 * side, side))
    for number in range(6):
        row.paste(
            real.resize(size, Image.Resampling.BILINEAR), (number * side + (side - size[0]) // 2, (side - size[1]) // 2)
        )
    Image.merge("RGBA", [row, row, row, row]).save(tmp_path / "multiview.png")
    views = find_converter("facelift").convert(tmp_path, head)
    assert len(views) == 6
    front = views[2].camera_to_world
    distance = depth * focal / (frame.fx * factor)
    np.testing.assert_allclose(front[:3, :3], frame.camera_to_world[:3, :3], atol=1e-6)
    center = front[:3, 3] - distance * front[:3, 2]
    np.testing.assert_allclose(
        center, frame.camera_to_world[:3, 3] - depth * front[:3, 2], atol=0.02
    )  # the width of a head is known to a pixel
    right, back = views[4].camera_to_world, views[5].camera_to_world
    assert right[:3, 2] @ front[:3, 0] == pytest.approx(1.0) and back[:3, 2] @ front[:3, 2] == pytest.approx(-1.0)


def test_facelift_refuses_another_number_of_views(tmp_path: Path, head: CanonicalHead) -> None:
    picture(tmp_path / "multiview.png", width=3 * SIDE)
    with pytest.raises(CaptureError, match="expected 6 square pictures"):
        find_converter("facelift").convert(tmp_path, head)


@pytest.mark.parametrize("program", ["cap4d", "facelift", "gagavatar", "lam", "portrait4d"])
def test_an_empty_folder_is_refused_with_the_layout(tmp_path: Path, head: CanonicalHead, program: str) -> None:
    with pytest.raises(CaptureError, match="expected"):
        find_converter(program).convert(tmp_path, head)


@pytest.mark.parametrize(
    ("program", "entry", "message"),
    [
        ("portrait4d", {"c": [1.0] * 24}, "25 numbers"),
        ("portrait4d", {"c": [2.0] * 25}, "'c'"),
        ("gagavatar", {"transform_matrix": [[1.0, 0, 0, 0]]}, "3 rows of 4"),
        ("gagavatar", {"transform_matrix": [[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]}, "no rotation"),
    ],
)
def test_broken_cameras_are_named(
    tmp_path: Path, head: CanonicalHead, program: str, entry: dict[str, object], message: str
) -> None:
    write_cameras(tmp_path, entry)
    with pytest.raises(CaptureError, match=message):
        find_converter(program).convert(tmp_path, head)


def test_a_picture_without_mask_is_refused_and_a_mask_beside_it_is_found(tmp_path: Path, head: CanonicalHead) -> None:
    cap4d(tmp_path)
    picture(tmp_path / "images" / "00000.png", alpha=False)
    with pytest.raises(CaptureError, match="no mask of its name"):
        find_converter("cap4d").convert(tmp_path, head)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.full((SIDE, SIDE), 90, dtype=np.uint8)).save(tmp_path / "masks" / "00000.png")
    assert find_converter("cap4d").convert(tmp_path, head)[0].mask[0, 0] == 90


def test_the_command_writes_a_bundle_and_prints_the_licence(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cap4d(tmp_path / "theirs")
    cli.main(["views", "cap4d", str(tmp_path / "theirs"), str(tmp_path / "out"), "--data", str(data)])
    assert "CC BY-NC 4.0" in capsys.readouterr().out
    bundle = read_bundle(tmp_path / "out")
    assert bundle.provider == "CAP4D" and len(bundle.views) == 1


def test_every_program_says_its_licence_and_layout() -> None:
    assert [each.name for each in converters()] == ["cap4d", "facelift", "gagavatar", "lam", "portrait4d"]
    assert all(each.licence and each.layout and each.program for each in converters())


def write_cameras(folder: Path, entry: dict[str, object], **shared: object) -> None:
    picture(folder / "images" / "0.png")
    frames = [{"file_path": "images/0.png", **entry}]
    (folder / "cameras.json").write_text(json.dumps({**shared, "frames": frames}))
