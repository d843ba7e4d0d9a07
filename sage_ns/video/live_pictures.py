"""Pictures as they happen: of a camera, or of a film that plays in real time, over and over."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from sage_ns.system.user_files import check_regular
from sage_ns.video.ffmpeg import VideoError, inspect_media
from sage_ns.video.footage import FilmFootage

_WEBCAM = re.compile(r"webcam(?::(\d{1,3}))?")
_WAIT = 5.0
"""Seconds that a camera may take to show its first picture."""


class LivePictures(Protocol):
    """Shows the newest picture of a source; those that nobody asked for in time are left out."""

    name: str
    """For status lines."""

    def newest(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the newest picture; None if it was returned before.

        Raises:
            VideoError: there will be no more pictures.
        """
        ...

    def close(self) -> None:
        """Release the camera or the file."""
        ...


def open_live(source: str) -> LivePictures:
    """Open a source of pictures.

    Args:
        source: "webcam" (the first camera), "webcam:NUMBER" (0 is the first), or the path of a film.

    Raises:
        VideoError: there is no such camera or file, or it cannot be used; says why and what to do.
    """
    camera = _WEBCAM.fullmatch(source)
    if camera is not None:
        return Webcam(int(camera[1] or 0))
    path = Path(os.path.expanduser(source))
    check_regular(path, VideoError, "Give webcam, webcam:NUMBER, or the file of a clip.")
    return LoopedFilm(path)


class LoopedFilm:
    """A film that plays in real time and begins again at its end.

    Args:
        path: file of the film.

    Raises:
        VideoError: the file contains no pictures.
    """

    def __init__(self, path: Path) -> None:
        media = inspect_media(path)
        if media.fps is None:
            raise VideoError(f"{path}: no pictures in this file. Give a clip that shows a face.")
        self.name = path.name
        self._film = FilmFootage(path, media.fps)
        self._length = max(media.seconds or 0.0, 1 / media.fps)
        self._began: float | None = None
        self._shown = -1

    def newest(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the picture of this moment; see `LivePictures`."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        seconds = now - self._began
        frame = int(seconds * self._film.fps)
        if frame == self._shown:
            return None
        self._shown = frame
        return self._film.at(0, seconds % self._length)

    def close(self) -> None:
        """Let go of the file; ffmpeg ends with the iterator that reads from it."""
        self._film = FilmFootage(self._film.path, self._film.fps)


class Webcam:
    """A camera of this machine, by OpenCV. A thread reads it, so that its pictures do not pile up.

    Args:
        number: 0 is the first camera.

    Raises:
        VideoError: the camera cannot be opened, or shows nothing.
    """

    def __init__(self, number: int) -> None:
        import cv2  # nerfstudio brings it

        self.name = "webcam" if number == 0 else f"webcam:{number}"
        self._camera: Any = cv2.VideoCapture(number)
        self._to_rgb = lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        self._fresh = threading.Condition()
        self._picture: np.ndarray | None = None
        self._ended = not self._camera.isOpened()
        self._closing = threading.Event()
        if self._ended:
            self._camera.release()
            raise VideoError(_no_camera(self.name, f"camera number {number} cannot be opened"))
        self._thread = threading.Thread(target=self._read, name=self.name, daemon=True)
        self._thread.start()
        with self._fresh:
            self._fresh.wait_for(lambda: self._picture is not None or self._ended, _WAIT)
            seen = self._picture is not None
        if not seen:
            self.close()
            raise VideoError(_no_camera(self.name, f"camera number {number} shows no pictures"))

    def newest(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the newest picture; see `LivePictures`."""
        with self._fresh:
            picture, self._picture = self._picture, None
            if picture is None and self._ended:
                raise VideoError(f"{self.name}: the camera has stopped: it was unplugged, or another program took it.")
        return None if picture is None else self._to_rgb(picture)

    def close(self) -> None:
        """Release the camera."""
        self._closing.set()
        self._thread.join(timeout=_WAIT)

    def _read(self) -> None:
        while not self._closing.is_set():
            works, picture = self._camera.read()
            with self._fresh:
                if works:
                    self._picture = picture
                else:
                    self._ended = True
                self._fresh.notify_all()
            if not works:
                break
        self._camera.release()


def _no_camera(name: str, what: str) -> str:
    return (
        f"{name}: {what}: none is connected, another program uses it, or this program "
        "may not (Linux: your user must be in the group 'video'; macOS and Windows: allow the terminal to use the "
        "camera in the privacy settings). A container or a remote machine has no camera: give a clip. Another camera: "
        "webcam:1"
    )
