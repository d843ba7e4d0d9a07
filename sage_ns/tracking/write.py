"""Write a tracked photo as a capture in VHAP's layout, with a report and a contact sheet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.provenance import REPORT as REPORT
from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.raster import PinholeCamera
from sage_ns.rig import HeadModel
from sage_ns.system.files import whole_folder, write_json
from sage_ns.tracking.face import Face
from sage_ns.tracking.focal import FocalLength, in_mm
from sage_ns.tracking.landmark_fit import HeadFit
from sage_ns.tracking.overlay import COLUMNS, SheetPictures, landmarks_over, mesh_over, write_sheet
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.refiners import Refinement
from sage_ns.tracking.window import Window

SHEET = "tracking.png"
_DRAWING = "the drawing that it was compared with"
"""Column of the sheet, if the head was compared with one."""
NO_CONSENT = "Nobody has stated that the person agrees to an avatar. State it with --consent TEXT."


@dataclass(frozen=True, eq=False)
class TrackedPhoto:
    """Everything that was found in a photo."""

    photo: Photo
    model: HeadModel
    face: Face
    num_faces: int
    refined: Refinement
    vertices: Float[torch.Tensor, "num_vertices 3"]
    """Of the fitted head in the camera's axes, metres."""
    window: Window
    picture: Float[np.ndarray, "height width 3"]
    """Of the window, sRGB, 0..1."""
    matte: Float[np.ndarray, "height width"]
    on_white: Float[np.ndarray, "height width 3"]
    way: str
    """How the foreground was found."""
    notes: tuple[str, ...]
    """What the user should know."""
    consent: str = ""
    hidden: Float[np.ndarray, "height width"] | None = None
    """1 where clothes hide the neck; None where nothing is known to hide anything."""

    @property
    def fit(self) -> HeadFit:
        """The head, as refined."""
        return self.refined.fit


def write_tracked(out: Path, tracked: TrackedPhoto) -> Path:
    """Write the capture; the folder appears when it is complete, and replaces one that is there.

    The head stays at the world's origin, and the camera stands where the fit has found it.

    Raises:
        WriteError: the folder cannot be written.
    """
    fit, window = tracked.fit, tracked.window
    camera = window.camera(fit.focal, tracked.photo.size)
    at_origin = replace(fit.params, translation=torch.zeros_like(fit.params.translation))
    pose = np.eye(4)
    pose[:3, 3] = -fit.params.translation[0].double().numpy()
    intrinsics = camera.intrinsics.double().numpy()
    picture = CameraPicture(0, 0, pose, intrinsics, tracked.on_white, tracked.matte, tracked.hidden)
    with whole_folder(out) as folder:
        write_capture(folder, [picture], at_origin, overwrite=True, head_model=tracked.model)
        write_json(folder / REPORT, report(tracked))
        drawn = () if tracked.refined.drawing is None else (_DRAWING,)
        write_sheet(folder / SHEET, [SheetPictures(_title(tracked), _sheet(tracked))], (*COLUMNS, *drawn))
    return out


def report(tracked: TrackedPhoto) -> dict[str, Any]:
    """Return what was found, how sure it is, and where the photo came from, for `REPORT`."""
    photo, face, fit = tracked.photo, tracked.face, tracked.fit
    return {
        **source_fields(photo.path, photo.sha256, photo.size, tracked.consent),
        "head_model": tracked.model.name,
        "face": {
            "of_faces": tracked.num_faces,
            "box": [round(side, 1) for side in face.box],
            "width_px": round(fit.face_width, 1),
            "confidence": round(face.confidence, 4),
            "turn_degrees": round(fit.turn, 2),
        },
        "landmarks": {
            "rms_px": round(fit.rms, 3),
            "p95_px": round(float(fit.errors.quantile(0.95)), 3),
            "rms_of_face_width": round(fit.disagreement, 5),
        },
        "refinement": dict(tracked.refined.report),
        **camera_fields(photo.focal, fit.focal, photo.size, tracked.window),
        "foreground": tracked.way,
        "notes": list(tracked.notes),
    }


def source_fields(path: Path, sha256: str, size: tuple[int, int], consent: str) -> dict[str, Any]:
    """Return the fields of a report that say where it came from and whether the person agrees."""
    return {**making_fields(consent), "source": file_fields(path, sha256, size)}


def making_fields(consent: str) -> dict[str, Any]:
    """Return the fields of a report that say what made it and whether the person agrees."""
    import sage_ns

    return {
        "made_by": f"sage-track {sage_ns.__version__}",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "consent": consent,
        "consent_note": "" if consent else NO_CONSENT,
    }


def file_fields(path: Path, sha256: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return which file a picture or clip is, for a report."""
    return {"file": path.name, "sha256": sha256, "size": list(size)}


def window_fields(window: Window) -> dict[str, Any]:
    """Return which part of a picture is written, for a report."""
    return {
        "left": window.left,
        "top": window.top,
        "pixels_averaged": window.factor,
        "size": [window.width, window.height],
    }


def camera_fields(focal: FocalLength, found: float, size: tuple[int, int], window: Window) -> dict[str, Any]:
    """Return the fields of a report about the camera and the part of its pictures that is written.

    Args:
        focal: what was known about the focal length.
        found: focal length, pixels.
        size: width and height of the whole pictures.
        window: the part.
    """
    return {
        "focal_length": {
            "pixels": round(found, 2),
            "mm_of_35mm_film": round(in_mm(found, *size), 2),
            "source": focal.source,
            "fitted": focal.spread > 0,
        },
        "picture": window_fields(window),
    }


def focal_summary(focal: FocalLength, found: float, size: tuple[int, int]) -> str:
    """Return a focal length in words."""
    return f"{in_mm(found, *size):.0f} mm as for 35 mm film ({focal.source})"


def _title(tracked: TrackedPhoto) -> str:
    fit = tracked.fit
    return (
        f"{tracked.photo.path.name}: landmarks off by {fit.rms:.1f} px ({fit.disagreement:.1%} of the face), turned "
        f"{fit.turn:.0f} degrees, {focal_summary(tracked.photo.focal, fit.focal, tracked.photo.size)}"
    )


def _sheet(tracked: TrackedPhoto) -> tuple[Float[np.ndarray, "h w 3"], ...]:
    camera = tracked.window.camera(tracked.fit.focal, tracked.photo.size)
    shown = sheet_pictures(
        tracked.picture, tracked.window, tracked.face, tracked.fit.points, tracked.vertices, tracked.model, camera,
        tracked.on_white,
    )  # fmt: skip
    drawing = tracked.refined.drawing
    return shown if drawing is None else (*shown, drawing)


def sheet_pictures(
    picture: Float[np.ndarray, "h w 3"],
    window: Window,
    face: Face,
    points: Float[torch.Tensor, "478 2"],
    vertices: Float[torch.Tensor, "num_vertices 3"],
    model: HeadModel,
    camera: PinholeCamera,
    on_white: Float[np.ndarray, "h w 3"],
) -> tuple[Float[np.ndarray, "h w 3"], ...]:
    """Return the pictures of one row of the contact sheet (`sage_ns.tracking.overlay.COLUMNS`).

    Args:
        picture: of the window, 0..1.
        window: part of the whole picture.
        face: detected landmarks.
        points: those of the fitted head, pixels of the whole picture.
        vertices: of the fitted head.
        model: head model.
        camera: of the window.
        on_white: the foreground, 0..1.
    """
    corner = np.array([window.left, window.top])
    detected, fitted = ((each.double().numpy() - corner) / window.factor for each in (face.points[:, :2], points))
    marked = landmarks_over(picture, detected, fitted)
    return picture, marked, mesh_over(picture, vertices, model, camera), on_white
