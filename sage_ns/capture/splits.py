"""Which frames of a capture are trained on, watched during training, and tested on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import Capture
from sage_ns.errors import CaptureError

FramesMode = Literal["single", "multi"]
SplitName = Literal["train", "val", "test"]

MAX_BORROWED_VAL = 16
"""A validation split that is borrowed from another one takes at most this many frames, evenly spaced:
nerfstudio keeps all of it in memory and renders it again and again during training."""


@dataclass(frozen=True, eq=False)
class Splits:
    """The frames of every split, none of them empty."""

    train: tuple[Frame, ...]
    val: tuple[Frame, ...]
    test: tuple[Frame, ...]
    canonical_timestep: int
    """Timestep id that the avatar is reconstructed at."""
    sources: dict[SplitName, SplitName]
    """The split of the capture that each split's frames came from: {"val": "test"} was borrowed."""

    def frames(self, split: SplitName) -> tuple[Frame, ...]:
        """The frames of ``split``."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


def training_frames(capture: Capture, mode: FramesMode) -> tuple[Frame, ...]:
    """All training frames that ``mode`` may draw on."""
    if mode == "multi" or not capture.train:
        return capture.train_multiframe
    return capture.train


def canonical_candidates(frames: Sequence[Frame]) -> list[int]:
    """Timestep ids that the most cameras saw, ascending: one of them is to be the canonical one."""
    cameras = defaultdict(set)
    for frame in frames:
        cameras[frame.timestep].add(frame.camera_index)
    most = max(len(seen) for seen in cameras.values())
    return sorted(timestep for timestep, seen in cameras.items() if len(seen) == most)


def check_canonical_timestep(capture: Capture, timestep: int) -> None:
    """Checks that ``timestep`` was trained on.

    Raises:
        CaptureError: the timestep has no training frame; names those that have.
    """
    available = sorted({frame.timestep for frame in (*capture.train, *capture.train_multiframe)})
    if timestep not in available:
        shown = ", ".join(map(str, available[:10])) + (" ..." if len(available) > 10 else "")
        raise CaptureError(
            f"{capture.folder}: canonical_timestep {timestep} has no training frame. Training timesteps: {shown}."
        )


def select_splits(capture: Capture, mode: FramesMode, canonical_timestep: int) -> Splits:
    """Selects the frames of every split.

    * train: mode "single" takes the frames of the canonical timestep, "multi" all training frames;
    * val: held-out cameras (novel view), in mode "single" at the canonical timestep where it has any;
    * test: held-out timesteps (self-reenactment), all listed cameras.

    A capture without val borrows test frames (at most 16), without test val frames, without both training
    frames: nerfstudio cannot do without either. ``Splits.sources`` says so.
    """
    check_canonical_timestep(capture, canonical_timestep)
    train = training_frames(capture, mode)
    val = capture.val
    if mode == "single":
        # An asked-for timestep may stand in the list of all training frames only.
        train = _at(train, canonical_timestep) or _at(capture.train_multiframe, canonical_timestep)
        val = _at(val, canonical_timestep) or val
    found: dict[SplitName, tuple[Frame, ...]] = {"train": train, "val": val, "test": capture.test}
    order: dict[SplitName, tuple[SplitName, ...]] = {
        "train": ("train",),
        "val": ("val", "test", "train"),
        "test": ("test", "val", "train"),
    }
    sources: dict[SplitName, SplitName] = {
        split: next(source for source in choices if found[source]) for split, choices in order.items()
    }
    val = found[sources["val"]] if sources["val"] == "val" else _spread(found[sources["val"]], MAX_BORROWED_VAL)
    return Splits(train, val, found[sources["test"]], canonical_timestep, sources)


def _at(frames: Sequence[Frame], timestep: int) -> tuple[Frame, ...]:
    return tuple(frame for frame in frames if frame.timestep == timestep)


def _spread(frames: Sequence[Frame], count: int) -> tuple[Frame, ...]:
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[index * len(frames) // count] for index in range(count))
