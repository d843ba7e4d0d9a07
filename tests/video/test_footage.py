"""Pictures and sound beside a driver's motion."""

from __future__ import annotations

import json
import socket
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.errors import CaptureError
from sage_ns.video.ffmpeg import VideoError
from sage_ns.video.footage import PictureFootage, find_footage, find_frame_rate, find_sound, given_footage
from sage_ns.video.writer import Sound, write_pictures
from tests.tiny_capture import write_tiny_capture


def write_film(path: Path, num: int = 10, fps: float = 20, sound: Path | None = None) -> Path:
    """Grey pictures: number k has the value 20 k."""
    pictures = [torch.full((8, 12, 3), 20 * index / 255) for index in range(num)]
    write_pictures(path, pictures, fps, None if sound is None else Sound(sound, 0.0, num / fps))
    return path


def write_silence(path: Path, seconds: float = 1.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * int(8000 * seconds)))
    return path


def number(picture: np.ndarray) -> int:
    return round(float(picture.mean()) / 20)


def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    return folder


def test_a_film_is_shown_in_time_with_the_motion(tmp_path: Path) -> None:
    folder = clip(tmp_path)
    write_film(folder / "clip.mp4")
    footage = find_footage(folder, range(5))
    seconds = (0.0, 0.1, 0.1, 0.26, 0.2, 3.0, 0.0)  # backwards, too, and beyond the end
    assert [number(footage.at(0, time)) for time in seconds] == [0, 2, 2, 5, 4, 9, 0]
    assert footage.at(0, 0.0).shape == (8, 12, 3)
    assert find_frame_rate(folder) == 20


def test_a_film_beside_a_motion_file_of_its_name(tmp_path: Path) -> None:
    write_film(tmp_path / "speech.mp4", fps=12.5)
    (tmp_path / "speech.npz").touch()
    assert number(find_footage(tmp_path / "speech.npz", range(3)).at(0, 0.16)) == 2
    assert find_frame_rate(tmp_path / "speech.npz") == 12.5
    assert find_frame_rate(tmp_path / "other.npz") is None


def test_pictures_of_a_capture_are_those_of_its_front_camera(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture")
    footage = find_footage(folder, [0, 1, 2, 3])
    assert isinstance(footage, PictureFootage)
    assert [path.name for path in footage.paths] == [f"0000{t}_01.png" for t in range(4)]
    preferred = find_footage(folder, [0, 1, 2, 3], camera_index=2)
    assert isinstance(preferred, PictureFootage) and preferred.paths[3].name == "00003_02.png"
    (folder / "images" / "00002_01.png").unlink()
    others = find_footage(folder, [0, 1, 2, 3])
    assert isinstance(others, PictureFootage) and all("_01" not in path.name for path in others.paths)


def test_a_missing_picture_is_that_of_the_moment_before(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "capture", num_cameras=1)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"] = [frame for frame in content["frames"] if frame["timestep_index"] != 2]
    for path in folder.glob("transforms*.json"):
        path.write_text(json.dumps(content))
    footage = find_footage(folder, [0, 1, 2, 3])
    assert isinstance(footage, PictureFootage)
    assert [path.name[:5] for path in footage.paths] == ["00000", "00001", "00001", "00003"]


def test_given_pictures_are_one_per_moment(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("L", (4, 5), 20 * index).save(tmp_path / f"{index}.png")
    footage = given_footage(tmp_path, 3)
    assert [number(footage.at(row, 0.0)) for row in (0, 0.4, 1.6, 2)] == [0, 0, 2, 2]
    assert footage.at(0, 0.0).shape == (5, 4, 3)
    with pytest.raises(CaptureError, match="found 3 pictures, but the motion has 4 moments"):
        given_footage(tmp_path, 4)


def test_paths_without_footage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"no source pictures beside this motion.*--source"):
        find_footage(clip(tmp_path), range(3))
    with pytest.raises(VideoError, match=r"silence\.wav: no pictures in this file"):
        given_footage(write_silence(tmp_path / "silence.wav"), 3)


def test_a_film_whose_pictures_are_damaged_is_refused_by_name(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4")
    content = (tmp_path / "film.mp4").read_bytes()
    media = content.index(b"mdat") + 4
    broken = tmp_path / "broken.mp4"
    index = content.index(b"moov")
    # The index is whole, and there is noise where the pictures were.
    end = index - 4 if index > media else len(content)
    broken.write_bytes(content[:media] + bytes(range(256)) * ((end - media) // 256 + 1))
    broken.write_bytes(broken.read_bytes()[:end] + content[end:])
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        given_footage(broken, 10).at(9, 0.5)


def test_a_playlist_reads_nothing_from_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/part.ts"
        path = tmp_path / "film.mp4"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(VideoError, match=r"film\.mp4"):
            given_footage(path, 3)
        with pytest.raises(TimeoutError):
            server.accept()


def test_sound_of_a_clip_comes_from_its_wav_or_its_film(tmp_path: Path) -> None:
    folder = clip(tmp_path)
    assert find_sound(folder) is None
    write_film(folder / "clip.mp4")
    assert find_sound(folder) is None, "a silent film"
    wav = write_silence(tmp_path / "elsewhere.wav")
    write_film(folder / "clip.mp4", sound=wav)
    assert find_sound(folder) == folder / "clip.mp4"
    write_silence(folder / "clip.wav")
    assert find_sound(folder) == folder / "clip.wav"
