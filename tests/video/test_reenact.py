"""`reenact` from Python: a lazily drawn sequence, files, and options that are refused before an avatar is loaded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.avatar.avatar import Avatar
from sage_ns.errors import FlameParamsError, OptionError, SageError
from sage_ns.motion.files import load_motion
from sage_ns.raster.cameras import orbit
from sage_ns.rig import FlameParams
from sage_ns.video.camera_paths import CameraPath
from sage_ns.video.ffmpeg import VideoError, inspect_media
from sage_ns.video.frames import SideBySide
from sage_ns.video.reenact import Reenactment, reenact
from sage_ns.video.writer import to_pixels
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_avatar import tiny_avatar
from tests.video.test_footage import write_film, write_silence

MODEL = tiny_head_model()
SIZE: dict[str, Any] = {"width": 36, "height": 40}


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return tiny_avatar(MODEL)


def driving(num: int = 4) -> FlameParams:
    return tiny_params(MODEL, num, 5, size=0.03)


def still(avatar: Avatar, params: FlameParams, row: int) -> FlameParams:
    """A row of a motion with the head position of the avatar."""
    canonical = FlameParams.from_motion_vector(avatar.motion.canonical()[None])
    return replace(params[row], rotation=canonical.rotation, translation=canonical.translation)


def never() -> Avatar:
    raise AssertionError("the avatar was loaded")


def test_without_an_output_frames_are_drawn_when_asked_for(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = avatar.front_camera(SIZE["width"], SIZE["height"])
    expected = [avatar.render(still(avatar, driving(), row), camera) for row in range(4)]
    draw, drawn = Avatar.draw, []

    def counted(self: Avatar, *given: Any) -> object:
        drawn.append(given)
        return draw(self, *given)

    monkeypatch.setattr(Avatar, "draw", counted)
    made = reenact(avatar, driving(), camera)
    assert not drawn
    assert (made.num_frames, made.fps, made.seconds, made.path, made.notes) == (4, 25.0, 0.16, None, ())
    torch.testing.assert_close(made.frames[2], expected[2], atol=1e-6, rtol=0)
    assert len(drawn) == 1
    for picture, wanted in zip(made.frames, expected, strict=True):
        torch.testing.assert_close(picture, wanted, atol=1e-6, rtol=0)
    assert torch.equal(made.frames[-1], made.frames[3])
    with pytest.raises(IndexError):
        made.frames[4]


def pixels(made: Reenactment) -> np.ndarray:
    return np.stack([to_pixels(picture) for picture in made.frames])


def test_motion_comes_loaded_as_parameters_as_a_path_or_from_the_avatar(avatar: Avatar, tmp_path: Path) -> None:
    driving().save_vhap(tmp_path / "driver.npz")
    given = (driving(), load_motion(tmp_path / "driver.npz"), tmp_path / "driver.npz", str(tmp_path / "driver.npz"))
    one, *others = (pixels(reenact(avatar, motion, **SIZE)) for motion in given)
    assert all(np.array_equal(one, other) for other in others)
    own = FlameParams.from_motion_vector(avatar.motion.motion)
    assert np.array_equal(pixels(reenact(avatar, **SIZE)), pixels(reenact(avatar, own, **SIZE)))
    with pytest.raises(FlameParamsError, match="the given parameters: 'expr': found 14 coefficients in use"):
        reenact(avatar, tiny_params(tiny_head_model(num_expression=14), 2))


def test_written_pictures_are_those_of_the_sequence(avatar: Avatar, tmp_path: Path) -> None:
    said: list[str] = []
    options = {**SIZE, "relative": True, "follow_head": True, "start": 1, "motion_fps": 10, "fps": 20}
    made = reenact(lambda: avatar, driving(), "sway", tmp_path / "out", on_note=said.append, **options)
    assert made.path == tmp_path / "out" and made.num_frames == 5 and made.writing_seconds > 0
    assert said == list(made.notes) and said[0].startswith("Neutral moment of the driver: ")
    written = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").iterdir())])
    assert np.array_equal(written, pixels(made))
    with pytest.raises(VideoError, match="exists already"):
        reenact(never, driving(), output=tmp_path / "out")
    assert reenact(avatar, driving(), output=str(tmp_path / "out"), overwrite=True, **SIZE).num_frames == 4


def test_a_look_and_a_background_of_its_own(avatar: Avatar) -> None:
    before = avatar.look
    small = reenact(avatar, driving(1), look=replace(avatar.look, surfel_size=0.1), background="alpha", **SIZE)
    usual = reenact(avatar, driving(1), background="alpha", **SIZE)
    coverage = reenact(avatar, driving(1), picture="alpha", background=torch.zeros(3), **SIZE)
    assert avatar.look is before
    assert small.frames[0][..., 3].sum() < 0.8 * usual.frames[0][..., 3].sum()
    assert torch.equal(coverage.frames[0][..., 0], usual.frames[0][..., 3])
    corner = reenact(avatar, driving(1), **SIZE).frames[0][0, 0]
    torch.testing.assert_close(corner, avatar.background)
    assert reenact(avatar, driving(1), background="#ff0000", **SIZE).frames[0][0, 0].tolist() == [1, 0, 0]


def test_a_camera_path_with_times_picks_the_moments(avatar: Avatar) -> None:
    front = avatar.front_camera(36, 40)
    path = CameraPath((front, orbit(front, torch.zeros(3), 0.3), front), (1.0, 0.0, 1 / 3), 12.0)
    made = reenact(avatar, driving(), path)
    assert (made.num_frames, made.fps) == (3, 12.0)
    torch.testing.assert_close(made.frames[0], avatar.render(still(avatar, driving(), 3), front), atol=1e-6, rtol=0)
    torch.testing.assert_close(made.frames[2], avatar.render(still(avatar, driving(), 1), front), atol=1e-5, rtol=0)


def test_the_drivers_pictures_and_sound(avatar: Avatar, tmp_path: Path) -> None:
    film = write_film(tmp_path / "speech.mp4", num=4, fps=10)
    audio = write_silence(tmp_path / "speech.wav", seconds=2.0)
    driving().save_vhap(tmp_path / "speech.npz")
    made = reenact(
        avatar, tmp_path / "speech.npz", output=tmp_path / "out.mp4", footage=film, audio=audio, start=2, **SIZE
    )
    assert isinstance(made.frames, SideBySide) and made.fps == 10, "the rate of the film beside the motion"
    assert [round(255 * float(picture[:, :60].mean()) / 20) for picture in made.frames] == [2, 3]
    assert made.frames[0].shape == (40, 60 + 36, 3)
    media = inspect_media(tmp_path / "out.mp4")
    assert media.sound and media.fps == 10
    assert "lasts 2.0 s, the motion 0.4 s at 10 moments per second" in made.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width=0: expected at least 1"),
        ({"height": 35, "output": "out.mp4"}, "height=35: .mp4 files need even numbers; give 36"),
        ({"fps": 0.0}, "fps=0: expected frames per second"),
        ({"motion_fps": float("nan")}, "motion_fps=nan: expected frames per second"),
        ({"start": -1}, "start=-1, end=4: the given parameters has the moments 0 to 3"),
        ({"start": 2, "end": 2}, "start=2, end=2: "),
        ({"neutral_frame": 4, "relative": True}, "neutral_frame=4: "),
        ({"neutral_frame": 1}, "neutral_frame=1: means nothing without relative"),
        ({"picture": "normals"}, "picture=normals: choose one of rgb, normal, depth, alpha"),
        ({"background": "invisible"}, "'invisible' is not a colour"),
        ({"background": "alpha", "output": "out.mp4"}, "files of this kind carry no alpha"),
        ({"view": "above"}, "choose frontal, orbit, sway"),
        ({"view": "capture:3"}, "give the capture that this camera belongs to"),
        ({"audio": Path("a.wav")}, "audio=a.wav: there is no sound without an output"),
        ({"audio": Path("a.wav"), "output": "out.gif"}, "audio=a.wav: files of the kind of out.gif cannot have sound"),
        ({"audio": Path("a.wav"), "output": "out.mp4"}, "a.wav: no such file"),
        ({"footage": Path("film.mp4")}, "film.mp4: no such file"),
        ({"motion": "nowhere"}, "nowhere: no such file or folder"),
    ],
)
def test_bad_options_are_refused_before_the_avatar_is_loaded(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SageError) as refused:
        reenact(never, **{"motion": driving(), **options})
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_an_option_is_named_as_python_and_commands_name_it() -> None:
    error = OptionError("has the moments 0 to 3", start=2, neutral_frame=9)
    assert str(error) == "start=2, neutral_frame=9: has the moments 0 to 3"
    assert error.as_flags() == "--start 2 --neutral-frame 9: has the moments 0 to 3"


def test_nerfstudio_is_not_needed(avatar: Avatar, tmp_path: Path) -> None:
    avatar.save(tmp_path / "avatar.npz")
    script = (
        "import sys\n"
        "sys.modules['nerfstudio'] = None\n"
        "from sage_ns.avatar.avatar import Avatar\n"
        "from sage_ns.video.reenact import reenact\n"
        "made = reenact(Avatar.load('avatar.npz'), None, 'orbit', 'out.gif', end=2, width=20)\n"
        "assert made.num_frames == len(list(made.frames)) == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
