"""Checks of a capture's files, made before training starts: bad data costs seconds, not hours.

Single fields are checked where they are read (``frames``, ``flame_table``); this module checks across files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sage_ns.capture.decode import PictureHeader, read_header
from sage_ns.capture.frames import Frame
from sage_ns.capture.images import load_image
from sage_ns.capture.paths import files_beside
from sage_ns.errors import CaptureError
from sage_ns.system.user_files import NO_SUCH_FILE, fault_of_file

NUM_NAMED = 3
"""Number of files that a message names; it counts the rest."""

NUM_READERS = 8
"""Threads that open image headers; on network drives most of the time is waiting."""


FARTHEST_HEAD = 200.0
"""Metres from a camera to the head; cameras in millimetres are at hundreds."""


def check_parameter_files(paths: Iterable[Path]) -> None:
    """Check that the FLAME parameter files of a capture exist.

    Raises:
        CaptureError: files are missing; names the first ones and their number.
    """
    _require("FLAME parameter file", paths, "Copy the folder flame_param/ together with the transforms.")


def check_images(frames: Sequence[Frame], use_masks: bool = True) -> None:
    """Check that images (and masks, if used) exist and have the stated size; reads only their headers.

    Raises:
        CaptureError: a file is missing, not an image, or of another size; names the first ones and their number.
    """
    stated = {frame.image_path: (frame.width, frame.height) for frame in frames}
    _require("image", stated, "The sequences of a union must be in the folder that contains the union.")
    masks = {frame.mask_path: (frame.width, frame.height) for frame in frames if frame.mask_path is not None}
    if use_masks:
        _require("mask", masks, "Copy fg_masks/ or switch masks off (--use-masks False).")
        stated |= masks
    hidden = {frame.hidden_path: (frame.width, frame.height) for frame in frames if frame.hidden_path is not None}
    _require("picture of what hides the head", hidden, "Copy the folder hidden/, or take 'hidden_path' out.")
    stated |= hidden

    def header(path: Path) -> PictureHeader:
        return read_header(path, "mask" if path in masks or path in hidden else "image")

    with ThreadPoolExecutor(NUM_READERS) as pool:
        found = dict(zip(stated, pool.map(header, stated), strict=True))
    wrong = [path for path, header in found.items() if header.size != stated[path]]
    if wrong:
        first = wrong[0]
        turned = found[first].stored_size == stated[first]
        tag = " after its orientation tag turned it" if turned else ""
        advice = (
            "Save it upright, without that tag"
            if turned
            else "export again, or correct w, h and the intrinsics. To train on smaller images use --downscale-factor"
        )
        raise CaptureError(
            f"{first} is {_pixels(found[first].size)}{tag}, but the transforms state {_pixels(stated[first])}"
            f"{_of(wrong, stated)}. Images and masks must have the size that the cameras were calibrated for: {advice}."
        )


def check_decodable(frames: Sequence[Frame]) -> None:
    """Check that all pictures can be decoded.

    Raises:
        CaptureError: a file is truncated or of a kind that is not read.
    """

    def decode(frame: Frame) -> None:
        load_image(frame.image_path)

    with ThreadPoolExecutor(NUM_READERS) as pool:
        for _ in pool.map(decode, frames):
            pass


def check_head_in_front(frames: Sequence[Frame], head_centers: Mapping[int, Float[np.ndarray, "3"]]) -> None:
    """Check that the tracked head lies in front of every camera (OpenGL: at negative z), and not far away.

    Args:
        frames: frames whose cameras to check.
        head_centers: tracked head centre in world space by timestep id, metres.

    Raises:
        CaptureError: a camera looks away from the head, or is too far from it; names its first frame.
    """
    points = [_camera_point(frame, head_centers[frame.timestep]) for frame in frames]
    behind = [frame for frame, point in zip(frames, points, strict=True) if point[2] >= 0]
    if behind:
        raise CaptureError(
            f"{behind[0].source}: the tracked head is behind the camera{_of(behind, frames)}. 'transform_matrix' "
            "must be camera-to-world in OpenGL axes (x right, y up, z back); matrices in OpenCV axes (y down, "
            "z forward) need their 2nd and 3rd column negated."
        )
    far = [frame for frame, point in zip(frames, points, strict=True) if np.linalg.norm(point) > FARTHEST_HEAD]
    if far:
        distance = np.linalg.norm(points[frames.index(far[0])])
        raise CaptureError(
            f"{far[0].source}: the tracked head is {distance:.3g} metres from the camera{_of(far, frames)}; expected "
            f"at most {FARTHEST_HEAD:g}. 'transform_matrix' and the tracking must be in metres, in one world."
        )


def _camera_point(frame: Frame, point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    rotation, center = frame.camera_to_world[:3, :3], frame.camera_to_world[:3, 3]
    return rotation.T @ (point - center)


def _require(role: str, paths: Iterable[Path], advice: str) -> None:
    unique = dict.fromkeys(paths)
    faults = {path: fault for path in unique if (fault := fault_of_file(path)) is not None}
    missing = [path for path, fault in faults.items() if fault == NO_SUCH_FILE]
    for path, fault in faults.items():
        if fault != NO_SUCH_FILE:
            raise CaptureError(f"{role} {path} {fault}. {advice}")
    if missing:
        named = ", ".join(str(path) for path in missing[:NUM_NAMED])
        more = f" and {len(missing) - NUM_NAMED} more" if len(missing) > NUM_NAMED else ""
        raise CaptureError(
            f"{len(missing)} of {len(unique)} {role}s missing: {named}{more}. {_instead(missing[0], advice)}"
        )


def _instead(missing: Path, advice: str) -> str:
    """Return what there is in place of a missing file, and what to do."""
    beside = files_beside(missing)
    if beside:
        return f"Found {', '.join(beside[:NUM_NAMED])} beside {missing.name}: rename one, or correct the transforms."
    if not missing.parent.is_dir():
        return f"There is no folder {missing.parent}. {advice}"
    names = sorted(path.name for path in missing.parent.iterdir())
    listing = ", ".join(names[:NUM_NAMED]) + (f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else "")
    return f"The folder {missing.parent} holds {listing or 'nothing'}. {advice}"


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"


def _of(offenders: Sequence[object], everything: Iterable[object]) -> str:
    total = sum(1 for _ in everything)
    return f" (as are {len(offenders) - 1} more of {total})" if len(offenders) > 1 else ""
