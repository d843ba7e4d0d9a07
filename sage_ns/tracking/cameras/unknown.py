"""Cameras that nobody has measured: found by COLMAP (Schoenberger and Frahm 2016) from the pictures of one moment."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sage_ns.capture.decode import read_header
from sage_ns.errors import CaptureError, TrackingError, WriteError
from sage_ns.system.cache import cache_dir
from sage_ns.system.files import temporary_folder, whole_folder, write_json
from sage_ns.system.user_files import sha256_of
from sage_ns.tracking.cameras.colmap_process import FOUND
from sage_ns.tracking.cameras.files import read_cameras
from sage_ns.tracking.cameras.pictures import mask_of
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera
from sage_ns.tracking.focal import in_pixels
from sage_ns.tracking.foreground import Segment, read_mask
from sage_ns.tracking.photo import Photo, read_photo

PACKAGE = "pycolmap"
INSTALL = "pip install 'sage_ns[track]'"
FEWEST = 3
"""Pictures from which cameras can be found."""
_LONGEST_SIDE = 1600
"""Pixels of the pictures that COLMAP sees; larger ones are averaged over blocks."""
_PERSON = 0.5
_KIND = "COLMAP, run on the pictures"
_VERSION = 1
"""Part of the cache's key: raise it when the cameras of the same pictures change."""


@dataclass(frozen=True)
class _Sent:
    """A picture as COLMAP sees it."""

    picture: Path
    size: tuple[int, int]
    """Of the picture itself."""
    factor: int
    """Side of the blocks that were averaged."""


def check_can_solve(pictures: Sequence[Path], folder: Path) -> None:
    """Refuse pictures whose cameras cannot be found, before long work.

    Raises:
        TrackingError: there are too few pictures, or pycolmap is not installed.
    """
    if len(pictures) < FEWEST:
        raise TrackingError(
            f"{folder}: {len(pictures)} pictures, and no file states their cameras; expected at least {FEWEST}. Give "
            "more pictures, or a file with the cameras (--cameras)."
        )
    if importlib.util.find_spec(PACKAGE) is None:
        raise TrackingError(
            f"{folder}: no file states the cameras of the pictures, and {PACKAGE}, which finds them, is not installed. "
            f"Install it: {INSTALL}. Or give a file with the cameras (--cameras)."
        )


def solve_cameras(
    pictures: Sequence[Path],
    folder: Path,
    segment: Segment,
    focal_mm: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[CameraRig, list[str]]:
    """Return the cameras of pictures, and notes on pictures that are left out.

    Pictures of one size share a focal length; lenses without distortion are assumed. Only what `segment` calls a person
    (or the mask beside a picture) is compared. Scale and axes of the world are arbitrary.

    Args:
        pictures: of one moment, at least `FEWEST`.
        folder: that holds their masks.
        segment: finds people.
        focal_mm: focal length as for 35 mm film, if it is known.
        progress: called with the number of pictures that are prepared, and of all.

    Raises:
        TrackingError: COLMAP finds no cameras for most of the pictures.
        CaptureError: a picture cannot be read.
    """
    check_can_solve(pictures, folder)
    with temporary_folder("colmap") as work:
        sent: dict[str, _Sent] = {}
        focal: dict[str, float] = {}
        for index, picture in enumerate(pictures):
            photo = read_photo(picture)
            name, one = _send(photo, _person(photo, folder, segment), work, index)
            sent[name] = one
            if focal_mm is not None or photo.focal.source.startswith("EXIF"):
                known = photo.focal.pixels if focal_mm is None else in_pixels(focal_mm, *photo.size)
                focal[name.partition("/")[0]] = known / one.factor
            progress(index + 1, len(pictures))
        write_json(work / "settings.json", {"focal": focal, "refine_focal": focal_mm is None})
        try:
            found = read_cameras(_solved(work, folder))
        except CaptureError as error:
            raise _unsolved(folder, 0, len(pictures)) from error
    cameras = [_full_size(camera, sent[camera.name.replace("\\", "/")]) for camera in found.cameras]
    if len(cameras) < max(FEWEST, 0.5 * len(pictures)):
        raise _unsolved(folder, len(cameras), len(pictures))
    solved = {camera.picture for camera in cameras}
    missing = [picture.name for picture in pictures if picture not in solved]
    notes = [f"COLMAP found no cameras for these pictures, which are left out: {', '.join(missing)}."] * bool(missing)
    cameras = sorted(cameras, key=lambda camera: str(camera.picture))
    masked = tuple(replace(each, mask=mask_of(each.picture, folder)) for each in cameras if each.picture is not None)
    return CameraRig(masked, None, str(folder), _KIND), notes


def _person(photo: Photo, folder: Path, segment: Segment) -> Float[np.ndarray, "h w"]:
    """Return where the person is, 0..1: the mask beside the picture, its alpha, or what the network finds."""
    mask = mask_of(photo.path, folder)
    if mask is not None:
        return read_mask(mask, photo) / 255.0
    return segment(photo.pixels) if photo.alpha is None else photo.alpha / 255.0


def _send(photo: Photo, person: np.ndarray, work: Path, index: int) -> tuple[str, _Sent]:
    """Write a picture and its mask for COLMAP; return its name there."""
    factor = -(-max(photo.size) // _LONGEST_SIDE)
    image = Image.fromarray(photo.pixels).reduce(factor)
    mask = Image.fromarray(_binary(person)).reduce(factor).resize(image.size)
    name = f"{image.width}x{image.height}/{index:05d}.png"
    for inner, each, end in (("images", image, ""), ("masks", mask, ".png")):
        path = work / inner / (name + end)
        path.parent.mkdir(parents=True, exist_ok=True)
        each.save(path)
    return name, _Sent(photo.path, photo.size, factor)


def _binary(person: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    return np.where(person > _PERSON, 255, 0).astype(np.uint8)


def _solved(work: Path, folder: Path) -> Path:
    """Return the folder of the model: the one of an earlier run on the same pictures, masks and settings, else a new
    one, which is kept. Matching takes minutes, and a later step may be stopped or refuse something."""
    digest = hashlib.sha256(f"{_VERSION} {version(PACKAGE)}".encode())
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(work).as_posix()} {sha256_of(path, TrackingError)}".encode())
    kept = cache_dir() / "colmap" / digest.hexdigest()[:32]
    if not kept.is_dir():
        _run(work, folder)
        if not (work / FOUND).is_dir():
            return work / FOUND
        with suppress(WriteError), whole_folder(kept) as new:
            shutil.copytree(work / FOUND, new, dirs_exist_ok=True)
    return kept if kept.is_dir() else work / FOUND


def _run(work: Path, folder: Path) -> None:
    """Run COLMAP on a folder; Ctrl-C ends it with this process."""
    command = [sys.executable, "-m", "sage_ns.tracking.cameras.colmap_process", str(work), str(os.getpid())]
    with (work / "log.txt").open("wb") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode
    if code != 0:
        last = (work / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise TrackingError(
            f"{folder}: COLMAP ended with code {code}: {' / '.join(last)}. Give a file with the cameras (--cameras)."
        )


def _full_size(camera: RigCamera, sent: _Sent) -> RigCamera:
    """Return a camera for the picture itself."""
    factor = sent.factor
    return replace(
        camera,
        name=sent.picture.stem,
        focal=(camera.focal[0] * factor, camera.focal[1] * factor),
        center=(camera.center[0] * factor, camera.center[1] * factor),
        size=read_header(sent.picture).size,
        picture=sent.picture,
        source=str(sent.picture),
    )


def _unsolved(folder: Path, found: int, count: int) -> TrackingError:
    return TrackingError(
        f"{folder}: COLMAP found the cameras of {found} of {count} pictures. The pictures must be of one moment, "
        "sharp, from directions 10 to 30 degrees apart, by cameras with the same zoom. Or give a file with the cameras "
        "(--cameras)."
    )
