"""Frames of one ``transforms*.json`` of a VHAP export, each with camera, intrinsics and file paths.

Format: VHAP's NeRF export, which GaussianAvatars and SurFhead train on. Cameras are OpenGL camera-to-world
(x right, y up, z back) in FLAME's metric world; intrinsics are pixels, per frame or shared by the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from sage_ns.capture.camera_checks import camera_to_world, check_intrinsics, check_pinhole
from sage_ns.capture.frame_record import FrameRecord
from sage_ns.capture.paths import FolderListing, absolute_path
from sage_ns.errors import CaptureError
from sage_ns.system.json_files import load_json, shown

CyOrigin = Literal["auto", "top", "bottom"]

PSEUDO = "pseudo"
"""Key of a frame that no camera took, see `sage_ns.capture.pseudo_views`."""
_LONGEST_LIST_OF_KEYS = 300


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a capture with its camera and its timestep.

    Paths are absolute. ``cy`` is measured from the top of the image, whatever the convention of the file is.
    """

    timestep: int
    """Timestep id as the capture numbers it (ids may have gaps)."""
    camera_index: int
    camera_id: str
    """Serial of the camera; "0" for monocular exports."""
    image_path: Path
    mask_path: Path | None
    """Soft foreground mask (8-bit alpha), if the capture has one."""
    flame_param_path: Path
    camera_to_world: Float[np.ndarray, "4 4"]
    """OpenGL axes, metres, float64."""
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    source: str
    """File and position in it that the frame was read from, for messages."""
    states_cy_origin: bool = False
    """Whether the file says which edge of the image ``cy`` is measured from."""
    hidden_path: Path | None = None
    """Picture (8 bits, 255 = hidden) of what is before the head and no part of it: there the image says nothing about
    the head, neither colour nor outline."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CaptureError: the file cannot be read, is not JSON (with line and column), exceeds the limits of
            `sage_ns.system.json_files`, or is not an object.
    """
    content = load_json(path, CaptureError, "Check that it exists and is a text file.")
    if not isinstance(content, dict):
        raise CaptureError(f"{path}: expected a JSON object with a list 'frames', found a {type(content).__name__}.")
    return content


def frame_entries(content: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    """Return the objects in the list ``frames`` of a parsed transforms file; the list may be empty."""
    entries = content.get("frames")
    if not isinstance(entries, list):
        found = f"a {type(entries).__name__}" if "frames" in content else f"keys {_keys(content)}"
        raise CaptureError(f"{path}: expected a list 'frames', found {found}. Is this a VHAP transforms file?")
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise CaptureError(f"{path}, frame {position}: expected an object, found a {type(entry).__name__}.")
    return entries


def read_frames(path: Path, cy_origin: CyOrigin = "auto") -> tuple[Frame, ...]:
    """Read all frames of a transforms file, sorted by timestep, then camera (the order in which VHAP writes them).

    Args:
        path: ``transforms_<split>.json``.
        cy_origin: the image edge that the file's ``cy`` is measured from. VHAP flips ``cy`` together with the
            camera's y axis since November 2024 (commit 34afb35), earlier exports do not, and nothing in the file
            states the version. ``auto`` therefore takes the file's top-level key ``cy_origin`` if there is one,
            else "bottom", as VHAP writes today. With ``cy = height / 2`` all conventions agree.

    Raises:
        CaptureError: naming file, frame and field.
    """
    content = read_json(path)
    origin = _resolve_cy_origin(content, cy_origin, path)
    folder = path.parent.resolve()
    listing = FolderListing()
    frames = [
        _parse_frame(FrameRecord(entry, content, f"{path}, frame {position}"), folder, origin, listing)
        for position, entry in enumerate(frame_entries(content, path))
    ]
    return tuple(sorted(frames, key=lambda frame: (frame.timestep, frame.camera_index)))


def read_pictures(path: Path, moment: tuple[int, Path], cy_origin: CyOrigin = "auto") -> tuple[Frame, ...]:
    """Read pictures that state no moment, in the order of the file; arguments and errors as for `read_frames`.

    Args:
        path: file in the layout of a transforms file.
        moment: timestep id and parameter file of all of them.
        cy_origin: see `read_frames`.
    """
    content = read_json(path)
    origin = _resolve_cy_origin(content, cy_origin, path)
    listing = FolderListing()
    return tuple(
        _parse_frame(
            FrameRecord(entry, content, f"{path}, frame {position}"), path.parent.resolve(), origin, listing, moment
        )
        for position, entry in enumerate(frame_entries(content, path))
    )


def moment_of(entry: Mapping[str, Any], source: str, folder: Path) -> tuple[int, Path]:
    """Return timestep id and FLAME parameter file of a frame's JSON object.

    Raises:
        CaptureError: the object names no timestep or no parameter file.
    """
    record = FrameRecord(entry, {}, source)
    timestep = record.index("timestep_index")
    if timestep is None:
        raise CaptureError(
            f"{source}: no 'timestep_index' (found {_keys(entry)}). sage_ns reads VHAP exports, where every frame "
            "states its timestep; Blender-style transforms do not. Convert INSTA folders with `sage-capture insta`."
        )
    if "flame_param_path" not in entry:
        raise CaptureError(
            f"{source}: no 'flame_param_path' (found {_keys(entry)}). Export the capture with FLAME parameters "
            "(VHAP: --flame-mode param)."
        )
    return timestep, absolute_path(folder, entry["flame_param_path"], "flame_param_path", source)


def _parse_frame(
    record: FrameRecord,
    folder: Path,
    cy_origin: Literal["top", "bottom"],
    listing: FolderListing,
    moment: tuple[int, Path] | None = None,
) -> Frame:
    entry, source = record.frame, record.source
    if moment is None and entry.get(PSEUDO):
        raise CaptureError(
            f"{source}: '{PSEUDO}' is {shown(entry[PSEUDO])}: no camera took this picture, so nothing is measured on "
            "it. Take it out of the capture, and give its folder with --pipeline.pseudo-views."
        )
    timestep, flame_param_path = moment_of(entry, source, folder) if moment is None else moment
    if "file_path" not in entry:
        raise CaptureError(f"{source}: no 'file_path' (found {_keys(entry)}). Every frame must name its image.")
    image_path = listing.image(absolute_path(folder, entry["file_path"], "file_path", source))
    mask_path = None
    if entry.get("fg_mask_path") is not None:
        mask_path = listing.image(absolute_path(folder, entry["fg_mask_path"], "fg_mask_path", source))
    hidden_path = None
    if entry.get("hidden_path") is not None:
        hidden_path = listing.image(absolute_path(folder, entry["hidden_path"], "hidden_path", source))
    for scope in record.scopes:
        check_pinhole(scope, source)
    width, height = record.size(image_path)
    fx, fy = record.focal_lengths(width, height)
    cx, cy = record.center(width, height)
    check_intrinsics((fx, fy), (cx, cy), (width, height), source)
    camera_index = record.index("camera_index")
    return Frame(
        timestep=timestep,
        # Monocular exports by other tools do not name their only camera.
        camera_index=0 if camera_index is None else camera_index,
        camera_id=str(entry.get("camera_id", camera_index or 0)),
        image_path=image_path,
        mask_path=mask_path,
        flame_param_path=flame_param_path,
        camera_to_world=camera_to_world(entry.get("transform_matrix"), source),
        fx=fx,
        fy=fy,
        cx=cx,
        cy=height - cy if cy_origin == "bottom" else cy,
        width=width,
        height=height,
        source=source,
        states_cy_origin="cy_origin" in record.shared,
        hidden_path=hidden_path,
    )


def _resolve_cy_origin(content: Mapping[str, Any], cy_origin: CyOrigin, path: Path) -> Literal["top", "bottom"]:
    if cy_origin != "auto":
        return cy_origin
    stated = content.get("cy_origin", "bottom")
    if stated not in ("top", "bottom"):
        raise CaptureError(f'{path}: \'cy_origin\' is {shown(stated)}; expected "top" or "bottom".')
    return stated


def _keys(entry: Mapping[str, Any]) -> str:
    return shown(sorted(entry), _LONGEST_LIST_OF_KEYS)
