"""Write a tracked photo as a capture in VHAP's layout, with a report and a contact sheet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.writer import CameraPicture, write_capture
from sage_ns.rig import HeadModel
from sage_ns.system.files import whole_folder, write_json
from sage_ns.tracking.face import Face
from sage_ns.tracking.focal import FocalLength, in_mm
from sage_ns.tracking.landmark_fit import HeadFit
from sage_ns.tracking.overlay import landmarks_over, mesh_over, write_sheet
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.refiners import Refinement
from sage_ns.tracking.window import Window

REPORT, SHEET = "tracking.json", "tracking.png"
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
    picture = CameraPicture(0, 0, pose, camera.intrinsics.double().numpy(), tracked.on_white, tracked.matte, "train")
    with whole_folder(out) as folder:
        write_capture(folder, [picture], at_origin, overwrite=True, head_model=tracked.model)
        write_json(folder / REPORT, report(tracked))
        write_sheet(folder / SHEET, _sheet(tracked), _title(tracked))
    return out


def report(tracked: TrackedPhoto) -> dict[str, Any]:
    """Return what was found, how sure it is, and where the photo came from, for `REPORT`."""
    import sage_ns

    photo, face, fit, window = tracked.photo, tracked.face, tracked.fit, tracked.window
    focal = photo.focal
    return {
        "made_by": f"sage-track {sage_ns.__version__}",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "source": {"file": photo.path.name, "sha256": photo.sha256, "size": list(photo.size)},
        "consent": tracked.consent,
        "consent_note": "" if tracked.consent else NO_CONSENT,
        "head_model": tracked.model.name,
        "face": {
            "of_faces": tracked.num_faces,
            "box": [round(side, 1) for side in face.box],
            "width_px": round(fit.face_width, 1),
            "confidence": round(face.confidence, 4),
            "turn_degrees": round(fit.turn, 2),
        },
        "focal_length": {
            "pixels": round(fit.focal, 2),
            "mm_of_35mm_film": round(in_mm(fit.focal, *photo.size), 2),
            "source": focal.source,
            "fitted": focal.spread > 0,
        },
        "landmarks": {
            "rms_px": round(fit.rms, 3),
            "p95_px": round(float(fit.errors.quantile(0.95)), 3),
            "rms_of_face_width": round(fit.disagreement, 5),
        },
        "refinement": dict(tracked.refined.report),
        "picture": {
            "left": window.left,
            "top": window.top,
            "pixels_averaged": window.factor,
            "size": [window.width, window.height],
        },
        "foreground": tracked.way,
        "notes": list(tracked.notes),
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


def _sheet(tracked: TrackedPhoto) -> dict[str, Float[np.ndarray, "h w 3"]]:
    window = tracked.window
    camera = window.camera(tracked.fit.focal, tracked.photo.size)
    corner = np.array([window.left, window.top])
    detected, fitted = (
        (points.double().numpy() - corner) / window.factor
        for points in (tracked.face.points[:, :2], tracked.fit.points)
    )
    drawing = tracked.refined.drawing
    return {
        "picture": tracked.picture,
        "landmarks: detected green, fitted red": landmarks_over(tracked.picture, detected, fitted),
        "fitted head": mesh_over(tracked.picture, tracked.vertices, tracked.model, camera),
        **({} if drawing is None else {"the drawing that it was compared with": drawing}),
        "foreground on white": tracked.on_white,
    }
