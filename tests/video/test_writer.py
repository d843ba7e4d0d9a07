"""Pictures as files: files can be read back, and errors leave no partial files."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sage_ns.video.ffmpeg import VideoError, ffmpeg_program, inspect_media
from sage_ns.video.writer import Sound, beside, check_writable, needs_even_size, write_pictures

HEIGHT, WIDTH = 32, 48


def pictures(num: int = 6, channels: int = 3, height: int = HEIGHT, width: int = WIDTH) -> list[Tensor]:
    """Flat colours that change from picture to picture; a fourth channel is a ramp from left to right."""
    made = []
    for index in range(num):
        color = torch.tensor([0.2 + 0.1 * index, 0.5, 0.8 - 0.1 * index]).expand(height, width, 3)
        ramp = torch.linspace(0, 1, width)[None, :, None].expand(height, width, 1)
        made.append(torch.cat([color, ramp], dim=-1) if channels == 4 else color)
    return made


def decoded(path: Path, channels: int = 3) -> np.ndarray:
    """All pictures of a video; only libvpx decodes VP9's alpha."""
    decoder = ("-c:v", "libvpx-vp9") if path.suffix == ".webm" else ()
    kind = "rgba" if channels == 4 else "rgb24"
    command = [ffmpeg_program(), "-v", "error", *decoder, "-i", str(path), "-f", "rawvideo", "-pix_fmt", kind, "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, channels)


def write_tone(path: Path, seconds: float, rate: int = 8000) -> Path:
    """Silence for the first half, a loud tone for the second."""
    time = np.arange(int(seconds * rate)) / rate
    samples = (20000 * np.sin(2 * np.pi * 440 * time) * (time > seconds / 2)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def heard(path: Path, rate: int = 8000) -> np.ndarray:
    command = [ffmpeg_program(), "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", str(rate), "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")


@pytest.mark.parametrize("name", ["out.mp4", "out.MP4", "out.mov", "out.webm", "out.gif"])
def test_videos_can_be_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    write_pictures(path, pictures(), fps=10)
    shown = decoded(path)
    expected = np.stack([(255 * each.numpy()).round() for each in pictures()])
    assert shown.shape == expected.shape
    assert np.abs(shown[:, 4:-4, 4:-4] - expected[:, 4:-4, 4:-4]).max() <= 6
    assert inspect_media(path).fps == 10
    assert [each.name for each in path.parent.iterdir()] == [name]


def test_a_name_without_ending_is_a_folder_of_pngs(tmp_path: Path) -> None:
    write_pictures(tmp_path / "frames", pictures(3, channels=4, height=7, width=9), fps=25)
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    shown = np.asarray(Image.open(files[1]))
    assert np.array_equal(shown, (255 * pictures(2, 4, 7, 9)[1].numpy()).round().astype(np.uint8))


@pytest.mark.parametrize("name", ["out.mov", "out.webm"])
def test_alpha_can_be_read_back(tmp_path: Path, name: str) -> None:
    write_pictures(tmp_path / name, pictures(3, channels=4), fps=25)
    shown = decoded(tmp_path / name, channels=4).astype(float)
    expected = 255 * torch.stack(pictures(3, channels=4)).numpy()
    assert shown.shape == expected.shape
    assert np.abs(shown[..., 3] - expected[..., 3]).max() < 8
    opaque = expected[..., 3] > 128
    assert np.abs(shown - expected)[..., :3][opaque].max() < 8


def test_sound_starts_where_it_should_and_ends_with_the_video(tmp_path: Path) -> None:
    tone = write_tone(tmp_path / "tone.wav", seconds=4.0)
    write_pictures(tmp_path / "out.mp4", pictures(20), fps=10, sound=Sound(tone, start=1.0, seconds=2.0))
    media = inspect_media(tmp_path / "out.mp4")
    assert media.sound and media.seconds == pytest.approx(2.0, abs=0.1)
    samples = np.abs(heard(tmp_path / "out.mp4").astype(float))
    assert samples[1000:7000].max() < 500, "silence up to a second after the start"
    assert samples[9000:15000].max() > 10000


def test_a_short_sound_does_not_cut_the_video(tmp_path: Path) -> None:
    tone = write_tone(tmp_path / "tone.wav", seconds=0.5)
    write_pictures(tmp_path / "out.mp4", pictures(20), fps=10, sound=Sound(tone, start=0.0, seconds=2.0))
    assert len(decoded(tmp_path / "out.mp4")) == 20
    write_pictures(tmp_path / "late.mp4", pictures(20), fps=10, sound=Sound(tone, start=1.0, seconds=2.0))
    assert len(decoded(tmp_path / "late.mp4")) == 20


class Interrupted(Exception):
    pass


def interrupted() -> Iterator[Tensor]:
    yield from pictures(3)
    raise Interrupted


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "frames"])
def test_an_interruption_keeps_the_existing_output(tmp_path: Path, name: str) -> None:
    with pytest.raises(Interrupted):
        write_pictures(tmp_path / name, interrupted(), fps=25)
    assert not list(tmp_path.iterdir())
    write_pictures(tmp_path / name, pictures(2), fps=25)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    with pytest.raises(Interrupted):
        write_pictures(tmp_path / name, interrupted(), fps=25)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before


def test_errors_quote_ffmpeg(tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"no sound at all" * 99)
    with pytest.raises(VideoError, match=r"out\.mp4: ffmpeg could not write this file: .*noise\.wav"):
        write_pictures(tmp_path / "out.mp4", pictures(), 25, Sound(tmp_path / "noise.wav", 0, 1))
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(VideoError, match="no pictures to write"):
        write_pictures(tmp_path / "out.mp4", [], fps=25)


def test_sizes(tmp_path: Path) -> None:
    assert needs_even_size(Path("a.mp4"), alpha=False) and needs_even_size(Path("a.webm"), alpha=True)
    assert not needs_even_size(Path("folder"), alpha=False) and not needs_even_size(Path("a.gif"), alpha=False)
    with pytest.raises(VideoError, match="47 x 32 pixels; libx264 needs even numbers"):
        write_pictures(tmp_path / "out.mp4", pictures(width=47), fps=25)
    write_pictures(tmp_path / "out.gif", pictures(width=47), fps=25)
    write_pictures(tmp_path / "out.mov", pictures(channels=4, width=47), fps=25)


@pytest.mark.parametrize(
    ("name", "alpha", "message"),
    [
        ("out.avi", False, "unknown kind of file"),
        ("out.mp4", True, "carry no alpha. Give a name that ends in one of .mov, .webm, or in nothing"),
        ("there.mp4", False, "exists already. Give --overwrite"),
        ("shots", False, "contains more than numbered PNGs"),
        ("folder.mp4", False, "is a folder"),
    ],
)
def test_impossible_outputs_are_refused_before_drawing(tmp_path: Path, name: str, alpha: bool, message: str) -> None:
    (tmp_path / "there.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "thesis.tex").touch()
    with pytest.raises(VideoError, match=message):
        check_writable(tmp_path / name, alpha, overwrite=message.startswith("holds"))


def test_overwrite_replaces_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").touch()
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "00000.png").touch()
    for name in ("there.mp4", "shots"):
        check_writable(tmp_path / name, alpha=False, overwrite=True)


def test_two_pictures_side_by_side() -> None:
    source = np.full((20, 10, 3), 51, np.uint8)
    both = beside(source, torch.zeros(40, 30, 3))
    assert both.shape == (40, 50, 3)
    assert torch.allclose(both[:, :20], torch.tensor(0.2)) and not both[:, 20:].any()
    transparent = beside(source, torch.zeros(41, 30, 4))
    assert transparent.shape == (41, 50, 4)
    assert (transparent[:, :20, 3] == 1).all() and not transparent[:, 20:].any()


def test_media_files_are_described(tmp_path: Path) -> None:
    tone = inspect_media(write_tone(tmp_path / "tone.wav", seconds=1.5))
    assert tone.sound and tone.fps is None and tone.seconds == pytest.approx(1.5, abs=0.01)
    write_pictures(tmp_path / "silent.mp4", pictures(10), fps=12.5)
    silent = inspect_media(tmp_path / "silent.mp4")
    assert not silent.sound and silent.fps == 12.5
    with pytest.raises(VideoError, match=r"nothing\.wav: no such file"):
        inspect_media(tmp_path / "nothing.wav")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mp4: neither pictures nor sound"):
        inspect_media(tmp_path / "text.mp4")
