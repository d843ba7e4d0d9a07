"""Pictures as they happen: a film in real time, and a camera, which tests replace."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sage_ns.video import live_pictures
from sage_ns.video.ffmpeg import VideoError
from sage_ns.video.live_pictures import LoopedFilm, Webcam, open_live
from tests.video.test_footage import number, write_film, write_silence


def test_a_film_plays_in_time_and_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(live_pictures, "time", SimpleNamespace(monotonic=lambda: now[0]))
    film = open_live(str(write_film(tmp_path / "film.mp4", 10, fps=20)))
    assert isinstance(film, LoopedFilm) and film.name == "film.mp4"
    shown = []
    for seconds in (0.01, 0.02, 0.16, 0.46, 0.56):
        now[0] = 100.0 + seconds if shown else 100.0
        picture = film.newest()
        shown.append(None if picture is None else number(picture))
    assert shown == [0, None, 3, 9, 1], "frames in between are left out, the same one is not shown twice"
    film.close()


class Camera:
    """OpenCV's camera: some pictures, red in OpenCV's order of channels."""

    def __init__(self, number: int, opened: bool = True, pictures: int = 1000) -> None:
        self.number, self.opened, self.left, self.released = number, opened, pictures, False
        self.hold = threading.Event()

    def isOpened(self) -> bool:
        return self.opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        if self.left < 0:
            return False, None
        self.hold.wait(0.005)
        return True, np.full((4, 6, 3), (0, 0, 200), dtype=np.uint8)

    def release(self) -> None:
        self.released = True


def test_a_camera_shows_its_newest_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Camera] = []
    monkeypatch.setattr("cv2.VideoCapture", lambda number: made.append(Camera(number)) or made[-1])
    camera = open_live("webcam:1")
    assert isinstance(camera, Webcam) and camera.name == "webcam:1" and made[0].number == 1
    picture = camera.newest()
    assert picture is not None and picture[0, 0].tolist() == [200, 0, 0]
    camera.close()
    assert made[0].released


@pytest.mark.parametrize(("opened", "pictures", "said"), [(False, 0, "cannot be opened"), (True, 0, "no pictures")])
def test_cameras_that_do_not_work_are_explained(
    monkeypatch: pytest.MonkeyPatch, opened: bool, pictures: int, said: str
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("cv2.VideoCapture", lambda number: made.append(Camera(number, opened, pictures)) or made[-1])
    with pytest.raises(VideoError, match=said) as error:
        open_live("webcam")
    assert "another program uses it" in str(error.value) and "webcam:1" in str(error.value) and made[0].released


def test_a_camera_that_is_unplugged_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.VideoCapture", lambda number: Camera(number, pictures=1))
    camera = open_live("webcam")
    camera._thread.join()  # type: ignore[attr-defined]
    camera.newest()
    with pytest.raises(VideoError, match="webcam: the camera has stopped"):
        camera.newest()
    camera.close()


def test_other_sources_are_refused(tmp_path: Path) -> None:
    for source in ("webcams", "none.mp4", str(tmp_path)):
        with pytest.raises(VideoError, match="Give webcam, webcam:NUMBER, or the file of a clip"):
            open_live(source)
    with pytest.raises(VideoError, match="no pictures in this file"):
        open_live(str(write_silence(tmp_path / "silence.wav")))
