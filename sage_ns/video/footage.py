"""Footage of a driver: pictures and sound that belong to tracked motion."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from sage_ns.capture.frames import Frame, read_frames
from sage_ns.capture.images import load_image
from sage_ns.capture.layout import ALL_FRAMES, TEST, TRAIN, TRAIN_MULTIFRAME, VAL
from sage_ns.capture.paths import IMAGE_SUFFIXES
from sage_ns.errors import CaptureError
from sage_ns.video.ffmpeg import VideoError, inspect_media
from sage_ns.video.film import read_film

_FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
_SOUNDS = (".wav", ".mp3", ".m4a", ".flac", ".ogg")


class Footage(Protocol):
    """Pictures of a driver, synchronous with its motion."""

    def at(self, row: float, seconds: float) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture of a moment, given as a (fractional) row of the motion and as seconds since row 0."""
        ...


@dataclass(frozen=True)
class PictureFootage:
    """One picture file for every row of a motion."""

    paths: Sequence[Path]

    def at(self, row: float, seconds: float) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture of the nearest row."""
        picture, _ = load_image(self.paths[min(round(row), len(self.paths) - 1)])
        return picture.numpy()


@dataclass
class FilmFootage:
    """A video file whose first picture is the motion's first moment; going back in time reads it again from there."""

    path: Path
    fps: float
    _frames: Iterator[np.ndarray] | None = field(default=None, repr=False)
    _index: int = field(default=-1, repr=False)
    _picture: np.ndarray | None = field(default=None, repr=False)

    def at(self, row: float, seconds: float) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture at a time; after the end of the video, its last picture."""
        wanted = max(0, round(seconds * self.fps))
        if self._frames is None or wanted < self._index:
            self._frames, self._index = read_film(self.path), -1
        while self._index < wanted:
            picture = next(self._frames, None)
            if picture is None:
                break
            self._picture = picture
            self._index += 1
        if self._picture is None:
            raise VideoError(f"{self.path}: this video contains no pictures")
        return self._picture


def find_footage(motion: Path, timesteps: Sequence[int], camera_index: int | None = None) -> Footage:
    """Find the pictures of a motion's driver in the places where trackers store them.

    These are ``<clip>.mp4`` (or another video) in the folder ``<clip>`` (LAM), a video beside a motion file of the same
    name, and the pictures that a VHAP folder lists. Of these, the camera with the most moments is used; of several such
    cameras the one with the given index, or else the one nearest to the front.

    Args:
        motion: the folder or file that the motion was read from.
        timesteps: timestep id of every row of the motion.
        camera_index: index of the preferred camera.

    Raises:
        CaptureError: no pictures were found.
    """
    film = _beside(motion, _FILMS)
    if film is not None:
        return given_footage(film, len(timesteps))
    frames = _pictures(motion, camera_index) if motion.is_dir() else []
    if not frames:
        raise CaptureError(
            f"{motion}: no source pictures beside this motion: neither a video of the same name, nor the pictures that "
            "a VHAP folder lists. Give their path: --source VIDEO_OR_FOLDER"
        )
    known = np.array([frame.timestep for frame in frames])
    # For a moment without a picture of this camera, the previous picture is used.
    nearest = (np.searchsorted(known, timesteps, side="right") - 1).clip(0)
    return PictureFootage([frames[position].image_path for position in nearest])


def given_footage(path: Path, num_rows: int) -> Footage:
    """Open a video, or a folder with one picture for each of ``num_rows`` moments, in the order of their names.

    Raises:
        CaptureError: the folder contains another number of pictures.
        VideoError: the file is missing or is not a video.
    """
    if path.is_dir():
        pictures = sorted(each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES)
        if len(pictures) != num_rows:
            raise CaptureError(
                f"{path}: found {len(pictures)} pictures, but the motion has {num_rows} moments. Give a folder with "
                "one picture for each, or a video."
            )
        return PictureFootage(pictures)
    media = inspect_media(path)
    if media.fps is None:
        raise VideoError(f"{path}: no pictures in this file; give a video or a folder of pictures")
    return FilmFootage(path, media.fps)


def find_sound(motion: Path) -> Path | None:
    """Find the sound of a motion: ``<clip>.wav`` or ``<clip>.mp4`` in the folder ``<clip>``, or beside its file."""
    for candidate in (_beside(motion, _SOUNDS), _beside(motion, _FILMS)):
        if candidate is not None and inspect_media(candidate).sound:
            return candidate
    return None


def find_frame_rate(motion: Path) -> float | None:
    """Return the frames per second of the video beside a motion; None if there is no video."""
    film = _beside(motion, _FILMS)
    return None if film is None else inspect_media(film).fps


def _beside(motion: Path, endings: Sequence[str]) -> Path | None:
    motion = motion.resolve()
    stem = motion / motion.name if motion.is_dir() else motion.with_suffix("")
    return next((path for ending in endings if (path := stem.with_name(stem.name + ending)).is_file()), None)


def _pictures(folder: Path, camera_index: int | None) -> list[Frame]:
    """Return the frames of one camera whose picture files exist, in the order of time."""
    by_camera: dict[int, dict[int, Frame]] = {}
    for name in (ALL_FRAMES, TRAIN_MULTIFRAME, TRAIN, VAL, TEST):
        if os.path.lexists(folder / name):
            for frame in read_frames(folder / name):
                if frame.image_path.is_file():
                    by_camera.setdefault(frame.camera_index, {}).setdefault(frame.timestep, frame)
    if not by_camera:
        return []
    most = max(map(len, by_camera.values()))
    complete = [list(frames.values()) for frames in by_camera.values() if len(frames) == most]

    def preference(frames: Sequence[Frame]) -> tuple[bool, float]:
        # Heads look along +z, and a camera's own z axis points backwards: its z is largest in front of the face.
        return frames[0].camera_index == camera_index, float(frames[0].camera_to_world[2, 2])

    return sorted(max(complete, key=preference), key=lambda frame: frame.timestep)
