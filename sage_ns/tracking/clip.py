"""Read the clip that is tracked: which of its frames to use, whether it is one take, and their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from sage_ns.errors import OptionError, TrackingError
from sage_ns.image.sharpness import LUMA, sharpness
from sage_ns.system.user_files import check_regular, sha256_of
from sage_ns.tracking.photo import LEAST_SIDE
from sage_ns.video.ffmpeg import VideoError, inspect_media
from sage_ns.video.film import read_film

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".gif")
MOST_FRAMES, FEWEST_FRAMES = 60, 5
"""Frames that are tracked unless the user says otherwise, and those without which a clip tells no more than a photo."""
RANGE_OF_FRAMES = (FEWEST_FRAMES, 1000)
_LONGEST_SECONDS = 600.0
"""Longer clips are refused: their frames would lie minutes apart."""
_SMALL = 480
"""Pixels of the longer side of the pictures that are searched: the grain of a sensor is no detail."""
_NEAR = 0.5
"""Share of the time from one frame to the next within which the sharpest picture is taken."""
_THUMB = 24
"""Rows and columns of the thumbnails that are compared for cuts."""
_ALIKE, _SAME_COLOURS = 0.55, 0.25
"""Least correlation of neighbouring thumbnails, and largest share of pixels that change their colour, within one take.
Neighbouring pictures of a head that turns have 0.9 and 0.05; a lamp that is switched on keeps the correlation."""


@dataclass(frozen=True)
class Clip:
    """A video file and the span of it that is used."""

    path: Path
    size: tuple[int, int]
    """Width and height in pixels, upright."""
    fps: float
    start: float
    """Seconds from the beginning of the file."""
    end: float | None
    sha256: str
    frames_of_file: int = 0
    """Pictures of the whole file at this rate, give or take one; 0 = unknown."""


@dataclass(frozen=True)
class ClipFrame:
    """One picture of a clip."""

    index: int
    """Of the pictures from the start of the span on."""
    seconds: float
    """From the beginning of the file."""


def open_clip(path: Path, start: float | None = None, end: float | None = None) -> Clip:
    """Open a clip and read its first picture.

    Args:
        path: video file.
        start: seconds at which the span begins; None = at the beginning.
        end: seconds at which it ends; None = at the end of the file.

    Raises:
        TrackingError: the clip is too small or too long.
        VideoError: the file is missing, broken, or has no pictures.
        OptionError: the span is empty or lies outside of the file.
    """
    check_regular(path, TrackingError, "Give the file of one clip.")
    media = inspect_media(path)
    if media.fps is None:
        raise VideoError(f"{path}: this file has sound but no pictures. Give the file of a clip.")
    first = 0.0 if start is None else start
    if first < 0 or (media.seconds is not None and first >= media.seconds):
        raise OptionError(f"expected seconds from 0 to the end of the clip ({media.seconds} s)", start=first)
    if end is not None and end <= first:
        raise OptionError("expected an end after the start", start=first, end=end)
    length = (media.seconds or 0.0) if end is None else min(end, media.seconds or end)
    if length - first > _LONGEST_SECONDS:
        raise TrackingError(
            f"{path}: the clip is {length - first:.0f} s long; expected at most {_LONGEST_SECONDS:.0f}, better 20 to "
            "40. Choose a part of it: --start SECONDS --end SECONDS."
        )
    picture = next(read_film(path, first, end), None)
    if picture is None:
        raise VideoError(f"{path}: found no pictures from second {first:g} on. Copy the file again.")
    size = (picture.shape[1], picture.shape[0])
    if min(size) < LEAST_SIDE:
        raise TrackingError(
            f"{path} has {size[0]} x {size[1]} px; expected at least {LEAST_SIDE} px on each side. Give the original."
        )
    count = round((media.seconds or 0.0) * media.fps)
    return Clip(path, size, media.fps, first, end, sha256_of(path, TrackingError), count)


def choose_frames(clip: Clip, most: int) -> list[ClipFrame]:
    """Return frames that are spread evenly over the time, each the sharpest of its neighbourhood.

    Args:
        clip: the clip; all of its span is decoded once, at a small size.
        most: largest number of frames.

    Raises:
        TrackingError: there is a cut in the clip, or there are too few pictures.
        VideoError: the clip cannot be decoded.
    """
    scale = min(1.0, _SMALL / max(clip.size))
    small = tuple(max(8, round(scale * side)) for side in clip.size)
    sharp: list[float] = []
    before = None
    for picture in read_film(clip.path, clip.start, clip.end, (small[0], small[1])):
        shown = torch.from_numpy(picture.astype(np.float32) / 255)
        sharp.append(float(sharpness(shown, torch.ones(shown.shape[:2], dtype=torch.bool))))
        thumb = _thumbnail(shown.numpy())
        if before is not None and is_cut(before, thumb):
            raise cut_error(clip, clip.start + (len(sharp) - 1) / clip.fps)
        before = thumb
    if len(sharp) < FEWEST_FRAMES:
        raise TrackingError(
            f"{clip.path}: found {len(sharp)} pictures; expected at least {FEWEST_FRAMES}, better 20 seconds of a head "
            "that turns. For one picture: ffmpeg -i CLIP -frames:v 1 photo.png, and track that."
        )
    return [ClipFrame(index, clip.start + index / clip.fps) for index in sharpest_near(sharp, most)]


def cut_error(clip: Clip, seconds: float) -> TrackingError:
    """Return the error for a clip that is more than one take."""
    return TrackingError(
        f"{clip.path}: there is a cut at {seconds:.2f} s. Tracking needs one take by one camera. Choose the part "
        f"before or after it: --end {max(seconds - 0.05, 0):.2f}, or --start {seconds + 0.05:.2f}."
    )


def sharpest_near(sharp: Sequence[float], most: int) -> list[int]:
    """Return rows that are evenly spread, each moved to the sharpest picture near it."""
    if len(sharp) <= most:
        return list(range(len(sharp)))
    reach = int(0.5 * _NEAR * len(sharp) / most)
    chosen = []
    for row in ((2 * step + 1) * len(sharp) // (2 * most) for step in range(most)):
        near = range(max(row - reach, 0), min(row + reach + 1, len(sharp)))
        chosen.append(max(near, key=lambda each: sharp[each]))
    return sorted(set(chosen))


def is_cut(before: Float[np.ndarray, "n n 3"], after: Float[np.ndarray, "n n 3"]) -> bool:
    """Return whether two neighbouring thumbnails (0..1) show different takes."""
    grey = [(each @ np.array(LUMA)).ravel() for each in (before, after)]
    spread = [float(each.std()) for each in grey]
    changed = float((np.abs(before - after).max(axis=-1) > 0.15).mean())
    if min(spread) < 0.01:  # a plain picture, such as black between takes
        return changed > 0.5
    return changed > _SAME_COLOURS and float(np.corrcoef(*grey)[0, 1]) < _ALIKE


def pictures(clip: Clip, frames: Sequence[ClipFrame]) -> Iterator[tuple[ClipFrame, UInt8[np.ndarray, "h w 3"]]]:
    """Yield frames, in the order of time, with their pictures at full size."""
    wanted = {frame.index: frame for frame in frames}
    last = max(wanted, default=-1)
    for index, picture in enumerate(read_film(clip.path, clip.start, clip.end)):
        if index in wanted:
            yield wanted[index], picture
        if index >= last:
            return


def _thumbnail(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "n n 3"]:
    rows, columns = (np.linspace(0, side, _THUMB + 1).astype(int)[:-1] for side in picture.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows, axis=0), columns, axis=1)
    counts = np.add.reduceat(np.add.reduceat(np.ones(picture.shape[:2]), rows, axis=0), columns, axis=1)
    return sums / counts[..., None]
