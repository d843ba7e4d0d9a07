"""Pictures of one moment in a folder, their masks, and which camera took which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sage_ns.capture.decode import read_header
from sage_ns.capture.paths import IMAGE_SUFFIXES
from sage_ns.errors import TrackingError
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera

PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".tif", ".tiff", ".bmp")
PICTURE_FOLDERS, MASK_FOLDERS = ("images", "."), ("masks", "fg_masks")
_PREFIX = "cam_"
"""NeRSemble's names of pictures are cam_SERIAL."""
_OFF_MIDDLE = 0.1
"""Share of a side by which a principal point may lie off the middle where the size is not stated."""


def pictures_of(folder: Path) -> list[Path]:
    """Return the pictures of a folder, in the order of their names: those in images/, else those beside it.

    Raises:
        TrackingError: there are none.
    """
    for name in PICTURE_FOLDERS:
        inner = folder / name
        found = sorted(inner.iterdir()) if inner.is_dir() else []
        pictures = [path for path in found if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
        if pictures:
            return pictures
    raise TrackingError(
        f"{folder}: found no pictures; expected one picture per camera in it or in its folder images/ "
        f"({', '.join(PICTURE_SUFFIXES)})."
    )


def mask_of(picture: Path, folder: Path) -> Path | None:
    """Return the mask of a picture in masks/ or fg_masks/: NAME.png, or NAME.EXTENSION.png as COLMAP calls it.

    Args:
        picture: its file.
        folder: that holds the folder of masks.
    """
    names = [folder / inner / name for inner in MASK_FOLDERS for name in (f"{picture.stem}.png", f"{picture.name}.png")]
    return next((path for path in names if path.is_file()), None)


def with_pictures(rig: CameraRig, folder: Path) -> tuple[list[RigCamera], list[str]]:
    """Return the cameras with their pictures, masks and sizes, and notes on what is left out or scaled.

    A camera without a stated picture took the one that is called like it: NAME, NAME.png, cam_NAME.png.

    Raises:
        TrackingError: a picture is missing, has another shape than its camera states, or belongs to two cameras; or no
            camera has a picture.
        CaptureError: a picture cannot be read.
    """
    pictures = [] if all(camera.picture is not None for camera in rig.cameras) else pictures_of(folder)
    cameras, notes, without = [], [], []
    for camera in rig.cameras:
        picture = camera.picture or _called(camera, pictures)
        if picture is None:
            without.append(camera.name)
            continue
        fitted, note = _at_size(replace(camera, picture=picture), read_header(picture).size)
        notes += [note] if note else []
        cameras.append(replace(fitted, mask=camera.mask or mask_of(picture, folder)))
    if not cameras:
        raise TrackingError(
            f"{rig.source}: no camera ({_listed(without)}) has a picture in {folder}. Call the pictures like the "
            "cameras, or name them in the file."
        )
    _refuse_shared(cameras)
    if without:
        notes.append(f"Cameras without a picture are left out: {_listed(without)}.")
    used = {camera.picture for camera in cameras}
    unused = [path.name for path in pictures if path not in used]
    if unused:
        notes.append(f"Pictures whose camera {rig.source} does not state are left out: {_listed(unused)}.")
    return cameras, sorted(set(notes))


def _called(camera: RigCamera, pictures: Sequence[Path]) -> Path | None:
    """Return the picture that is called like a camera."""
    name = PurePosixPath(camera.name.replace("\\", "/")).name
    exact = [path for path in pictures if path.name == name]
    wanted = {name, f"{_PREFIX}{name}", PurePosixPath(name).stem}
    found = exact or [path for path in pictures if path.stem in wanted]
    if len(found) > 1:
        raise TrackingError(
            f"{camera.source}: {' and '.join(path.name for path in found)} are called like the camera; keep one."
        )
    return found[0] if found else None


def _at_size(camera: RigCamera, size: tuple[int, int]) -> tuple[RigCamera, str]:
    """Return a camera for pictures of another resolution than the stated one, and a note if it was scaled."""
    (width, height), picture = size, camera.picture
    if camera.size is None:
        off = [abs(center / side - 0.5) for center, side in zip(camera.center, size, strict=True)]
        if max(off) > _OFF_MIDDLE:
            raise TrackingError(
                f"{camera.source}: the principal point {camera.center} is far from the middle of {picture} ({width} x "
                f"{height} px), and the file does not state the size of the pictures that were calibrated. State "
                "'width' and 'height' there."
            )
        return replace(camera, size=size), ""
    factor = width / camera.size[0]
    if abs(factor * camera.size[1] - height) >= 1:
        raise TrackingError(
            f"{camera.source}: the camera is stated for pictures of {camera.size[0]} x {camera.size[1]} px, but "
            f"{picture} has {width} x {height} px (upright). Give pictures that were not cropped or turned since."
        )
    if camera.size == size:
        return camera, ""
    rows = height / camera.size[1]
    scaled = replace(
        camera,
        focal=(camera.focal[0] * factor, camera.focal[1] * rows),
        center=(camera.center[0] * factor, camera.center[1] * rows),
        size=size,
    )
    note = f"Cameras are stated for pictures of {camera.size[0]} x {camera.size[1]} px and were scaled to {width} px."
    return scaled, note


def _refuse_shared(cameras: Sequence[RigCamera]) -> None:
    seen: dict[Path, RigCamera] = {}
    for camera in cameras:
        assert camera.picture is not None
        other = seen.setdefault(camera.picture.resolve(), camera)
        if other is not camera:
            raise TrackingError(
                f"{camera.source}: the picture {camera.picture} belongs to the camera '{other.name}', too. Give every "
                "camera its own picture."
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
