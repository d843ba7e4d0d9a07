"""What `sage-track` tracks, and which rows are measured of each; one more is a class with `kinds.register`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.bench.tracking.delivered import Delivered
from sage_ns.capture.decode import decode_picture
from sage_ns.capture.flame_table import load_tracking
from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import ALL_FRAMES, read_capture
from sage_ns.capture.writer import write_transforms
from sage_ns.errors import SageError
from sage_ns.evaluation.tracked_head import SeenHead
from sage_ns.rig import HeadModel
from sage_ns.system.files import temporary_folder
from sage_ns.system.registry import Registry
from sage_ns.tracking.clip import FEWEST_FRAMES, MOST_FRAMES
from sage_ns.tracking.focal import in_mm
from sage_ns.tracking.refiners import LANDMARKS, PHOTOMETRIC
from sage_ns.tracking.track_clip import ClipOptions, track_clip
from sage_ns.tracking.track_photo import Networks, PhotoOptions, track_photo
from sage_ns.tracking.track_rig import RigOptions, track_rig
from sage_ns.video.writer import write_pictures

MEAN_HEAD, DELIVERED_HEAD = "mean-head", "delivered"
UNTRACKED = (MEAN_HEAD, DELIVERED_HEAD)
"""Rows that track nothing: what is known of a head without a picture, and the delivered tracking itself, whose distance
from a true surface no tracker on the same head model will undercut by much."""
UNKNOWN_CAMERAS = "unknown-cameras"
GIVEN_FOCAL = "-focal"
"""End of the names of rows whose focal length is that of the capture; it is fitted in the others."""
FPS = 10
"""Pictures per second of the clips that are made of a capture's pictures."""
_CONSENT = "a capture with delivered tracking, tracked again as a benchmark"
_FEWEST_CAMERAS = 3


@dataclass(frozen=True)
class Setting:
    """What a user could give to `sage-track`, the same for all rows."""

    masks: bool = False
    """Whether the masks of the capture are given; else `sage-track` finds the person."""
    frames: int = MOST_FRAMES
    """Most frames of a clip."""


@dataclass(frozen=True, eq=False)
class Tracked:
    """What `sage-track` has made of pictures of a capture."""

    pairs: tuple[tuple[Frame, SeenHead], ...]
    """Pictures of the capture, and the tracked head with the tracked camera."""
    focal_ratio: float
    """Focal length of the tracked camera relative to the true one, of the whole picture."""
    notes: tuple[str, ...]
    """What the command has printed."""


@dataclass(frozen=True, eq=False)
class Tracker:
    """What tracks: the head model that is fitted, the networks, and where the command would print its steps."""

    model: HeadModel
    networks: Networks
    say: Callable[[str], None]


class TrackingKind(Protocol):
    """A kind of input of `sage-track`."""

    name: ClassVar[str]
    rows: ClassVar[tuple[str, ...]]
    """Names, the usual ones first."""
    default_rows: ClassVar[tuple[str, ...]]

    def pictures(self, delivered: Delivered) -> tuple[Frame, ...]:
        """Return the pictures of the capture that are tracked.

        Raises:
            SageError: the capture has too few.
        """
        ...

    def track(self, row: str, frames: Sequence[Frame], setting: Setting, tracker: Tracker, out: Path) -> Tracked:
        """Track pictures with the functions of the command, and read the capture that it writes to ``out``.

        Raises:
            SageError: what `sage-track` refuses.
        """
        ...


kinds: Registry[TrackingKind] = Registry("kind of tracking")


@kinds.register
class PhotoKind:
    """One photo: the picture of the canonical moment from the front."""

    name: ClassVar[str] = "photo"
    rows: ClassVar[tuple[str, ...]] = (
        MEAN_HEAD, LANDMARKS, PHOTOMETRIC, LANDMARKS + GIVEN_FOCAL, PHOTOMETRIC + GIVEN_FOCAL, DELIVERED_HEAD,
    )  # fmt: skip
    default_rows: ClassVar[tuple[str, ...]] = rows[:3]

    def pictures(self, delivered: Delivered) -> tuple[Frame, ...]:
        """Return the one picture."""
        return (delivered.front(),)

    def track(self, row: str, frames: Sequence[Frame], setting: Setting, tracker: Tracker, out: Path) -> Tracked:
        """Track the picture as a photo."""
        (frame,) = frames
        options = PhotoOptions(
            input=frame.image_path,
            out=out,
            mask=frame.mask_path if setting.masks else None,
            focal_mm=_focal_mm(row, frame),
            consent=_CONSENT,
            overwrite=True,
            refine=row.removesuffix(GIVEN_FOCAL),
        )
        tracked = track_photo(options, tracker.model, tracker.networks, tracker.say)
        pairs = _pairs(out, tracker.model, {(0, 0): frame})
        return Tracked(pairs, tracked.fit.focal / frame.fx, tracked.notes)


@kinds.register
class ClipKind:
    """The pictures of the camera that has taken the most, one after the other, as a video."""

    name: ClassVar[str] = "clip"
    rows: ClassVar[tuple[str, ...]] = PhotoKind.rows
    default_rows: ClassVar[tuple[str, ...]] = rows[:3]

    def pictures(self, delivered: Delivered) -> tuple[Frame, ...]:
        """Return the pictures of one camera at rest, in the order of time."""
        by_camera: dict[int, list[Frame]] = {}
        for frame in delivered.frames:
            by_camera.setdefault(frame.camera_index, []).append(frame)
        frames = max(by_camera.values(), key=len)
        if len(frames) < FEWEST_FRAMES:
            raise SageError(
                f"{delivered.folder}: no camera has taken more than {len(frames)} pictures; a clip needs "
                f"{FEWEST_FRAMES}. Give a capture of a head that turns."
            )
        if len({(frame.width, frame.height) for frame in frames}) > 1:
            raise SageError(f"{delivered.folder}: the pictures of one camera differ in size; a clip has one size.")
        return tuple(frames)

    def track(self, row: str, frames: Sequence[Frame], setting: Setting, tracker: Tracker, out: Path) -> Tracked:
        """Write the pictures as a video and track it."""
        with temporary_folder("clip") as folder:
            film = folder / "clip.mp4"
            write_pictures(film, map(_even, frames), FPS)
            options = ClipOptions(
                film,
                out,
                focal_mm=_focal_mm(row, frames[0]),
                frames=setting.frames,
                consent=_CONSENT,
                overwrite=True,
                refine=row.removesuffix(GIVEN_FOCAL),
            )
            tracked = track_clip(options, tracker.model, tracker.networks, tracker.say)
        places = {(each.row, 0): frames[each.frame.index] for each in tracked.frames}
        left_out = tuple(f"{frames[each.frame.index].image_path.name}: {each.reason}" for each in tracked.left_out)
        ratio = tracked.focal_pixels / frames[0].fx
        return Tracked(_pairs(out, tracker.model, places), ratio, (*tracked.notes, *left_out))


@kinds.register
class RigKind:
    """All cameras of the canonical moment."""

    name: ClassVar[str] = "rig"
    rows: ClassVar[tuple[str, ...]] = (MEAN_HEAD, LANDMARKS, UNKNOWN_CAMERAS, DELIVERED_HEAD)
    default_rows: ClassVar[tuple[str, ...]] = rows[:2]

    def pictures(self, delivered: Delivered) -> tuple[Frame, ...]:
        """Return the pictures of the moment."""
        frames = delivered.at(delivered.canonical_timestep)
        if len(frames) < _FEWEST_CAMERAS:
            raise SageError(
                f"{delivered.folder}: {len(frames)} cameras see the canonical moment; a rig needs {_FEWEST_CAMERAS}. "
                "Give a capture of several cameras, or another --kind."
            )
        return frames

    def track(self, row: str, frames: Sequence[Frame], setting: Setting, tracker: Tracker, out: Path) -> Tracked:
        """Copy the pictures into a folder, with the file of their cameras unless these are unknown, and track it."""
        with temporary_folder("rig") as folder:
            copies = [_copied(frame, folder, setting.masks) for frame in frames]
            if row != UNKNOWN_CAMERAS:
                write_transforms(folder, {ALL_FRAMES: copies})
            options = RigOptions(folder, out, consent=_CONSENT, overwrite=True)
            tracked = track_rig(options, tracker.model, tracker.networks, tracker.say)
            names = {copy.image_path.name: frame for copy, frame in zip(copies, frames, strict=True)}
            taken = [names[view.view.photo.path.name] for view in tracked.views]
            focal = [view.view.camera.focal[0] for view in tracked.views]
        pairs = _pairs(out, tracker.model, {(0, index): frame for index, frame in enumerate(taken)})
        ratio = float(np.mean([found / frame.fx for found, frame in zip(focal, taken, strict=True)]))
        return Tracked(pairs, ratio, tracked.notes)


def rows_of(kind: TrackingKind, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return rows to measure; none wanted = the usual ones.

    Raises:
        SageError: the kind has no such row; lists its rows.
    """
    unknown = [row for row in wanted if row not in kind.rows]
    if unknown:
        raise SageError(f"--rows: there is no row '{unknown[0]}' of a {kind.name}. Rows: {', '.join(kind.rows)}.")
    return tuple(dict.fromkeys(wanted)) or kind.default_rows


def _pairs(out: Path, model: HeadModel, places: Mapping[tuple[int, int], Frame]) -> tuple[tuple[Frame, SeenHead], ...]:
    """Return the heads of a capture that `sage-track` has written, with the pictures that they were found in.

    Args:
        out: the capture.
        model: its head model.
        places: pictures of the benchmarked capture by timestep and camera of the written one.
    """
    capture = read_capture(out)
    moments = load_tracking(capture.flame_param_paths, model)
    return tuple(
        (
            places[each.timestep, each.camera_index],
            SeenHead(moments[each.timestep], torch.from_numpy(each.camera_to_world)),
        )
        for each in capture.train
    )


def _focal_mm(row: str, frame: Frame) -> float | None:
    return in_mm(frame.fx, frame.width, frame.height) if row.endswith(GIVEN_FOCAL) else None


def _even(frame: Frame) -> Float[torch.Tensor, "h w 3"]:
    """Return a picture, 0..1, with an even number of rows and columns, as videos need: the last one is repeated."""
    pixels = np.asarray(decode_picture(frame.image_path).convert("RGB"))
    room = [(0, side % 2) for side in pixels.shape[:2]]
    return torch.from_numpy(np.pad(pixels, (*room, (0, 0)), mode="edge")).float() / 255


def _copied(frame: Frame, folder: Path, masks: bool) -> Frame:
    """Copy picture and mask of a camera into a folder; return the frame there."""
    name = f"{frame.camera_index:02d}"
    image = folder / "images" / (name + frame.image_path.suffix)
    mask = folder / "masks" / f"{name}.png" if masks and frame.mask_path is not None else None
    _copy(((frame.image_path, image), *(((frame.mask_path, mask),) if mask is not None else ())))  # type: ignore[arg-type]
    return replace(
        frame,
        image_path=image,
        mask_path=mask,
        hidden_path=None,
        flame_param_path=folder / "flame_param.npz",
    )


def _copy(files: Iterable[tuple[Path, Path]]) -> None:
    for source, target in files:
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
