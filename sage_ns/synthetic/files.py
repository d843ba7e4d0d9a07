"""Text and ground-truth files of a synthetic capture: transforms, tracking report, true surface, readme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import ALL_FRAMES
from sage_ns.capture.writer import picture_name, write_transforms
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.regimes import Filming
from sage_ns.synthetic.render import StudioCamera
from sage_ns.synthetic.surface import Refinement

if TYPE_CHECKING:
    from sage_ns.synthetic import SyntheticCapture

_README = """Synthetic head capture ({who}), made by sage_ns: `sage-capture {command}`.

The person does not exist. Nothing here was recorded, scanned or downloaded; all of it is free to use.
Layout as VHAP exports it (metres, y up, cameras OpenGL camera-to-world, pictures on white):

  images/, fg_masks/                 {{timestep:05d}}_{{camera:02d}}.png, soft foreground masks
  flame_param/, canonical_flame_param.npz   the tracked parameters, with a small deliberate tracking error
{splits}
{driver}  head_model.npz                     the rig, in FLAME's layout (not FLAME: built by code)
  truth/surface.npz                  the true surface of timestep 0, or of all timesteps, metres
  cross/                             where it was asked for: this person with the expressions of the driver
  tracking_report.json               how far the written parameters are from the truth, millimetres
"""
_DRIVER = "  driver/                            another person's motion to drive the avatar with (parameters only)\n"


def _names(settings: SyntheticCapture) -> dict[str, str]:
    if settings.person is None:
        return {"who": f"seed {settings.seed}, {settings.hair} hair", "command": "synthesize"}
    return {"who": f"person {settings.person}", "command": f"synthesize --person {settings.person}"}


def frame_of(folder: Path, timestep: int, index: int, camera: StudioCamera) -> Frame:
    """Return a frame of a capture in ``folder``, whose pictures have VHAP's names."""
    name = picture_name(timestep, index)
    return Frame(
        timestep=timestep,
        camera_index=index,
        camera_id=f"{index:02d}",
        image_path=folder / "images" / name,
        mask_path=folder / "fg_masks" / name,
        flame_param_path=folder / "flame_param" / f"{timestep:05d}.npz",
        camera_to_world=camera.camera_to_world,
        fx=camera.focal,
        fy=camera.focal,
        cx=0.5 * camera.width,
        cy=0.5 * camera.height,
        width=camera.width,
        height=camera.height,
        source=str(folder),
    )


def write_descriptions(
    folder: Path, settings: SyntheticCapture, cameras: dict[int, StudioCamera], filming: Filming,
    model: HeadModel, rig: HeadModel, true: FlameParams,
    surfaces: list[Float[np.ndarray, "num_fine 3"]], refinement: Refinement,
) -> None:  # fmt: skip
    """Write transforms*.json, tracking_report.json, truth/surface.npz and readme.txt into the folder of a capture."""
    _write_transforms(folder, cameras, filming)
    report = _tracking_report(folder, model, true, surfaces)
    (folder / "tracking_report.json").write_text(json.dumps(report, indent=1) + "\n")
    splits = "\n".join(f"  {name:<35}{about}" for name, about in filming.about.items())
    (folder / "readme.txt").write_text(
        _README.format(**_names(settings), splits=splits, driver=_DRIVER if settings.num_driver_timesteps else "")
    )
    (folder / "truth").mkdir()
    triangles = refinement.fine_triangles.astype(np.int32)
    face = model.regions.vertex_mask("face", rig.num_vertices).numpy().astype(np.float64)
    on_face = (refinement.fine(face[:, None])[:, 0] > 0.5)[triangles].all(axis=1)
    count = 1 if settings.true_surfaces == "canonical" else len(surfaces)
    np.savez_compressed(
        folder / "truth" / "surface.npz",
        timesteps=np.arange(count, dtype=np.int32), vertices=np.stack(surfaces[:count]).astype(np.float32),
        triangles=triangles, face=on_face,
    )  # fmt: skip


def _write_transforms(folder: Path, cameras: dict[int, StudioCamera], filming: Filming) -> None:
    everything = [
        frame_of(folder, t, index, cameras[index]) for t, seen_by in enumerate(filming.seen_by) for index in seen_by
    ]
    splits = {
        name: [frame for frame in everything if belongs(frame.timestep, frame.camera_index)]
        for name, belongs in filming.splits.items()
    }
    write_transforms(folder, {ALL_FRAMES: everything, **splits})


def _tracking_report(
    folder: Path, model: HeadModel, true: FlameParams, surfaces: list[Float[np.ndarray, "num_fine 3"]]
) -> dict[str, Any]:
    """Measure distances (mm) of the rig's vertices to the true surface points that they represent."""
    written = FlameParams.load(folder / "flame_param")
    with torch.no_grad():
        truth = np.stack([surface[: model.num_vertices] for surface in surfaces])
        best = 1e3 * np.linalg.norm(pose_vertices(model, true).numpy() - truth, axis=-1)
        found = 1e3 * np.linalg.norm(pose_vertices(model, written).numpy() - truth, axis=-1)

    def columns(distances: np.ndarray) -> list[float]:
        rms = float(np.sqrt((distances**2).mean()))
        return [round(value, 4) for value in (float(distances.mean()), rms, float(np.quantile(distances, 0.95)))]

    return {
        "unit": "mm, rig vertex to ground-truth surface point",
        "columns": ["mean", "rms", "p95"],
        "fit": columns(best),
        "written": columns(found),
        "written_worst_frame": columns(found[int(found.mean(axis=1).argmax())]),
    }
