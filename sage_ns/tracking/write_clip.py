"""Write a tracked clip as a capture in VHAP's layout: one camera at rest, one timestep per frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.system.files import whole_folder, write_json
from sage_ns.tracking.clip import Clip, ClipFrame
from sage_ns.tracking.clip_faces import LeftOut
from sage_ns.tracking.face import Face
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.overlay import SheetPictures, write_sheet
from sage_ns.tracking.window import Window
from sage_ns.tracking.write import REPORT, SHEET, camera_fields, sheet_pictures, source_fields

_SHOWN = 5
"""Frames on the contact sheet."""


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """What was found in a frame."""

    row: int
    """Of the clip's parameters: its timestep."""
    frame: ClipFrame
    face: Face
    points: Float[torch.Tensor, "478 2"]
    """Landmarks of the fitted head, pixels of the whole picture."""
    rms: float
    """Root of the mean squared distance of the landmarks, pixels."""
    face_width: float
    """Pixels."""
    turn: float
    """Degrees from the front."""
    picture: UInt8[np.ndarray, "height width 3"]
    """Of the window."""
    matte: UInt8[np.ndarray, "height width"]
    on_white: UInt8[np.ndarray, "height width 3"]
    hidden: UInt8[np.ndarray, "height width"] | None = None
    """255 where clothes hide the neck."""


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """Everything that was found in a clip."""

    clip: Clip
    model: HeadModel
    params: FlameParams
    """One row per frame, in the camera's axes."""
    vertices: Float[torch.Tensor, "t num_vertices 3"]
    """Of the fitted heads in the camera's axes, metres."""
    yaw: Float[torch.Tensor, "t"]
    """Degrees to the head's left from which the camera sees it."""
    frames: tuple[TrackedFrame, ...]
    left_out: tuple[LeftOut, ...]
    focal: FocalLength
    """What was known before the fit."""
    focal_pixels: float
    window: Window
    """The same part of every frame: the camera is at rest."""
    way: str
    """How the foreground was found."""
    notes: tuple[str, ...]
    """What the user should know."""
    consent: str = ""
    refinement: Mapping[str, Any] = field(default_factory=dict)
    """What was done after the fit to landmarks, for the report."""

    @property
    def span(self) -> float:
        """Degrees from the leftmost to the rightmost direction."""
        return float(self.yaw.max() - self.yaw.min())


def write_tracked_clip(out: Path, tracked: TrackedClip) -> Path:
    """Write the capture; the folder appears when it is complete, and replaces one that is there.

    The head is around the world's origin on average, and the camera stands where the fit has found it. The light of the
    room stands still as the camera does, so it keeps the axes of the world.

    Raises:
        WriteError: the folder cannot be written.
    """
    camera = tracked.window.camera(tracked.focal_pixels, tracked.clip.size)
    middle = tracked.params.translation.mean(dim=0)
    around_origin = replace(tracked.params, translation=tracked.params.translation - middle)
    pose = np.eye(4)
    pose[:3, 3] = -middle.double().numpy()
    intrinsics = camera.intrinsics.double().numpy()

    def pictures() -> Iterator[CameraPicture]:
        for each in tracked.frames:
            yield CameraPicture(each.row, 0, pose, intrinsics, each.on_white, each.matte, each.hidden)

    with whole_folder(out) as folder:
        write_capture(folder, pictures(), around_origin, overwrite=True, light_axes="world", head_model=tracked.model)
        write_json(folder / REPORT, clip_report(tracked))
        write_sheet(folder / SHEET, [_sheet_row(tracked, row) for row in _spread(tracked.yaw)])
    return out


def clip_report(tracked: TrackedClip) -> dict[str, Any]:
    """Return what was found, how sure it is, and where the clip came from, for `REPORT`."""
    clip = tracked.clip
    return {
        **source_fields(clip.path, clip.sha256, clip.size, tracked.consent),
        "head_model": tracked.model.name,
        "span": {"start": clip.start, "end": clip.end, "frames_per_second": clip.fps},
        "yaw_degrees": {"from": round(float(tracked.yaw.min()), 1), "to": round(float(tracked.yaw.max()), 1)},
        **camera_fields(tracked.focal, tracked.focal_pixels, clip.size, tracked.window),
        "foreground": tracked.way,
        "refinement": dict(tracked.refinement),
        "frames": [
            {
                "timestep": each.row,
                "seconds": round(each.frame.seconds, 3),
                "confidence": round(each.face.confidence, 4),
                "width_px": round(each.face_width, 1),
                "turn_degrees": round(each.turn, 2),
                "rms_px": round(each.rms, 3),
                "rms_of_face_width": round(each.rms / each.face_width, 5),
            }
            for each in tracked.frames
        ],
        "left_out": [{"seconds": round(each.frame.seconds, 3), "reason": each.reason} for each in tracked.left_out],
        "notes": list(tracked.notes),
    }


def _spread(yaw: Float[torch.Tensor, "t"]) -> list[int]:
    """Return rows from the leftmost to the rightmost direction."""
    order = yaw.argsort().tolist()
    places = np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).round().astype(int)
    return [order[place] for place in places]


def _sheet_row(tracked: TrackedClip, row: int) -> SheetPictures:
    each, window = tracked.frames[row], tracked.window
    camera = window.camera(tracked.focal_pixels, tracked.clip.size)
    title = (
        f"{tracked.clip.path.name} at {each.frame.seconds:.2f} s: seen from {float(tracked.yaw[row]):+.0f} degrees; "
        f"landmarks off by {each.rms:.1f} px ({each.rms / each.face_width:.1%} of the face). "
        f"{len(tracked.frames)} frames, {len(tracked.left_out)} left out"
    )
    pictures = sheet_pictures(
        each.picture / 255.0, window, each.face, each.points, tracked.vertices[row], tracked.model, camera,
        each.on_white / 255.0,
    )  # fmt: skip
    return SheetPictures(title, pictures)
