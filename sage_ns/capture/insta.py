"""INSTA's data sets and the checkpoints of metrical-tracker that they were made from, as a capture in VHAP's layout.

INSTA (Zielonka et al. 2023) keeps `images/{id}.png` (RGBA, straight alpha) and transforms whose `transform_matrix` is
camera-to-world in OpenCV axes (x right, y down, z forward). Its meshes no longer have FLAME's topology; therefore the
parameters come from the tracker's `{id}.frame`. The head stands still in FLAME's space and the camera moves instead:
every frame has its own camera. The tracker uses FLAME 2020 and metres.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.camera_checks import camera_to_world, check_pinhole, check_size, pinhole_of
from sage_ns.capture.decode import read_header
from sage_ns.capture.flame_table import IDENTITY_TOLERANCE
from sage_ns.capture.frames import frame_entries, read_json
from sage_ns.capture.images import load_image
from sage_ns.capture.layout import ALL_FRAMES, TEST, TRAIN
from sage_ns.capture.paths import FolderListing, absolute_path
from sage_ns.capture.splits import SplitName
from sage_ns.capture.tracker_captures import Converted, lost_blinks, rig_with_eyelids, splits_with_last
from sage_ns.capture.tracker_checkpoints import (
    SUFFIX,
    load_tracker_checkpoints,
    read_checkpoint,
    world_to_camera,
)
from sage_ns.capture.writer import CameraPicture, refuse_used_folder, write_capture
from sage_ns.errors import CaptureError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.rig import check_identity, check_plausible
from sage_ns.rig.eyelids import with_eyelid_motion
from sage_ns.system.json_files import shown
from sage_ns.system.progress import tracked

_SAME_CAMERA = 1e-3
"""Entries of two camera matrices (metres, or unitless) that differ by less (rounding) belong to one camera."""
_MOST_DIGITS = 18
"""Of an id; more do not fit into 64 bits."""


@dataclass(frozen=True, eq=False)
class _Picture:
    """One frame of INSTA's transforms."""

    number: int
    """Id of the frame, which its image and its checkpoint share."""
    path: Path
    camera: Float[np.ndarray, "4 4"]
    """Camera-to-world, OpenCV axes."""
    size: tuple[int, int]
    """Width and height that the transforms state, pixels."""
    split: SplitName
    source: str


@dataclass(frozen=True, eq=False)
class _Tracked:
    """Camera and head shape of a checkpoint."""

    camera: Float[np.ndarray, "4 4"]
    """Camera-to-world, OpenCV axes."""
    intrinsics: Float[np.ndarray, "3 3"]
    shape: Float[Tensor, "num_shape"]


def convert_insta(
    source: Path | str,
    checkpoints: Path | str,
    out: Path | str,
    overwrite: bool = False,
    eyelids: Path | str | None = None,
    head_model: Path | str | None = None,
    test_frames: int | None = None,
) -> Converted:
    """Write an INSTA folder as a capture.

    Timesteps are the frames in the order of their ids. INSTA's test frames become the capture's test frames. INSTA's
    validation frames are a part of the test frames and show no held-out camera; the capture therefore has no validation
    split, and training borrows test frames. The tracker moves eyelids with its own blendshapes, which FLAME does not
    have: without ``eyelids``, blinks are lost, and a note says at how many timesteps. With them, the capture gets a
    head model of its own, whose last two expression directions are the eyelids. The transforms state that the light of
    the room keeps the camera's axes: the tracker keeps the head still and moves the camera.

    Args:
        source: INSTA's folder: `transforms_train.json` and `transforms_test.json`, or `transforms.json` alone.
        checkpoints: The tracker's `<actor>/checkpoint` with `{id}.frame`, or `<actor>`.
        out: Folder to create.
        overwrite: Replace an existing folder.
        eyelids: Folder with the tracker's `l_eyelid.npy` and `r_eyelid.npy`.
        head_model: FLAME file that the eyelids are added to; None = the one found near ``out``.
        test_frames: Use this number of last frames as test frames; None = INSTA's test frames.

    Raises:
        CaptureError: `out` is in use, an image or a checkpoint is missing or of another kind, checkpoints and images
            show different moments, or no frame is left for training. Everything is checked before anything is written.
        HeadModelError: An eyelid file or the head model is missing, broken, or does not fit the other.
        FlameParamsError: The checkpoints use more expression coefficients than the head model has.
    """
    source, checkpoints, out = (Path(path).expanduser().absolute() for path in (source, checkpoints, out))
    refuse_used_folder(out, overwrite)
    model = None if eyelids is None else rig_with_eyelids(Path(eyelids).expanduser(), head_model, out)
    pictures, notes = _pictures(source, test_frames)
    paths = _checkpoint_paths(checkpoints, pictures)
    with tracked(paths, "Reading checkpoints") as shown:
        seen = [_read(path) for path in shown]
    _check_same_moments(pictures, paths, seen)
    for picture, one, path in zip(pictures, seen, paths, strict=True):
        _check_image(picture)
        pinhole_of(one.intrinsics, picture.size, str(path), "opencv.K")
    params, lids = load_tracker_checkpoints(paths)
    params = replace(params, shape=seen[0].shape)
    check_plausible(params, lambda row: str(paths[row]))
    for one, path in zip(seen, paths, strict=True):
        check_identity(replace(params, shape=one.shape), str(path))
    if model is not None:
        params = replace(params, expr=with_eyelid_motion(params.expr, lids, model)).check_fits(model)
    num_others = sum(not torch.allclose(one.shape, seen[0].shape, atol=IDENTITY_TOLERANCE) for one in seen)
    if num_others:
        notes.append(f"{num_others} frames were tracked with another head shape; the shape of {paths[0].name} is used")
    if model is None:
        notes += lost_blinks(lids, "metrical-tracker")

    def camera_picture(row: int, picture: _Picture) -> CameraPicture:
        image, mask = load_image(picture.path)
        return CameraPicture(
            timestep=row,
            camera_index=0,
            camera_to_world=seen[row].camera @ CAMERA_AXES,
            intrinsics=seen[row].intrinsics,
            image=image.numpy(),
            mask=None if mask is None else mask[..., 0].numpy(),
            split=picture.split,
        )

    with tracked(pictures, "Converting pictures") as shown:
        converted = (camera_picture(row, picture) for row, picture in enumerate(shown))
        written = write_capture(out, converted, params, overwrite, light_axes="camera", head_model=model)
    return Converted(written, tuple(notes))


def _pictures(source: Path, test_frames: int | None) -> tuple[list[_Picture], list[str]]:
    """Return all frames in the order of their ids, and notes. INSTA's files list frames in arbitrary order."""
    files: dict[SplitName, Path] = {"train": source / TRAIN, "test": source / TEST}
    notes = []
    if not os.path.lexists(files["train"]):
        if not os.path.lexists(source / ALL_FRAMES):
            raise CaptureError(
                f"{source} is not an INSTA folder: found neither {TRAIN} nor {ALL_FRAMES}. Give the folder "
                "that INSTA's generate.sh wrote."
            )
        files = {"train": source / ALL_FRAMES}
        if test_frames is None:
            notes.append(f"there is no {TRAIN}: all frames are used for training, unless --test-frames keeps the last")
    elif not os.path.lexists(files["test"]):
        raise CaptureError(
            f"{source}: found {TRAIN}, but no {TEST}. Copy that file, too: training must leave its frames out."
        )
    pictures: dict[int, _Picture] = {}
    listing = FolderListing()
    for split, path in files.items():
        content = read_json(path)
        for position, entry in enumerate(frame_entries(content, path)):
            # INSTA states the size once for all frames
            picture = _picture({**content, **entry}, source, split, f"{path}, frame {position}", listing)
            if picture.number in pictures:
                other = pictures[picture.number].source
                raise CaptureError(f"{picture.source}: {other} has the same image {picture.path.name}")
            pictures[picture.number] = picture
    ordered = [pictures[number] for number in sorted(pictures)]
    if not any(picture.split == "train" for picture in ordered):
        raise CaptureError(f"{files['train']}: 'frames' is an empty list; expected the pictures for training.")
    if test_frames is None:
        return ordered, notes
    splits = splits_with_last(test_frames, len(ordered), source)
    return [replace(each, split=split) for each, split in zip(ordered, splits, strict=True)], notes


def _picture(entry: Mapping[str, Any], source: Path, split: SplitName, name: str, listing: FolderListing) -> _Picture:
    if "timestep_index" in entry or "flame_param_path" in entry:
        raise CaptureError(f"{name}: this is already a VHAP export; train on its folder directly")
    path = listing.image(absolute_path(source, entry.get("file_path"), "file_path", name))
    path = path if path.suffix else path.with_suffix(".png")
    if not path.stem.isdecimal() or len(path.stem) > _MOST_DIGITS:
        raise CaptureError(f"{name}: 'file_path' is {shown(path.name)}; expected the number of a checkpoint")
    pose = camera_to_world(entry.get("transform_matrix"), name)
    width, height = entry.get("w"), entry.get("h")
    if not isinstance(width, (int, float)) or not isinstance(height, (int, float)):
        found = f"{shown(width)} x {shown(height)}"
        raise CaptureError(f"{name}: 'w' x 'h' is {found}; expected pixels, for the frame or for the file")
    check_pinhole(entry, name)
    return _Picture(int(path.stem), path, pose, check_size(width, height, name), split, name)


def _checkpoint_paths(folder: Path, pictures: Sequence[_Picture]) -> list[Path]:
    """Return the checkpoint of every picture."""
    inner = folder / "checkpoint" if (folder / "checkpoint").is_dir() else folder
    found = {int(path.stem): path for path in inner.glob(f"*{SUFFIX}") if path.stem.isdecimal()}
    if not found:
        raise CaptureError(f"{inner}: contains no *{SUFFIX}. Give metrical-tracker's <actor>/checkpoint.")
    missing = [picture for picture in pictures if picture.number not in found]
    if missing:
        names = ", ".join(f"{picture.number:05d}{SUFFIX}" for picture in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CaptureError(
            f"{inner}: {len(missing)} of {len(pictures)} checkpoints missing: {names}{more}. Every image needs the "
            "checkpoint with its number."
        )
    return [found[picture.number] for picture in pictures]


def _read(path: Path) -> _Tracked:
    read = read_checkpoint(path)
    to_camera = world_to_camera(read, "opencv.R", "opencv.t")
    intrinsics = read.floats("opencv.K", "1 3 3")[0].double().numpy()
    return _Tracked(np.linalg.inv(to_camera), intrinsics, read.floats("flame.shape", "1 num_shape")[0])


def _check_same_moments(pictures: Sequence[_Picture], paths: Sequence[Path], seen: Sequence[_Tracked]) -> None:
    """Check that each camera equals its checkpoint's: INSTA computed its transforms from the checkpoints."""
    given = np.stack([picture.camera for picture in pictures])
    own = np.stack([one.camera for one in seen])

    def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs(a - b).max(axis=(1, 2)) < _SAME_CAMERA

    others = np.flatnonzero(~same(given, own))
    if len(others) == 0:
        return
    shifts = {1: same(given[:-1], own[1:]), -1: same(given[1:], own[:-1])}
    shift = next((shift for shift, agree in shifts.items() if len(agree) and agree.all()), None)
    reason = (
        f"the images belong to the checkpoints numbered {shift:+d}: rename the checkpoints"
        if shift is not None
        else "the images are from another sequence, or were tracked again: give the checkpoints that "
        "INSTA's folder was made from"
    )
    first = others[0]
    raise CaptureError(
        f"{paths[first]}: its camera is not the 'transform_matrix' of {pictures[first].source} (the same "
        f"holds for {len(others)} of {len(pictures)}); {reason}."
    )


def _check_image(picture: _Picture) -> None:
    header = read_header(picture.path, f"{picture.source}: image")
    size, bands = header.size, header.bands
    if bands != ("R", "G", "B", "A"):
        raise CaptureError(
            f"{picture.path}: its channels are {''.join(bands)}, expected RGBA. INSTA's images/ have the head's matte "
            "as alpha; give those, not the tracker's input/."
        )
    if size != picture.size:
        raise CaptureError(
            f"{picture.path} is {size[0]} x {size[1]} px, but its transforms state 'w' x 'h' as "
            f"{picture.size[0]} x {picture.size[1]}. Give the images that were tracked, at their size."
        )
