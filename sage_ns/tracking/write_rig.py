"""Write a tracked rig as a capture in VHAP's layout, with a report and a contact sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.splits import evenly_spaced
from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.rig import HeadModel
from sage_ns.system.files import whole_folder, write_json
from sage_ns.tracking.cameras.rig_camera import CameraRig
from sage_ns.tracking.cameras.view import View
from sage_ns.tracking.cut_out import CutOut
from sage_ns.tracking.face import Face
from sage_ns.tracking.focal import in_mm
from sage_ns.tracking.overlay import SheetPictures, mesh_over, write_sheet
from sage_ns.tracking.rig_fit import RigFit
from sage_ns.tracking.window import Window
from sage_ns.tracking.write import REPORT, SHEET, file_fields, making_fields, sheet_pictures, window_fields

_ROWS = 6
"""Cameras on the contact sheet, evenly spaced."""


@dataclass(frozen=True, eq=False)
class TrackedView:
    """The head in the picture of one camera."""

    view: View
    face: Face | None
    """None = none that can be tracked."""
    verdict: str
    """What became of the face, in words."""
    window: Window
    cut: CutOut
    points: Float[Tensor, "478 2"]
    """Landmarks of the fitted head in the whole picture, pixels."""


@dataclass(frozen=True, eq=False)
class TrackedRig:
    """Everything that was found in the pictures of a rig."""

    rig: CameraRig
    model: HeadModel
    fit: RigFit
    vertices: Float[Tensor, "num_vertices 3"]
    """Of the fitted head, metres."""
    views: tuple[TrackedView, ...]
    left_out: dict[str, str]
    """Pictures that are not in the capture, and why."""
    notes: tuple[str, ...]
    consent: str = ""


def write_rig(out: Path, tracked: TrackedRig) -> Path:
    """Write the capture; the folder appears when it is complete, and replaces one that is there.

    The world is the head's: it stays at the origin, upright, and the cameras stand around it.

    Raises:
        WriteError: the folder cannot be written.
        CaptureError: a camera looks away from the head or is farther away than a capture allows.
    """
    with whole_folder(out) as folder:
        pictures = (_picture(index, view) for index, view in enumerate(tracked.views))
        write_capture(folder, pictures, tracked.fit.params, overwrite=True, head_model=tracked.model)
        write_json(folder / REPORT, rig_report(tracked))
        rows = [SheetPictures(_title(view), _sheet(view, tracked)) for view in evenly_spaced(tracked.views, _ROWS)]
        write_sheet(folder / SHEET, rows)
    return out


def rig_report(tracked: TrackedRig) -> dict[str, Any]:
    """Return what was found and how sure it is, for the report."""
    fit = tracked.fit
    off = {row: float(each) for row, each in zip(fit.used, fit.fit.disagreement, strict=True)}
    turns = {row: float(each) for row, each in zip(fit.used, fit.fit.turns, strict=True)}
    rows = {camera.name: row for row, camera in enumerate(fit.cameras)}
    return {
        **making_fields(tracked.consent),
        "head_model": tracked.model.name,
        "cameras": {
            "source": "/".join(Path(tracked.rig.source).parts[-2:]),
            "kind": tracked.rig.kind,
            "metres_per_unit": fit.metres_per_unit,
            "scale": fit.scale_source,
            "head_relative_to_mean": round(fit.head_size, 4),
            "world_to_head": fit.world_to_head.tolist(),
        },
        "fit": {
            "faces": len(fit.used),
            "rms_of_face_width": round(float(fit.fit.disagreement.mean()), 5),
            "skin_points": fit.num_skin_points,
        },
        "pictures": [
            _entry(index, view, off.get(rows[view.view.camera.name]), turns.get(rows[view.view.camera.name]))
            for index, view in enumerate(tracked.views)
        ],
        "left_out": tracked.left_out,
        "notes": list(tracked.notes),
    }


def _picture(index: int, view: TrackedView) -> CameraPicture:
    camera = view.window.crop(view.view.pinhole)
    pose = np.linalg.inv(view.view.camera.world_to_camera) @ CAMERA_AXES
    intrinsics, cut = camera.intrinsics.double().numpy(), view.cut
    return CameraPicture(0, index, pose, intrinsics, cut.on_white, cut.matte, cut.hidden)


def _entry(index: int, view: TrackedView, off: float | None, turn: float | None) -> dict[str, Any]:
    camera, window = view.view.camera, view.window
    size = view.view.photo.size
    return {
        "camera_index": index,
        "camera": camera.name,
        "source": file_fields(view.view.photo.path, view.view.photo.sha256, size),
        "face": view.verdict,
        "confidence": None if view.face is None else round(view.face.confidence, 4),
        "turn_degrees": None if turn is None else round(turn, 2),
        "rms_of_face_width": None if off is None else round(off, 5),
        "focal_mm_of_35mm_film": round(in_mm(camera.focal[0], *size), 2),
        "straightened": view.view.shown is not None,
        "picture": window_fields(window),
        "foreground": view.cut.way.name,
    }


def _title(view: TrackedView) -> str:
    return f"{view.view.photo.path.name}: face {view.verdict or 'not found'}; foreground by {view.cut.way.name}"


def _sheet(view: TrackedView, tracked: TrackedRig) -> tuple[Float[np.ndarray, "h w 3"], ...]:
    cut, camera = view.cut, view.window.crop(view.view.pinhole)
    if view.face is None:
        meshed = mesh_over(cut.picture, tracked.vertices, tracked.model, camera)
        return cut.picture, cut.picture, meshed, cut.on_white
    return sheet_pictures(
        cut.picture, view.window, view.face, view.points, tracked.vertices, tracked.model, camera, cut.on_white
    )
