"""An avatar in one file: the same pixels, without capture or nerfstudio, and bad files refused by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.avatar_file import AvatarFileError, surfels_of
from sage_ns.avatar.look import Look
from sage_ns.errors import FlameParamsError
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_avatar import tiny_avatar
from tests.tiny_capture import tiny_motion

JAW = 9
DAMAGE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nan": lambda array: np.full_like(array, np.nan),
    "zeros": np.zeros_like,
    "ones": lambda array: np.ones(array.shape, dtype=np.float32),
    "large": lambda array: np.full_like(array, 10**9),
    "short": lambda array: array[:-3],
}


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    made = tiny_avatar(builtin_head(2))
    made.settle()
    return made


@pytest.fixture(scope="module")
def file(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "avatar.npz"
    avatar.save(path)
    return path


def test_a_file_gives_back_the_same_pixels(avatar: Avatar, file: Path) -> None:
    loaded = Avatar.load(file)
    assert loaded.look == avatar.look and loaded.is_settled
    camera, motion = avatar.front_camera(48, 64), avatar.motion.motion[3].clone()
    motion[JAW] = 0.4
    picture = avatar.render(motion, camera)
    assert float((picture - avatar.background).abs().amax()) > 0.2, "something is shown"
    assert torch.equal(loaded.render(motion, loaded.front_camera(48, 64)), picture)


def test_a_file_keeps_where_the_pictures_come_from(avatar: Avatar, tmp_path: Path) -> None:
    said = '{"consent": "my own picture"}'
    avatar.provenance = said
    avatar.save(tmp_path / "said.npz")
    avatar.provenance = ""
    assert Avatar.load(tmp_path / "said.npz").provenance == said
    with np.load(tmp_path / "said.npz") as stored:
        arrays = {name: stored[name] for name in stored if name != "provenance"}
    np.savez(tmp_path / "older.npz", **arrays)
    assert Avatar.load(tmp_path / "older.npz").provenance == ""
    np.savez(tmp_path / "long.npz", **arrays, provenance=np.array("x" * 30_000))
    with pytest.raises(AvatarFileError, match="'provenance': found 30000 characters, expected at most"):
        Avatar.load(tmp_path / "long.npz")


def test_five_lines_from_another_folder_need_no_nerfstudio(file: Path, tmp_path: Path) -> None:
    alone = tmp_path / "moved.npz"
    alone.write_bytes(file.read_bytes())
    script = (
        "import sys\n"
        "from sage_ns.avatar.avatar import Avatar\n"
        "avatar = Avatar.load('moved.npz')\n"
        "picture = avatar.render(avatar.neutral(), avatar.front_camera(32, 40))\n"
        "assert tuple(picture.shape) == (40, 32, 3)\n"
        "assert not any(name.startswith('nerfstudio') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_the_motion_of_another_person_drives_without_its_identity(avatar: Avatar) -> None:
    head = builtin_head(2)
    driver = tiny_motion(head, 3)
    vectors = avatar.fit(driver)
    torch.testing.assert_close(vectors, driver.motion_vector())
    assert torch.equal(avatar.fit(driver.with_identity(tiny_params(head))), vectors)
    with pytest.raises(FlameParamsError, match="3 timesteps"):
        avatar.render(driver, avatar.front_camera(16, 16))


@pytest.mark.parametrize("value", [14.0, 1e30, float("nan"), float("inf")])
def test_motion_that_no_head_can_make_is_refused(avatar: Avatar, value: float) -> None:
    params, camera = avatar.neutral(), avatar.front_camera(16, 16)
    params.jaw_pose[0, 0] = value
    for refused in (lambda: avatar.fit(params), lambda: avatar.render(params, camera)):
        with pytest.raises(FlameParamsError, match="the given parameters: row 0: 'jaw_pose': found"):
            refused()
    with pytest.raises(FlameParamsError, match="'jaw_pose': found"):
        avatar.render(params.motion_vector()[0], camera)


def test_the_front_camera_holds_the_whole_head(avatar: Avatar) -> None:
    for width, height in ((60, 90), (90, 60), (30, 90)):
        camera = avatar.front_camera(width, height)
        vertices = avatar.rig.vertices(avatar.motion.canonical())
        seen = vertices @ camera.T_camera_world[:3, :3].T + camera.T_camera_world[:3, 3]
        pixels = (seen @ camera.intrinsics.T)[:, :2] / seen[:, 2:]
        low, high = pixels.amin(dim=0), pixels.amax(dim=0)
        assert bool((low > 0).all()) and float(high[0]) < width and float(high[1]) < height
        assert max(float((high - low)[0]) / width, float((high - low)[1]) / height) > 0.5


def test_options_of_a_look_change_the_picture(avatar: Avatar) -> None:
    camera, motion = avatar.front_camera(48, 64), avatar.motion.motion[3]
    shown = {}
    for name, look in {
        "plain": Look(supersampling=1, wrinkles=0.0),
        "wrinkled": Look(supersampling=1, wrinkles=1.0),
        "uncorrected": Look(supersampling=1, wrinkles=0.0, correction=False),
        "large": Look(supersampling=1, wrinkles=0.0, surfel_size=2.0),
        "no mouth": Look(supersampling=1, wrinkles=0.0, mouth=False),
        "rendered wrinkles": Look(supersampling=1, wrinkles=1.0, wrinkle_rule="rendered"),
        "dimmed": Look(supersampling=1, wrinkles=0.0, wrinkle_rule="rendered", wrinkle_dimming=1.0),
        "the neighbours' stretch": Look(supersampling=1, wrinkles=0.0, correction_source="similarity"),
        "shortened": Look(supersampling=1, wrinkles=0.0, correction_source="similarity", correction_gamma=50.0),
    }.items():
        shown[name] = avatar.draw(camera, motion, look)
    assert not torch.equal(shown["shortened"].color, shown["the neighbours' stretch"].color)
    plain = shown.pop("plain")
    assert shown["large"].alpha.sum() > plain.alpha.sum()
    for name, buffers in shown.items():
        assert not torch.equal(buffers.color, plain.color), name


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", None, "not an avatar file"),
        ("format", np.array([99]), "version 99"),
        ("surfels.means", np.zeros((3, 3), dtype=np.float32), "surfels.means"),
        ("surfels.triangle", None, "surfels.triangle"),
        ("surfels.quaternions", "nan", "non-finite"),
        ("motion.motion", np.zeros((2, 5), dtype=np.float32), "motion.motion"),
        ("rig.v_template", None, "v_template"),
        ("background", np.zeros(4, dtype=np.float32), "background"),
        ("interior", None, "interior"),
        ("look.wrinkles", None, "look.wrinkles"),
        ("look.supersampling", np.array(1e9), "look.supersampling"),
        (
            "look.correction_source",
            np.array("neighbours"),
            "'look.correction_source': found 'neighbours', expected one",
        ),
        ("look.correction_source", np.array(1.0), "'look.correction_source': found type float64"),
        ("look.wrinkle_rule", np.array("x" * 999), "'look.wrinkle_rule': found 'xxx"),
        ("look.correction_gamma", np.array(-1.0), "'look.correction_gamma': found -1"),
        ("look.wrinkle_dimming", "nan", "look.wrinkle_dimming"),
        ("look.surfel_size", np.array(0.0), "look.surfel_size"),
        ("background", np.full(3, 9, dtype=np.float32), "'background': found .9"),
        ("interior", np.zeros(7, dtype=bool), "'interior': found shape .7."),
        ("interior", "ones", "'interior': found type float32"),
        ("settled", np.zeros((3, 3), dtype=np.float32), "'settled': found 3 rows"),
        ("settled", np.zeros(3, dtype=np.float32), "'settled': found shape"),
        ("settled", "nan", "'settled': found .* non-finite"),
        ("surfels.triangle", "large", "'surfels.triangle': found values"),
        ("surfels.triangle", "ones", "'surfels.triangle': found type float32"),
        ("surfels.means", "large", "'surfels.means': found numbers up to"),
        ("surfels.quaternions", "zeros", "'surfels.quaternions': found quaternion 0 of length 0"),
        ("surfels.log_scales", "large", "'surfels.log_scales': found numbers up to"),
        ("surfels.sh_rest", "short", "'surfels.sh_rest': found shape"),
        ("surfels.sh_rest", np.zeros((400, 5, 3), dtype=np.float32), "'surfels.sh_rest': found 5 coefficients"),
        ("rig.region_names", np.full(9, 255, dtype=np.uint8), "'region_names': found bytes that are no UTF-8"),
        ("rig.triangles", "large", "rig: 'triangles': found values"),
        ("rig.v_template", "large", "rig: 'v_template': found numbers up to"),
        ("motion.motion", "short", "motion"),
        ("motion.tracked", np.zeros(5, dtype=np.float32), "'motion.tracked': found shape .5."),
        ("motion.timesteps", "zeros", "'motion.timesteps': found ids"),
        ("motion.canonical_row", np.array(99), "'motion.canonical_row': found values"),
        ("mouth.surfels.means", None, "'mouth.surfels.means': found nothing"),
        ("mouth.surfels.triangle", "large", "'mouth.surfels.triangle': found values"),
        ("mouth.surfels.triangle", "short", "'mouth.surfels.means': found shape"),
        ("mouth.surfels.sh_rest", "short", "'mouth.surfels.sh_rest': found shape"),
        ("mouth.surfels.quaternions", "zeros", "'mouth.surfels.quaternions'"),
        ("mouth.rig.triangles", "short", "'mouth.rig.triangles': found another mesh"),
        ("mouth.rig.v_template", "short", "mouth.rig: 'shape_basis': found shape"),
        ("mouth.rig.region_names", None, "mouth.rig: 'region_names'"),
        ("mouth.openings", np.zeros(4, dtype=np.float32), "'mouth.openings'"),
        ("mouth.shade", np.zeros((2, 4), dtype=np.float32), "'mouth.shade': found shape"),
        ("mouth.shade", "nan", "'mouth.shade': found .* non-finite"),
    ],
)
def test_bad_files_are_refused_by_name(file: Path, tmp_path: Path, field: str, value: object, message: str) -> None:
    with np.load(file) as stored:
        arrays = dict(stored)
    if value is None:
        del arrays[field]
    else:
        arrays[field] = DAMAGE[value](arrays[field]) if isinstance(value, str) else np.asarray(value)
    bad = tmp_path / "bad.npz"
    np.savez(bad, **arrays)
    with pytest.raises(AvatarFileError, match=message) as raised:
        Avatar.load(bad)
    assert "bad.npz" in str(raised.value)


def test_a_file_keeps_the_rules_of_drawing(avatar: Avatar, tmp_path: Path) -> None:
    own = avatar.look
    rules = {"wrinkle_rule": "rendered", "wrinkle_dimming": 0.3, "distortion": "hit"}
    try:
        avatar.look = replace(own, correction_source="similarity", correction_gamma=2.0, **rules)  # type: ignore[arg-type]
        avatar.save(tmp_path / "paper.npz")
        camera, motion = avatar.front_camera(48, 64), avatar.motion.motion[3]
        drawn = avatar.draw(camera, motion)
        loaded = Avatar.load(tmp_path / "paper.npz")
        assert loaded.look == avatar.look
    finally:
        avatar.look = own
    again = loaded.draw(camera, motion)
    assert torch.equal(again.color, drawn.color) and torch.equal(again.distortion, drawn.distortion)
    assert not torch.equal(avatar.draw(camera, motion).color, drawn.color)


def test_files_from_before_these_rules_are_drawn_as_before(avatar: Avatar, file: Path, tmp_path: Path) -> None:
    later = ("wrinkle_rule", "wrinkle_dimming", "correction_source", "correction_gamma", "distortion")
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored if name.removeprefix("look.") not in later}
        assert len(arrays) == len(stored.files) - len(later)
    np.savez(tmp_path / "older.npz", **arrays)
    assert Avatar.load(tmp_path / "older.npz").look == avatar.look


def test_a_rig_without_a_mouth_has_a_file_too(tmp_path: Path) -> None:
    avatar = tiny_avatar(tiny_head_model(), 100)
    avatar.save(tmp_path / "tiny.npz")
    loaded = Avatar.load(tmp_path / "tiny.npz")
    assert loaded.mouth is None
    camera = avatar.front_camera(24, 32)
    assert torch.equal(loaded.render(loaded.neutral(), camera), avatar.render(avatar.neutral(), camera))


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_training_can_start_from_a_file(avatar: Avatar, file: Path, degree: int) -> None:
    surfels = surfels_of(file, avatar.rig.head_model, degree)
    shared = min(surfels.sh_rest.shape[1], 3)
    assert surfels.sh_rest.shape[1] == (degree + 1) ** 2 - 1
    assert torch.equal(surfels.sh_rest[:, :shared], avatar.surfels.sh_rest[:, :shared])
    assert not surfels.sh_rest[:, shared:].any() and torch.equal(surfels.means, avatar.surfels.means)


def test_training_cannot_start_on_another_mesh(file: Path) -> None:
    with pytest.raises(AvatarFileError, match="90 \\('tiny'\\)"):
        surfels_of(file, tiny_head_model(), 1)
