"""The faces in the frames of a clip: found once, kept for the next run, and one person followed through them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from sage_ns.errors import SageError, TrackingError, WriteError
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.cache import cache_dir
from sage_ns.system.progress import progress_bar
from sage_ns.tracking.choice import face_number, fault_of_face
from sage_ns.tracking.clip import FEWEST_FRAMES, Clip, ClipFrame, cut_error, pictures
from sage_ns.tracking.face import NUM_POINTS, Face, FaceDetector, width_of_face

_VERSION = 1
"""Part of the cache's key: raise it when the same detector finds other faces in the same picture."""
_FARTHEST_MOVE, _LARGEST_GROWTH = 1.0, 1.7
"""Of a face between frames, relative to its width: beyond either, it is another face."""
_ONE_MOVE = 1.0
"""Seconds within which no head moves by that much: it is a cut."""


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """The person's face in a frame."""

    frame: ClipFrame
    face: Face


@dataclass(frozen=True)
class LeftOut:
    """A frame that is not used."""

    frame: ClipFrame
    reason: str


class FoundFaces:
    """Faces of the frames of one clip, in the cache; an interrupted run goes on where it was.

    Args:
        clip: the clip.
    """

    def __init__(self, clip: Clip) -> None:
        key = repr((_VERSION, clip.sha256, clip.start, clip.fps))
        self._folder = cache_dir() / "clips" / hashlib.sha256(key.encode()).hexdigest()[:32]

    def find(self, clip: Clip, frames: Sequence[ClipFrame], detect: FaceDetector) -> list[list[Face]]:
        """Return the faces of each frame, with a progress bar.

        Raises:
            VideoError: the clip cannot be decoded.
        """
        found = {frame.index: faces for frame in frames if (faces := self._read(frame)) is not None}
        missing = [frame for frame in frames if frame.index not in found]
        if missing:
            with progress_bar("looking for faces") as bar:
                bar(len(found), len(frames))
                for frame, picture in pictures(clip, missing):
                    found[frame.index] = detect(picture.copy())
                    self._write(frame, found[frame.index])
                    bar(len(found), len(frames))
        return [found.get(frame.index, []) for frame in frames]

    def forget(self) -> None:
        """Delete what was kept: the clip is tracked."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, frame: ClipFrame) -> list[Face] | None:
        path = self._path(frame)
        if not path.is_file():
            return None
        try:
            read = ArrayFields(str(path), read_npz(path, TrackingError), TrackingError)
            points = read.floats("points", f"num_faces {NUM_POINTS} 3")
            return [
                face_at(each, float(sure))
                for each, sure in zip(points, read.floats("confidence", "num_faces"), strict=True)
            ]
        except SageError:
            return None

    def _write(self, frame: ClipFrame, faces: Sequence[Face]) -> None:
        points = torch.stack([face.points for face in faces]) if faces else torch.zeros(0, NUM_POINTS, 3)
        arrays = {
            "points": points.float().numpy(),
            "confidence": torch.tensor([face.confidence for face in faces]).float().numpy(),
        }
        with suppress(WriteError):  # the run goes on without what it could keep
            write_npz(self._path(frame), arrays)

    def _path(self, frame: ClipFrame) -> Path:
        return self._folder / f"{frame.index:06d}.npz"


def face_at(points: torch.Tensor, confidence: float) -> Face:
    """Return a face from its landmarks, without the strengths of expressions."""
    low, high = points[:, :2].amin(dim=0).tolist(), points[:, :2].amax(dim=0).tolist()
    return Face(points, confidence, {}, (low[0], low[1], high[0], high[1]))


def follow(
    clip: Clip, frames: Sequence[ClipFrame], faces: Sequence[Sequence[Face]], wanted: str | None
) -> tuple[list[SeenFrame], list[LeftOut]]:
    """Return the frames that show one person, and the others with their reasons.

    The first frame with a face says who it is (`face_number`); in the next ones it is the face nearest to where it was.

    Args:
        clip: the clip.
        frames: in the order of time.
        faces: all faces of each frame, the largest first.
        wanted: as in `face_number`.

    Raises:
        TrackingError: several people of similar size, a face that jumps (a cut), or too few frames with the person.
    """
    seen: list[SeenFrame] = []
    left_out: list[LeftOut] = []
    for frame, found in zip(frames, faces, strict=True):
        if not found:
            left_out.append(LeftOut(frame, "no face was found: it is turned away, hidden or blurred"))
            continue
        if seen:
            last = seen[-1]
            face = min(found, key=lambda each: _move(last.face, each))
            if not _same_place(last.face, face):
                if len(found) == 1 and frame.seconds - last.frame.seconds <= _ONE_MOVE:
                    raise cut_error(clip, frame.seconds)
                if frame.seconds - last.frame.seconds <= _ONE_MOVE:
                    left_out.append(LeftOut(frame, "the person's face was not found among the others"))
                    continue
        else:
            face = found[face_number(found, wanted, f"{clip.path} at {frame.seconds:.2f} s")]
        fault = fault_of_face(face)
        if fault is not None:
            left_out.append(LeftOut(frame, fault))
            continue
        seen.append(SeenFrame(frame, face))
    require_enough(clip, len(seen), left_out)
    return seen, left_out


def require_enough(clip: Clip, count: int, left_out: Sequence[LeftOut]) -> None:
    """Refuse a clip with too few frames that can be used.

    Raises:
        TrackingError: says why the others cannot.
    """
    if count >= FEWEST_FRAMES:
        return
    reasons: dict[str, int] = {}
    for each in left_out:
        reasons[each.reason] = reasons.get(each.reason, 0) + 1
    listed = "; ".join(
        f"{number} x {reason}" for reason, number in sorted(reasons.items(), key=lambda item: -item[1])[:4]
    )
    raise TrackingError(
        f"{clip.path}: {count} frames can be used; expected at least {FEWEST_FRAMES}. Left out: {listed or 'none'}. "
        "Record one person whose face is in the picture all the time, in light, without quick movements."
    )


def _same_place(last: Face, face: Face) -> bool:
    growth = width_of_face(face) / width_of_face(last)
    return _move(last, face) <= _FARTHEST_MOVE and 1 / _LARGEST_GROWTH <= growth <= _LARGEST_GROWTH


def _move(last: Face, face: Face) -> float:
    """Return how far a face lies from another and differs in size, relative to its width."""
    (x, y), (u, v) = ((each.box[0] + each.box[2], each.box[1] + each.box[3]) for each in (last, face))
    width = width_of_face(last)
    return 0.5 * float(torch.tensor([u - x, v - y]).norm()) / width + abs(width_of_face(face) / width - 1)
