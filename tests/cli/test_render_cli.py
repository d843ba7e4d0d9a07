"""``sage-render`` on a tiny avatar file: what is shown, and what is refused before anything is drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.layout import read_capture
from sage_ns.cli.render import main
from sage_ns.motion.files import load_motion
from sage_ns.raster.cameras import orbit
from sage_ns.rig import FlameParams
from sage_ns.system.array_fields import write_npz
from sage_ns.video.camera_paths import capture_camera, resized
from sage_ns.video.ffmpeg import inspect_media
from sage_ns.video.writer import to_pixels
from tests.motion.files.written import live_link_face
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_avatar import tiny_avatar
from tests.tiny_capture import tiny_motion, write_tiny_capture
from tests.video.test_footage import write_film, write_silence

MODEL = tiny_head_model()
SIZE = ("--width", 36, "--height", 40)
WHITE = torch.ones(3)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "avatar.npz"
    tiny_avatar(MODEL).save(path)
    return path


@pytest.fixture(scope="module")
def avatar(file: Path) -> Avatar:
    return Avatar.load(file)


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """Four moments of another head."""
    path = tmp_path / "driver.npz"
    driving().save_vhap(path)
    return path


def driving(seed: int = 5) -> FlameParams:
    return tiny_params(MODEL, 4, seed, size=0.03)


def render(avatar: Path, output: Path, *flags: object) -> Path:
    size = () if "--width" in flags or "--height" in flags else SIZE
    main(["--avatar", str(avatar), "--output", str(output), *map(str, (*size, *flags))])
    return output


def frames(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def expected(avatar: Avatar, params: FlameParams, row: int, **fields: Tensor) -> np.ndarray:
    """The avatar from the front, with the row's motion but the canonical translation and rotation."""
    canonical = FlameParams.from_motion_vector(avatar.motion.canonical()[None])
    still = replace(params[row], **{"rotation": canonical.rotation, "translation": canonical.translation, **fields})
    return to_pixels(avatar.render(still, avatar.front_camera(SIZE[1], SIZE[3]), WHITE))


def refused(capsys: pytest.CaptureFixture[str], avatar: Path, output: Path, *flags: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        render(avatar, output, *flags)
    assert stopped.value.code == 1
    return " ".join(capsys.readouterr().out.split())


def test_the_drivers_pose_and_expression_on_the_avatars_head(
    file: Path, avatar: Avatar, driver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = frames(render(file, tmp_path / "out", "--motion", driver))
    assert len(shown) == 4
    for row, picture in enumerate(shown):
        assert np.array_equal(picture, expected(avatar, driving(), row))
    assert not np.array_equal(shown[0], shown[1])
    assert "4 frames (0.2 s at 25 per second)" in capsys.readouterr().out


def test_the_drivers_identity_makes_no_difference(file: Path, driver: Path, tmp_path: Path) -> None:
    somebody = replace(
        driving(),
        shape=torch.full((300,), 2.0),
        static_offset=torch.full((MODEL.num_vertices, 3), 0.05),
        rotation=torch.full((4, 3), 0.7),
        translation=torch.full((4, 3), 3.0),
    )
    somebody.save_vhap(tmp_path / "somebody.npz")
    one = frames(render(file, tmp_path / "one", "--motion", driver))
    other = frames(render(file, tmp_path / "other", "--motion", tmp_path / "somebody.npz"))
    assert np.array_equal(one, other)


def test_the_head_follows_with_follow_head(file: Path, avatar: Avatar, driver: Path, tmp_path: Path) -> None:
    shown = frames(render(file, tmp_path / "out", "--motion", driver, "--follow-head", "--start", 1))
    params, canonical = driving(), FlameParams.from_motion_vector(avatar.motion.canonical()[None])
    for row, picture in zip((1, 2, 3), shown, strict=True):
        moved = canonical.translation + params.translation[row] - params.translation[1]
        wanted = expected(avatar, params, row, rotation=params.rotation[row][None], translation=moved)
        assert np.abs(picture.astype(int) - wanted).max() <= 1


def test_relative_motion_removes_the_drivers_constant_expression(
    file: Path, driver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    biased = replace(driving(), expr=driving().expr + 0.4)
    biased.save_vhap(tmp_path / "biased.npz")
    flags = ("--relative", "--neutral-frame", 2)
    one = frames(render(file, tmp_path / "one", "--motion", driver, *flags))
    other = frames(render(file, tmp_path / "other", "--motion", tmp_path / "biased.npz", *flags))
    assert np.abs(np.stack(one).astype(int) - np.stack(other)).max() <= 1
    tiny_motion(MODEL, 4)[torch.tensor([2, 1, 0, 3])].save_vhap(tmp_path / "shuffled.npz")
    render(file, tmp_path / "found", "--motion", tmp_path / "shuffled.npz", "--relative")
    assert "Neutral moment of the driver: 2" in capsys.readouterr().out


def test_relative_motion_is_clamped_to_limits(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = replace(driving(), jaw_pose=torch.tensor([[0.0, 0, 0], [1.5, 0, 0]]).repeat(2, 1))
    wide.save_vhap(tmp_path / "wide.npz")
    render(file, tmp_path / "out", "--motion", tmp_path / "wide.npz", "--relative", "--neutral-frame", 0)
    assert "Clamped jaw_pose of 2 of 4 moments" in capsys.readouterr().out


def test_motion_is_clamped_to_limits_without_relative_too(
    file: Path, avatar: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = replace(driving(), jaw_pose=torch.tensor([[0.0, 0, 0], [1.5, 0, 0]]).repeat(2, 1))
    wide.save_vhap(tmp_path / "wide.npz")
    shown = frames(render(file, tmp_path / "out", "--motion", tmp_path / "wide.npz"))
    assert "Clamped jaw_pose of 2 of 4 moments (found 1.5, limits -0.1..0.6)" in capsys.readouterr().out
    wide.jaw_pose[1, 0] = 0.6
    assert np.array_equal(shown[1], expected(avatar, wide, 1))


@pytest.mark.parametrize("flags", [(), ("--relative",), ("--start", 2, "--end", 3)])
def test_degrees_are_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[object, ...]
) -> None:
    arrays = driving().arrays()
    write_npz(tmp_path / "degrees.npz", {**arrays, "jaw_pose": np.degrees(arrays["jaw_pose"])})
    message = refused(capsys, file, tmp_path / "out", "--motion", tmp_path / "degrees.npz", *flags)
    assert "'jaw_pose': found" in message and "these look like degrees: convert to radians" in message
    assert not (tmp_path / "out").exists()


def test_a_recording_of_live_link_face_drives(
    file: Path, avatar: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = live_link_face(tmp_path / "take.csv", [{}, {"jawOpen": 1.0, "eyeLookUpLeft": 0.4}, None])
    shown = frames(render(file, tmp_path / "out", "--motion", recording))
    printed = " ".join(capsys.readouterr().out.split())
    assert "3 frames (0.1 s at 60 per second)" in printed and "HeadYaw, HeadPitch, HeadRoll" in printed
    assert "1 of 3 moments have no scores (the face was lost): they hold the last pose" in printed
    assert not np.array_equal(shown[0], shown[1]) and np.array_equal(shown[1], shown[2])
    motion = load_motion(recording, avatar.rig.head_model).params
    assert np.array_equal(shown[1], expected(avatar, motion, 1))


@pytest.mark.parametrize(
    ("case", "arguments", "named"),
    [
        ("13-driver-in-degrees", (), "these look like degrees"),
        ("15-driver-without-shape", ("none",), None),
        ("15-driver-without-shape", ("per-moment",), None),
    ],
)
def test_shared_cases(
    file: Path, tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str], case: str,
    arguments: tuple[str, ...], named: str | None,
) -> None:  # fmt: skip
    script = shared / "cases" / case / "make.py"
    if not script.is_file():
        pytest.skip(f"no {script}")
    source, made = tmp_path / "sequence.npz", tmp_path / "made.npz"
    write_npz(source, driving().arrays())
    subprocess.run([sys.executable, script, source, made, *arguments], check=True)
    if named is not None:
        assert named in refused(capsys, file, tmp_path / "out", "--motion", made)
        return
    one = frames(render(file, tmp_path / "one", "--motion", source))
    assert np.array_equal(one, frames(render(file, tmp_path / "out", "--motion", made)))


def test_without_a_driver_the_avatars_own_motion_is_shown(file: Path, avatar: Avatar, tmp_path: Path) -> None:
    shown = frames(render(file, tmp_path / "out"))
    own = FlameParams.from_motion_vector(avatar.motion.motion)
    assert np.array_equal(shown, [expected(avatar, own, row) for row in range(4)])


def test_rates_ranges_and_sizes(file: Path, driver: Path, tmp_path: Path) -> None:
    video = render(file, tmp_path / "out.mp4", "--motion", driver, "--motion-fps", 10, "--fps", 40)
    media = inspect_media(video)
    assert media.fps == 40 and media.seconds == pytest.approx(13 / 40, abs=0.01)
    between = frames(render(file, tmp_path / "between", "--motion", driver, "--motion-fps", 10, "--fps", 20))
    whole = frames(render(file, tmp_path / "whole", "--motion", driver, "--start", 1, "--end", 3))
    assert len(between) == 7 and len(whole) == 2
    assert np.array_equal(between[2], whole[0]) and np.array_equal(between[4], whole[1])
    wide = frames(render(file, tmp_path / "wide", "--end", 1, "--width", 30))
    assert wide[0].shape == (30, 30, 3), "a square where nothing else is said"


def test_a_clip_brings_its_sound_and_its_pictures(
    file: Path, avatar: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip"
    driving().save_vhap(clip / "flame_param")
    write_film(clip / "clip.mp4", num=4, fps=10)
    write_silence(clip / "clip.wav", seconds=2.0)
    media = inspect_media(render(file, tmp_path / "out.mp4", "--motion", clip, "--side-by-side"))
    assert media.sound and media.fps == 10 and media.seconds == pytest.approx(0.4, abs=0.05)
    assert "lasts 2.0 s, the motion 0.4 s at 10 moments per second" in " ".join(capsys.readouterr().out.split())
    both = frames(render(file, tmp_path / "both", "--motion", clip, "--side-by-side", "--start", 2))
    assert both[0].shape == (40, 60 + 36, 3)
    assert [round(float(picture[:, :60].mean()) / 20) for picture in both] == [2, 3]
    assert np.array_equal(both[1][:, 60:], expected(avatar, driving(), 3))
    silent = render(file, tmp_path / "silent.gif", "--motion", clip)
    assert not inspect_media(silent).sound


def test_alpha(file: Path, avatar: Avatar, driver: Path, tmp_path: Path) -> None:
    flags = ("--motion", driver, "--end", 1, "--background")
    (transparent,) = frames(render(file, tmp_path / "alpha", *flags, "alpha"))
    assert transparent.shape == (40, 36, 4)
    assert not transparent[0, 0].any() and transparent[..., 3].max() > 200
    (black,) = frames(render(file, tmp_path / "black", *flags, "#000000"))
    alpha = transparent[..., 3:].astype(float) / 255
    assert np.abs(transparent[..., :3] * alpha - black).max() < 1.5
    (coverage,) = frames(render(file, tmp_path / "coverage", *flags, "black", "--output-name", "alpha"))
    assert np.array_equal(coverage[..., 0], transparent[..., 3])


def test_normals_and_depth(file: Path, avatar: Avatar, driver: Path, tmp_path: Path) -> None:
    flags = ("--motion", driver, "--end", 1, "--background", "black", "--output-name")
    (normal,) = frames(render(file, tmp_path / "normal", *flags, "normal"))
    (depth,) = frames(render(file, tmp_path / "depth", *flags, "depth"))
    nose, border = (20, 18), (0, 0)
    assert normal[nose][2] > 190, "the face looks along +z"
    assert depth[nose][0] > 100 and np.ptp(depth[nose]) == 0
    assert not normal[border].any() and not depth[border].any()


def write_path(path: Path, avatar: Avatar, times: list[float] | None) -> Path:
    """Cameras of nerfstudio's viewer around the avatar, 0.3 rad apart, 36 x 40 pixels."""
    front, target = avatar.front_camera(SIZE[1], SIZE[3]), torch.zeros(3)
    entries = []
    for index in range(3):
        pose = torch.linalg.inv(orbit(front, target, 0.3 * index).T_camera_world)
        pose[:3, 1:3] *= -1
        entries.append({"camera_to_world": pose.flatten().tolist(), "fov": 30.0})
        if times is not None:
            entries[-1]["render_time"] = times[index]
    content = {"render_width": SIZE[1], "render_height": SIZE[3], "camera_path": entries, "fps": 12}
    path.write_text(json.dumps(content))
    return path


def test_camera_paths_without_times_last_as_long_as_the_motion(
    file: Path, avatar: Avatar, driver: Path, tmp_path: Path
) -> None:
    path = write_path(tmp_path / "path.json", avatar, None)
    shown = frames(render(file, tmp_path / "out", "--motion", driver, "--camera", path))
    assert len(shown) == 4
    assert np.abs(shown[0].astype(int) - expected(avatar, driving(), 0)).max() <= 1


def test_camera_paths_with_times_pick_the_moments(
    file: Path, avatar: Avatar, driver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_path(tmp_path / "path.json", avatar, [1.0, 0.0, 1 / 3])
    video = render(
        file, tmp_path / "a.mp4", "--motion", driver, "--camera", path, "--audio", write_silence(tmp_path / "a.wav")
    )
    assert inspect_media(video).fps == 12 and "No sound" in capsys.readouterr().out
    shown = frames(render(file, tmp_path / "out", "--motion", driver, "--camera", path))
    assert len(shown) == 3
    assert np.abs(shown[0].astype(int) - expected(avatar, driving(), 3)).max() <= 1


def test_the_camera_of_a_capture(file: Path, avatar: Avatar, tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    flags = ("--camera", "capture:2", "--capture", folder, "--end", 1, "--height", 80)
    (shown,) = frames(render(file, tmp_path / "out", *flags))
    camera = resized(capture_camera(read_capture(folder), 2), 64, 80)
    own = FlameParams.from_motion_vector(avatar.motion.motion)[0]
    canonical = FlameParams.from_motion_vector(avatar.motion.canonical()[None])
    still = replace(own, rotation=canonical.rotation, translation=canonical.translation)
    assert np.array_equal(shown, to_pixels(avatar.render(still, camera, WHITE)))


def test_orbits_and_sways_begin_in_front(file: Path, avatar: Avatar, driver: Path, tmp_path: Path) -> None:
    for name in ("orbit", "sway"):
        shown = frames(render(file, tmp_path / name, "--motion", driver, "--camera", name))
        first = expected(avatar, driving(), 0)
        assert np.abs(shown[0].astype(int) - first).max() <= 1
        assert np.abs(shown[1].astype(int) - expected(avatar, driving(), 1)).max() > 20


def broken(folder: Path, name: str) -> Path:
    """Write a broken motion file."""
    params = driving()
    params.save_vhap(folder / f"{name}.npz")
    with np.load(folder / f"{name}.npz") as stored:
        arrays = dict(stored)
    if name == "lengths":
        arrays["jaw_pose"] = arrays["jaw_pose"][:3]
    elif name == "missing":
        del arrays["eyes_pose"]
    elif name == "rig":
        arrays["expr"] = np.ones((4, 14), np.float32)
    elif name == "nan":
        arrays["expr"][2, 1] = np.nan
    elif name == "width":
        arrays["eyes_pose"] = arrays["eyes_pose"][:, :3]
    elif name == "empty":
        arrays = {key: array[:0] if len(array) == 4 else array for key, array in arrays.items()}
    write_npz(folder / f"{name}.npz", arrays)
    if name == "cut":
        content = (folder / "cut.npz").read_bytes()
        (folder / "cut.npz").write_bytes(content[: len(content) // 2])
    return folder / f"{name}.npz"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lengths", "'jaw_pose': found shape [3, 3], expected shape [4, 3]"),
        ("missing", "'eyes_pose': found nothing"),
        ("rig", "'expr': found 14 coefficients in use, but head model 'tiny' has 10"),
        ("nan", "'expr': found 1 non-finite values, the first at index (2, 1)"),
        ("width", "'eyes_pose': found shape [4, 3], expected shape [4, 6]"),
        ("empty", "'expr': found no timesteps"),
        ("cut", "not a readable npz file"),
    ],
)
def test_wrong_motion_is_refused_by_name_before_anything_is_drawn(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    message: str,
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(Avatar, "draw", lambda *given: drawn.append(given))
    (tmp_path / "motion").mkdir()
    path = broken(tmp_path / "motion", name)
    for output in ("out.mp4", "out"):
        said = refused(capsys, file, tmp_path / output, "--motion", path)
        assert str(path) in said and message in said
    assert not drawn and [each.name for each in tmp_path.iterdir()] == ["motion"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--motion", "nowhere"), "nowhere: no such file or folder"),
        (("--width", 35), "--width 35: .mp4 files need even numbers; give 36"),
        (("--height", 0), "--height 0: expected at least 1"),
        (("--fps", 0), "--fps 0: expected"),
        (("--start", 4), "--start 4 --end 4"),
        (("--start", 2, "--end", 2), "has the moments 0 to 3"),
        (("--end", 5), "--start 0 --end 5"),
        (("--neutral-frame", 1), "--neutral-frame has no effect without --relative"),
        (("--neutral-frame", 4, "--relative"), "--neutral-frame 4:"),
        (("--source", "."), "--source has no effect without --side-by-side"),
        (("--side-by-side",), "an avatar keeps no pictures; give --motion or --source"),
        (("--capture", "."), "--capture has no effect without --camera capture:INDEX"),
        (("--camera", "above"), "choose frontal, orbit, sway, capture:INDEX or a camera path (.json)"),
        (("--camera", "capture:0"), "keeps no cameras; give their capture: --capture DIR"),
        (("--camera", "nowhere.json"), "nowhere.json: no such file"),
        (("--background", "invisible"), "'invisible' is not a colour"),
        (("--background", "alpha"), "files of this kind carry no alpha"),
        (("--audio", "nowhere.wav"), "nowhere.wav: no such file"),
    ],
)
def test_bad_options_are_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[object, ...], message: str
) -> None:
    assert message in refused(capsys, file, tmp_path / "out.mp4", *flags)
    assert not list(tmp_path.iterdir())


def test_other_files_than_avatars_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], driver: Path) -> None:
    assert "gone.npz: no such file" in refused(capsys, tmp_path / "gone.npz", tmp_path / "out.mp4")
    assert "not an avatar file" in refused(capsys, driver, tmp_path / "out.mp4")


def test_existing_outputs_stay_without_overwrite(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    output.write_text("somebody's work")
    assert "--overwrite" in refused(capsys, file, output)
    assert output.read_text() == "somebody's work"
    render(file, output, "--overwrite", "--end", 1)
    assert inspect_media(output).fps == 25


@pytest.mark.parametrize("name", ["out.mp4", "out"])
def test_an_interrupted_rendering_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    draw, drawn = Avatar.draw, []

    def interrupted(self: Avatar, *given: object) -> object:
        drawn.append(given)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Avatar, "draw", interrupted)
    with pytest.raises(SystemExit) as stopped:
        render(file, tmp_path / name)
    assert stopped.value.code == 130
    assert not list(tmp_path.iterdir())


def test_an_avatar_file_needs_no_nerfstudio(file: Path, driver: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['nerfstudio'] = None\n"
        "from sage_ns.cli.render import main\n"
        f"main(['--load-config', {str(file)!r}, '--motion', {str(driver)!r}, '--output', 'out.gif', '--end', '2',\n"
        "      '--width', '36', '--relative', '--camera', 'sway'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert inspect_media(tmp_path / "out.gif").fps == 25
