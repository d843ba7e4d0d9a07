"""Pixel3DMM's tracking and its pictures as a capture in VHAP's layout.

`sage_ns.capture.tracker_files.pixel3dmm` has the format of its checkpoints. Its pictures are
`PREPROCESSED_DATA/<video>/cropped/{frame:05d}.jpg`; beside them, `seg_og/{frame:05d}.png` has the part of the head that
each pixel shows, by number: 0 background, 1 to 18 the person (facer's 19 classes of CelebAMask-HQ), 20 not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from sage_ns.capture.camera_checks import pinhole_of
from sage_ns.capture.decode import decode_matte, decode_picture, read_header
from sage_ns.capture.splits import SplitName
from sage_ns.capture.tracker_captures import Converted, lost_blinks, rig_with_eyelids, splits_with_last
from sage_ns.capture.tracker_files.pixel3dmm import read_pixel3dmm
from sage_ns.capture.writer import CameraPicture, refuse_used_folder, write_capture
from sage_ns.errors import CaptureError
from sage_ns.rig import find_head_model, load_head_model
from sage_ns.rig.eyelids import with_eyelid_motion
from sage_ns.system.progress import tracked

_PICTURES, _PARTS = "cropped", "seg_og"
_SUFFIXES = (".jpg", ".png")
_PERSON = (1, 18)
"""First and last number of the parts of a person."""


@dataclass(frozen=True)
class _Picture:
    """A frame that was tracked."""

    path: Path
    parts: Path
    size: tuple[int, int]
    """Width and height, pixels."""


def convert_pixel3dmm(
    tracking: Path | str,
    preprocessed: Path | str,
    out: Path | str,
    overwrite: bool = False,
    eyelids: Path | str | None = None,
    head_model: Path | str | None = None,
    test_frames: int | None = None,
) -> Converted:
    """Write what Pixel3DMM has tracked as a capture of one camera at rest before which the head moves.

    The capture contains the head model: a head that turns about the origin turns about its root joint only where that
    joint is known.

    Args:
        tracking: Folder of the tracking, with `checkpoint/*.frame`.
        preprocessed: Folder of the video, with `cropped` and `seg_og`.
        out: Folder to create.
        overwrite: Replace an existing folder.
        eyelids: Folder with Pixel3DMM's `l_eyelid.npy` and `r_eyelid.npy`; None = blinks are lost.
        head_model: FLAME that Pixel3DMM has fitted; None = the one found near ``out``.
        test_frames: Use this number of last frames as test frames; None = all frames are for training.

    Raises:
        CaptureError: `out` is in use, a picture or a checkpoint is missing or broken, or no frame is left for training.
            Everything is checked before anything is written.
        HeadModelError: The head model is missing, or not the FLAME that was fitted; or an eyelid file is broken.
        FlameParamsError: No head can have the parameters.
    """
    tracking, preprocessed, out = (Path(path).expanduser().absolute() for path in (tracking, preprocessed, out))
    refuse_used_folder(out, overwrite)
    if eyelids is None:
        model = load_head_model(find_head_model(head_model, out))
    else:
        model = rig_with_eyelids(Path(eyelids).expanduser(), head_model, out)
    heads, lens = read_pixel3dmm(tracking)
    params = heads.on(model)
    if eyelids is not None:
        params = replace(params, expr=with_eyelid_motion(heads.params.expr, heads.eyelids, model))
    notes = [] if eyelids is not None else list(lost_blinks(heads.eyelids, heads.program))
    seen = [_picture(preprocessed, int(number)) for number in heads.frames]
    splits: list[SplitName] = ["train"] * len(seen)
    if test_frames is not None:
        splits = splits_with_last(test_frames, len(seen), tracking)
    cameras = [_intrinsics(row.double().numpy(), each) for row, each in zip(lens, seen, strict=True)]

    def camera_picture(row: int) -> CameraPicture:
        image, mask = _with_mask(seen[row])
        return CameraPicture(row, 0, np.eye(4), cameras[row], image, mask, split=splits[row])

    with tracked(range(len(seen)), "Converting pictures") as shown:
        pictures = (camera_picture(row) for row in shown)
        written = write_capture(out, pictures, params, overwrite, light_axes="world", head_model=model)
    return Converted(written, (*notes, f"licence of {heads.program}: {heads.licence}"))


def _picture(folder: Path, number: int) -> _Picture:
    found = next(
        (path for path in (folder / _PICTURES / f"{number:05d}{end}" for end in _SUFFIXES) if path.exists()), None
    )
    parts = folder / _PARTS / f"{number:05d}.png"
    if found is None or not parts.exists():
        missing = f"{_PICTURES}/{number:05d}.jpg" if found is None else f"{_PARTS}/{parts.name}"
        raise CaptureError(
            f"{folder}: {missing} is missing, but the tracking has frame {number}. Give PREPROCESSED_DATA/<video> of "
            "the same video, with the folders cropped and seg_og."
        )
    size = read_header(found).size
    other = read_header(parts, "segmentation").size
    if other != size:
        raise CaptureError(
            f"{parts} is {other[0]} x {other[1]} px, but {found.name} is {size[0]} x {size[1]} px. Run Pixel3DMM's "
            "preprocessing again."
        )
    return _Picture(found, parts, size)


def _intrinsics(lens: Float[np.ndarray, "3"], picture: _Picture) -> Float[np.ndarray, "3 3"]:
    """Return the camera's matrix in pixels; the tracker has scaled every picture to a square."""
    width, height = picture.size
    focal, x, y = lens
    matrix = np.array([[focal * width, 0, x * width], [0, focal * height, y * height], [0, 0, 1]])
    pinhole_of(matrix, picture.size, str(picture.path), "camera.fl")
    return matrix


def _with_mask(picture: _Picture) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Return a picture of the person on white, and the person's mask."""
    parts = np.asarray(decode_matte(picture.parts))
    person = (parts >= _PERSON[0]) & (parts <= _PERSON[1])
    if not person.any():
        raise CaptureError(f"{picture.parts}: found no part of a person, expected numbers from 1 to 18 on the head.")
    pixels = np.asarray(decode_picture(picture.path).convert("RGB"))
    return np.where(person[..., None], pixels, 255).astype(np.uint8), (255 * person).astype(np.uint8)
