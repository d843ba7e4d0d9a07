"""Select the training, validation and test frames of a capture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import Capture
from sage_ns.errors import CaptureError

FramesMode = Literal["single", "multi", "rotation", "all", "photo"]
"""Training moments: the canonical one; all; those of a still face that turns; all, visited evenly by direction; the
canonical one in a single picture."""
ONE_MOMENT = ("single", "photo")
"""Modes that train on the canonical moment alone."""
SplitName = Literal["train", "val", "test"]
Item = TypeVar("Item")

MAX_BORROWED_VAL = 16
"""Largest number of frames, evenly spaced, that a validation split borrows from another split: nerfstudio keeps
the whole split in memory and renders it repeatedly during training."""


NUM_NAMED = 5
"""Number of frames that a note names; it counts the rest."""


@dataclass(frozen=True, eq=False)
class Splits:
    """The frames of every split; no split is empty."""

    train: tuple[Frame, ...]
    val: tuple[Frame, ...]
    test: tuple[Frame, ...]
    canonical_timestep: int
    """Timestep id of the canonical moment, at which the avatar is reconstructed."""
    seen: dict[SplitName, tuple[Frame, ...]]
    """Frames that the capture lists as held out ("val", "test") but that are trained on; they are left out."""
    sources: dict[SplitName, SplitName]
    """Split of the capture that each split's frames come from; {"val": "test"} means that val borrows test frames."""

    def frames(self, split: SplitName) -> tuple[Frame, ...]:
        """Return the frames of ``split``."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    def seen_notes(self) -> list[str]:
        """Return a sentence for each split that lists frames that are trained on; it names the first of them."""
        return [_seen_note(split, frames) for split, frames in self.seen.items() if frames]


def _seen_note(split: SplitName, frames: Sequence[Frame]) -> str:
    named = ", ".join(f"timestep {frame.timestep} camera {frame.camera_index}" for frame in frames[:NUM_NAMED])
    more = f" and {len(frames) - NUM_NAMED} more" if len(frames) > NUM_NAMED else ""
    what = "timestep" if split == "test" else "picture"
    return (
        f"{len(frames)} frames of the {split} split are left out of the evaluation, because their {what} is trained "
        f"on: {named}{more} ({frames[0].source})."
    )


def training_frames(capture: Capture, mode: FramesMode) -> tuple[Frame, ...]:
    """Return all training frames that ``mode`` can use."""
    if mode not in ONE_MOMENT or not capture.train:
        return capture.train_multiframe
    return capture.train


def canonical_candidates(frames: Sequence[Frame]) -> list[int]:
    """Return the timestep ids with the most cameras, ascending: candidates for the canonical timestep."""
    cameras = defaultdict(set)
    for frame in frames:
        cameras[frame.timestep].add(frame.camera_index)
    most = max(len(seen) for seen in cameras.values())
    return sorted(timestep for timestep, seen in cameras.items() if len(seen) == most)


def check_canonical_timestep(capture: Capture, timestep: int) -> None:
    """Check that ``timestep`` has training frames.

    Raises:
        CaptureError: the timestep has no training frame; names the timesteps that have.
    """
    available = sorted({frame.timestep for frame in (*capture.train, *capture.train_multiframe)})
    if timestep not in available:
        shown = ", ".join(map(str, available[:10])) + (" ..." if len(available) > 10 else "")
        raise CaptureError(
            f"{capture.folder}: canonical_timestep {timestep} has no training frame. Training timesteps: {shown}."
        )


def select_splits(capture: Capture, mode: FramesMode, canonical_timestep: int) -> Splits:
    """Select the frames of every split.

    * train: the modes "single" and "photo" take the frames of the canonical timestep, the others all training frames;
    * val: held-out cameras (novel view), in these modes only those at the canonical timestep, if there are any;
    * test: held-out timesteps (self-reenactment), all listed cameras.

    Held-out frames that are also trained on are left out and listed in ``Splits.seen``: no figure may count them as
    unseen.

    nerfstudio needs both a val and a test split. A capture without val frames borrows test frames (at most 16), one
    without test frames borrows val frames, and one without both borrows training frames. ``Splits.sources`` records it.
    """
    check_canonical_timestep(capture, canonical_timestep)
    train = training_frames(capture, mode)
    val = capture.val
    if mode in ONE_MOMENT:
        # Only the list of all training frames may contain a timestep that the user chose.
        train = _at(train, canonical_timestep) or _at(capture.train_multiframe, canonical_timestep)
        val = _at(val, canonical_timestep) or val
    seen: dict[SplitName, tuple[Frame, ...]] = {
        "val": seen_in_training(val, train),
        "test": seen_in_training(capture.test, train, whole_timesteps=True),
    }
    val, test = (
        tuple(frame for frame in frames if frame not in left_out)
        for left_out, frames in ((set(seen["val"]), val), (set(seen["test"]), capture.test))
    )
    found: dict[SplitName, tuple[Frame, ...]] = {"train": train, "val": val, "test": test}
    order: dict[SplitName, tuple[SplitName, ...]] = {
        "train": ("train",),
        "val": ("val", "test", "train"),
        "test": ("test", "val", "train"),
    }
    sources: dict[SplitName, SplitName] = {
        split: next(source for source in choices if found[source]) for split, choices in order.items()
    }
    val = found[sources["val"]] if sources["val"] == "val" else evenly_spaced(found[sources["val"]], MAX_BORROWED_VAL)
    return Splits(train, val, found[sources["test"]], canonical_timestep, seen, sources)


def seen_in_training(
    held_out: Sequence[Frame], train: Sequence[Frame], whole_timesteps: bool = False
) -> tuple[Frame, ...]:
    """Return the held-out frames that are also trained on: same timestep and camera, or same picture file.

    Args:
        held_out: frames of the val or test split.
        train: frames that are trained on.
        whole_timesteps: also return frames of other cameras at a timestep that is trained on; self-reenactment measures
            motion that training has not seen.
    """
    moments = {(frame.timestep, frame.camera_index) for frame in train}
    timesteps = {frame.timestep for frame in train} if whole_timesteps else set()
    pictures = {frame.image_path for frame in train}
    return tuple(
        frame
        for frame in held_out
        if (frame.timestep, frame.camera_index) in moments
        or frame.timestep in timesteps
        or frame.image_path in pictures
    )


def _at(frames: Sequence[Frame], timestep: int) -> tuple[Frame, ...]:
    return tuple(frame for frame in frames if frame.timestep == timestep)


def evenly_spaced(frames: Sequence[Item], count: int) -> tuple[Item, ...]:
    """Return at most ``count`` of the frames (or of other things), evenly spaced."""
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[index * len(frames) // count] for index in range(count))
