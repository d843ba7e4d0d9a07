"""Read a capture folder in the layout of VHAP and GaussianAvatars: a single sequence or a union of sequences.

A single sequence contains ``images/``, ``fg_masks/``, ``flame_param/`` and ``transforms_{train,val,test}.json``;
a union contains only the transforms, whose paths point into sibling folders (``../<sequence>/images/...``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sage_ns.capture.frames import CyOrigin, Frame, frame_entries, moment_of, read_frames, read_json
from sage_ns.errors import CaptureError
from sage_ns.system.json_files import shown

LightAxes = Literal["camera", "world"]
"""Axes in which the room and its light stand still: the world's, or the camera's where a tracker keeps the head still
and moves the camera instead, as metrical-tracker does."""

ALL_FRAMES = "transforms.json"
TRAIN = "transforms_train.json"
TRAIN_MULTIFRAME = "transforms_train_multiframe.json"
VAL = "transforms_val.json"
TEST = "transforms_test.json"
TRANSFORMS = (ALL_FRAMES, TRAIN_MULTIFRAME, TRAIN, VAL, TEST)


@dataclass(frozen=True, eq=False)
class Capture:
    """Frames that a capture folder lists, sorted by timestep, then camera. Only JSON files have been opened."""

    folder: Path
    """Absolute path of the folder."""
    train: tuple[Frame, ...]
    train_multiframe: tuple[Frame, ...]
    """Training frames of all training timesteps; equal to ``train`` unless the folder lists them separately."""
    val: tuple[Frame, ...]
    """Held-out cameras at training timesteps (novel view); may be empty."""
    test: tuple[Frame, ...]
    """Held-out timesteps (self-reenactment); may be empty."""
    flame_param_paths: dict[int, Path]
    """Parameter file of every timestep id, ascending. Files of frames in a split are required; others exist."""
    camera_is_still: bool = False
    """Whether the files state that the camera stood still in the room although its pose changes: it carries the motion
    of the head (top-level key ``light_axes`` of the transforms: "camera")."""


def read_capture(folder: Path | str, cy_origin: CyOrigin = "auto") -> Capture:
    """Read the transforms files of a capture folder.

    Args:
        folder: a VHAP export, single sequence or union.
        cy_origin: image edge that ``cy`` is measured from, see ``read_frames``.

    Raises:
        CaptureError: not a capture folder, or a broken field; names file, frame and field.
    """
    folder = Path(folder).expanduser().absolute()
    train_file = _training_file(folder)
    train = read_frames(train_file, cy_origin)
    # What has the name but is no file is an error of reading, not a split that the capture lacks.
    there = {name: os.path.lexists(folder / name) for name in (TRAIN_MULTIFRAME, VAL, TEST)}
    multiframe = read_frames(folder / TRAIN_MULTIFRAME, cy_origin) if there[TRAIN_MULTIFRAME] else train
    val, test = (read_frames(folder / name, cy_origin) if there[name] else () for name in (VAL, TEST))
    if not train and not multiframe:
        raise CaptureError(f"{train_file}: the training split is empty ('frames' is an empty list). Export it again.")
    frames = (*train, *multiframe, *val, *test)
    still = _camera_is_still(train_file)
    return Capture(folder, train, multiframe, val, test, _parameter_files(folder, frames), still)


def _camera_is_still(path: Path) -> bool:
    stated = read_json(path).get("light_axes", "world")
    if stated not in get_args(LightAxes):
        raise CaptureError(f'{path}: \'light_axes\' is {shown(stated)}; expected "world" or "camera".')
    return stated == "camera"


def _training_file(folder: Path) -> Path:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise CaptureError(f"{folder} is not a folder (found {found}). Give the folder of a VHAP export as --data.")
    if os.path.lexists(folder / TRAIN):
        return folder / TRAIN
    # One file without any split: all its frames are for training.
    if os.path.lexists(folder / ALL_FRAMES) and not any(os.path.lexists(folder / name) for name in (VAL, TEST)):
        return folder / ALL_FRAMES
    names = sorted(path.name for path in folder.iterdir())
    listing = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "nothing"
    raise CaptureError(
        f"{folder} is not a capture: looked for {TRAIN} (with {VAL}, {TEST}) or {ALL_FRAMES}, found {listing}. "
        "Give the folder of a VHAP export (single sequence or union)."
    )


def _parameter_files(folder: Path, frames: Iterable[Frame]) -> dict[int, Path]:
    """Return the parameter file of every timestep; frames of one timestep must name the same file."""
    paths: dict[int, Path] = {}
    for frame in frames:
        known = paths.setdefault(frame.timestep, frame.flame_param_path)
        if known != frame.flame_param_path:
            raise CaptureError(
                f"{frame.source}: timestep {frame.timestep} has 'flame_param_path' {frame.flame_param_path}, but "
                f"another frame of that timestep has {known}. A timestep has one set of parameters: "
                "give the sequences of a union different timestep indices."
            )
    everything = folder / ALL_FRAMES
    if os.path.lexists(everything):
        entries = frame_entries(read_json(everything), everything)
        for position, entry in enumerate(entries):
            timestep, path = moment_of(entry, f"{everything}, frame {position}", folder.resolve())
            if timestep not in paths and path.is_file():
                paths[timestep] = path
    return dict(sorted(paths.items()))
