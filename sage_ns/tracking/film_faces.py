"""The face of one person in every frame of a film: found once, kept by the film's content, and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import TrackingError, WriteError
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.cache import cache_dir
from sage_ns.system.progress import progress_bar
from sage_ns.system.user_files import sha256_of
from sage_ns.tracking.face import NUM_POINTS, Face, FilmDetector
from sage_ns.video.ffmpeg import inspect_media
from sage_ns.video.film import read_film

MOST_FRAMES = 20_000
"""Frames of a film: eleven minutes at 30 per second."""
_VERSION = 1
"""Part of the cache's key: raise it when the faces of the same film change."""
_SECONDS_BETWEEN_SAVES = 60.0


@dataclass(frozen=True, eq=False)
class FilmFaces:
    """The face in each frame of a film."""

    points: Float[Tensor, "num_frames 478 3"]
    """See `Face`; 0 where there is none."""
    confidence: Float[Tensor, "num_frames"]
    """0 where there is no face."""
    size: tuple[int, int]
    """Width and height of the frames."""
    fps: float

    @property
    def num_frames(self) -> int:
        """Number of frames that were looked at."""
        return len(self.points)

    def at(self, frame: int) -> Face | None:
        """Return the face of a frame; None where there is none."""
        confidence = float(self.confidence[frame])
        if confidence == 0:
            return None
        points = self.points[frame]
        low, high = points[:, :2].amin(0).tolist(), points[:, :2].amax(0).tolist()
        return Face(points, confidence, {}, (low[0], low[1], high[0], high[1]))


def faces_of_film(path: Path, detector: Callable[[], FilmDetector]) -> FilmFaces:
    """Return the face in every frame of a film, with a progress bar.

    The largest face is followed; where it is lost, the largest one is looked for. The result is kept in `cache_dir` by
    the film's content; an interrupted run goes on where it was.

    Args:
        path: film.
        detector: returns what finds and follows faces; not called if the result is known.

    Raises:
        TrackingError: the film is too long.
        VideoError: the file is no film, or cannot be decoded.
    """
    media = inspect_media(path)
    if media.fps is None:
        raise TrackingError(f"{path}: no pictures in this file. Give a clip that shows a face.")
    total = round((media.seconds or 0.0) * media.fps)
    if total > MOST_FRAMES:
        raise TrackingError(
            f"{path}: about {total:,} frames; expected at most {MOST_FRAMES:,}. Cut the clip: ffmpeg -ss 0 -t 60 -i "
            "CLIP part.mp4"
        )
    kept = cache_dir() / f"faces-{_VERSION}-{sha256_of(path, TrackingError)[:32]}.npz"
    known, complete = _read(kept, media.fps)
    if complete and known is not None:
        return known
    return _followed(path, detector(), known, media.fps, total, kept)


def _followed(
    path: Path, detector: FilmDetector, known: FilmFaces | None, fps: float, total: int, kept: Path
) -> FilmFaces:
    faces: list[Face | None] = [] if known is None else [known.at(frame) for frame in range(known.num_frames)]
    size, complete, saved = (0, 0) if known is None else known.size, False, time.monotonic()
    num_known = len(faces)
    try:
        with progress_bar("finding the face in every frame") as bar:
            for number, picture in enumerate(read_film(path)):
                if number >= num_known:
                    faces.append(detector.follow(picture, faces[-1] if faces else None))
                    size = picture.shape[1], picture.shape[0]
                bar(number + 1, max(total, number + 1))
                if number >= MOST_FRAMES:
                    raise TrackingError(f"{path}: more than {MOST_FRAMES:,} frames. Cut the clip.")
                if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                    _save(kept, _joined(faces, size, fps), complete)
                    saved = time.monotonic()
        complete = True
    finally:  # also when the user stops: the next run goes on from here
        if faces:
            _save(kept, _joined(faces, size, fps), complete)
    if not faces:
        raise TrackingError(f"{path}: this clip contains no pictures. Copy it again.")
    return _joined(faces, size, fps)


def _joined(faces: list[Face | None], size: tuple[int, int], fps: float) -> FilmFaces:
    none = torch.zeros(NUM_POINTS, 3)
    points = torch.stack([none if face is None else face.points for face in faces])
    confidence = torch.tensor([0.0 if face is None else max(face.confidence, 1e-6) for face in faces])
    return FilmFaces(points, confidence, size, fps)


def _save(path: Path, faces: FilmFaces, complete: bool) -> None:
    arrays = {
        "points": faces.points.numpy(),
        "confidence": faces.confidence.numpy(),
        "size": np.array(faces.size),
        "complete": np.array(complete),
    }
    with suppress(WriteError):
        write_npz(path, arrays)


def _read(path: Path, fps: float) -> tuple[FilmFaces | None, bool]:
    """Return what is known of a film, and whether it is all of it."""
    try:
        read = ArrayFields(str(path), read_npz(path, TrackingError), TrackingError)
        points = read.floats("points", f"num_frames {NUM_POINTS} 3")
        width, height = read.indices("size", "2", 1 << 16).tolist()
        faces = FilmFaces(points, read.floats("confidence", "num_frames"), (width, height), fps)
        return faces, bool(read.flags("complete", ""))
    except TrackingError:
        return None, False
