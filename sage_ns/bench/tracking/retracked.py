"""What an avatar loses when `sage-track` tracks its pictures instead of the tracker of the capture.

    sage-track fk01/front.png fk01_tracked --head-model head_model.pkl
    python -m sage_ns.bench.tracking.retracked fk01_oneshot fk01_tracked fk01_again --head-model head_model.pkl
    sage-bench fk01_oneshot fk01_again ...

The three folders lie side by side. The new capture has the training pictures as `sage-track` has tracked them, and the
held-out pictures of the delivered capture. These have to be placed in the world of the tracked head, whose size, place
and identity differ. Where three cameras or more have taken the same pictures in both, a similarity takes the delivered
cameras to the tracked ones; else one takes the delivered face to the tracked one, at the moment that the camera sees
most from the front. The cameras move along, and the head of each held-out moment has the delivered motion, the tracked
identity, and the place at which its face lies nearest. No held-out picture is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.capture.flame_table import load_tracking
from sage_ns.capture.frames import Frame, read_frames
from sage_ns.capture.layout import TEST, TRAIN, VAL, Capture, read_capture
from sage_ns.capture.writer import refuse_used_folder, write_transforms
from sage_ns.errors import CaptureError, show_as_panels
from sage_ns.evaluation.tracked_head import require_same_vertices
from sage_ns.geometry.rotations import matrix_to_axis_angle
from sage_ns.geometry.similarity import Similarity, rigid_motion, similarity
from sage_ns.rig import HEAD_MODEL_FILE, FlameParams, HeadModel, find_head_model, load_head_model
from sage_ns.rig.flame_params import concatenate
from sage_ns.rig.skinning import joints, pose_vertices
from sage_ns.system.console import console
from sage_ns.system.files import read_json, whole_folder
from sage_ns.system.user_files import sha256_of
from sage_ns.tracking.write import REPORT

_FEWEST_CAMERAS = 3
"""Places that determine a similarity."""


@dataclass(frozen=True)
class Placement:
    """How the delivered world lies in the tracked one."""

    scale: float
    """Length in the tracked world of one metre of the delivered one."""
    face_error_mm: float
    """Mean distance of corresponding points of the faces after the similarity, at the moment that it is made for."""
    num_moments: int


def retrack(
    delivered: Path, tracked: Path, out: Path, moments: Sequence[int], head_model: Path | None = None
) -> Placement:
    """Write a capture that trains on a tracked capture and is tested on the held-out pictures of the delivered one.

    Args:
        delivered: capture with held-out pictures.
        tracked: what `sage-track` has made of the delivered capture's training pictures, with the same head model.
        out: folder to create. All three lie in one folder.
        moments: timestep id in the delivered capture of each moment of the tracked one.
        head_model: file of the delivered capture's head model; None = the one found near it.

    Raises:
        CaptureError: the folders do not lie side by side, or `moments` does not fit.
        SageError: the head models differ: the same parameters would mean another motion.
    """
    delivered, tracked, out = (path.resolve() for path in (delivered, tracked, out))
    if len({path.parent for path in (delivered, tracked, out)}) > 1:
        raise CaptureError(f"{delivered}, {tracked} and {out} do not lie side by side; move them into one folder")
    refuse_used_folder(out, overwrite=False)
    model = load_head_model(tracked / HEAD_MODEL_FILE)
    _require_same_motion(model, load_head_model(find_head_model(head_model, delivered)), str(delivered))
    own = FlameParams.load(tracked / "flame_param").check_fits(model)
    if len(moments) != own.num_timesteps:
        raise CaptureError(f"{tracked} has {own.num_timesteps} moments, but {len(moments)} of {delivered} were named")
    source = read_capture(delivered)
    theirs = _motions(source, moments, model)
    report = _report(tracked)
    reference = _most_frontal(report)
    placed = world_of_cameras(source, tracked, report) or world_of(theirs[reference], own[reference], model)
    seen = {timestep: row for row, timestep in enumerate(moments)}
    ids = sorted({frame.timestep for frame in (*source.test, *source.val)} - set(seen))
    # Other cameras of a moment that was tracked see the head as it was tracked.
    rows = seen | {timestep: own.num_timesteps + row for row, timestep in enumerate(ids)}
    heads = [own, *([placed_motion(_motions(source, ids, model), own, model, placed)] if ids else [])]
    with whole_folder(out) as folder:

        def held_out(frame: Frame) -> Frame:
            moved = replace(frame, camera_to_world=moved_camera(frame.camera_to_world, placed))
            return _with_parameters(moved, rows[frame.timestep], folder)

        concatenate(heads).save_vhap(folder / "flame_param")
        train = [_with_parameters(frame, frame.timestep, folder) for frame in _training(tracked, source.val, report)]
        splits = {TRAIN: train, VAL: [*map(held_out, source.val)], TEST: [*map(held_out, source.test)]}
        write_transforms(folder, splits, "world")
        copyfile(tracked / HEAD_MODEL_FILE, folder / HEAD_MODEL_FILE)
    faces = _face(theirs[reference], model), _face(own[reference], model)
    error = (_world_points(placed, faces[0]) - faces[1]).norm(dim=-1).mean()
    return Placement(placed.scale, 1000 * float(error), own.num_timesteps)


def world_of(delivered: FlameParams, tracked: FlameParams, model: HeadModel) -> Similarity:
    """Return the similarity from the delivered world to the tracked one, by the faces of corresponding moments."""
    return similarity(_face(delivered, model).flatten(0, 1), _face(tracked, model).flatten(0, 1))


def world_of_cameras(delivered: Capture, tracked: Path, report: Mapping[str, Any]) -> Similarity | None:
    """Return the similarity that takes the delivered cameras to the tracked ones; None for fewer than three.

    Args:
        delivered: capture.
        tracked: folder of the other one.
        report: what `sage-track` has written beside it, which says of which picture each camera is.
    """
    cameras = {each["source"]["sha256"]: each["camera_index"] for each in report.get("pictures", [])}
    found = {frame.camera_index: frame.camera_to_world[:3, 3] for frame in read_frames(tracked / TRAIN)}
    pairs = [
        (frame.camera_to_world[:3, 3], found[index])
        for frame in (delivered.train if cameras else ())
        if (index := cameras.get(sha256_of(frame.image_path, CaptureError), -1)) in found
    ]
    if len(pairs) < _FEWEST_CAMERAS:
        return None
    theirs, ours = (torch.from_numpy(np.stack(each)) for each in zip(*pairs, strict=True))
    return similarity(theirs, ours)


def placed_motion(delivered: FlameParams, tracked: FlameParams, model: HeadModel, placed: Similarity) -> FlameParams:
    """Return a motion with the tracked identity, each head where its face lies nearest to the delivered one.

    Neck, jaw, eyes and expression are the delivered ones.

    Args:
        delivered: motion in the delivered world.
        tracked: parameters with the tracked identity.
        model: head model of both.
        placed: map from the delivered world to the tracked one.
    """
    goal = _world_points(placed, _face(delivered, model))
    upright = replace(
        delivered.with_identity(tracked),
        rotation=torch.zeros_like(delivered.rotation),
        translation=torch.zeros_like(delivered.translation),
    )
    face, root = _face(upright, model), joints(model, upright)[:, 0].to(goal)
    turns, places = [], []
    for row in range(len(goal)):
        nearest = rigid_motion(face[row], goal[row])  # the head keeps its size
        turns.append(matrix_to_axis_angle(nearest.rotation))
        places.append(nearest(root[row : row + 1])[0] - root[row])
    return replace(
        upright,
        rotation=torch.stack(turns).to(delivered.rotation),
        translation=torch.stack(places).to(delivered.translation),
    )


def moved_camera(pose: Float[np.ndarray, "4 4"], placed: Similarity) -> Float[np.ndarray, "4 4"]:
    """Return where a similarity takes a camera; the picture of what moves along stays the same."""
    rotation, translation = placed.rotation.double().numpy(), placed.translation.double().numpy()
    moved = np.eye(4)
    moved[:3, :3] = rotation @ pose[:3, :3]
    moved[:3, 3] = placed.scale * rotation @ pose[:3, 3] + translation
    return moved


def moments_of_a_film(tracked: Path, delivered: Path, frames_per_second: float) -> list[int]:
    """Return the delivered timestep of each moment of a tracked clip whose film shows the training pictures in order.

    Raises:
        CaptureError: the report of the tracked clip names a frame that the delivered capture does not have.
    """
    ids = sorted({frame.timestep for frame in read_frames(delivered / TRAIN)})
    rows = [round(float(each["seconds"]) * frames_per_second) for each in _report(tracked).get("frames", [])]
    if not rows or max(rows) >= len(ids):
        raise CaptureError(
            f"{tracked / REPORT} names {len(rows)} frames, the last at row {max(rows, default=-1)}, but {delivered} "
            f"has {len(ids)} training moments; is the frame rate {frames_per_second}?"
        )
    return [ids[row] for row in rows]


def _report(tracked: Path) -> Mapping[str, Any]:
    """Return what `sage-track` has written beside a capture; nothing if it is not there."""
    return read_json(tracked / REPORT) or {}


def _most_frontal(report: Mapping[str, Any]) -> int:
    """Return the row of a tracked clip whose face turns away least; 0 for one moment. Turned heads are off by degrees,
    which must not displace the whole world."""
    turns = [float(each["turn_degrees"]) for each in report.get("frames", [])]
    return min(range(len(turns)), key=lambda row: turns[row]) if turns else 0


def _training(tracked: Path, held_out: Sequence[Frame], report: Mapping[str, Any]) -> list[Frame]:
    """Return the tracked pictures but those that the delivered capture keeps for validation."""
    kept = {sha256_of(frame.image_path, CaptureError) for frame in held_out}
    cameras = {each["camera_index"] for each in report.get("pictures", []) if each["source"]["sha256"] in kept}
    return [frame for frame in read_frames(tracked / TRAIN) if frame.camera_index not in cameras]


def _require_same_motion(tracked: HeadModel, delivered: HeadModel, name: str) -> None:
    require_same_vertices(tracked, delivered, name)
    bases = tracked.expression_basis, delivered.expression_basis
    if bases[0].shape != bases[1].shape or not torch.allclose(*bases, atol=1e-6):
        raise CaptureError(
            f"{name}: the expressions of its head model '{delivered.name}' are not those of '{tracked.name}', which it "
            "was tracked with; track with the head model of the capture"
        )


def _motions(capture: Capture, ids: Sequence[int], model: HeadModel) -> FlameParams:
    unknown = [timestep for timestep in ids if timestep not in capture.flame_param_paths]
    if unknown:
        raise CaptureError(f"{capture.folder} has no timestep {unknown[0]}; it has {list(capture.flame_param_paths)}")
    moments = load_tracking({timestep: capture.flame_param_paths[timestep] for timestep in ids}, model)
    return concatenate([moments[timestep] for timestep in ids])


def _face(params: FlameParams, model: HeadModel) -> Float[Tensor, "t n 3"]:
    """Vertices of the face in double precision."""
    face: Int[Tensor, "n"] = model.regions.vertices("face")
    return pose_vertices(model, params)[:, face].double()


def _world_points(placed: Similarity, points: Float[Tensor, "t n 3"]) -> Float[Tensor, "t n 3"]:
    return placed(points.flatten(0, 1)).unflatten(0, points.shape[:2])


def _with_parameters(frame: Frame, timestep: int, folder: Path) -> Frame:
    return replace(frame, timestep=timestep, flame_param_path=folder / "flame_param" / f"{timestep:05d}.npz")


def main(
    delivered: Annotated[Path, tyro.conf.Positional],
    tracked: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    moments: tuple[int, ...] = (0,),
    film_rate: float | None = None,
    head_model: Path | None = None,
) -> None:
    """Write a capture that trains on a tracked capture and is tested on the held-out pictures of the delivered one.

    Args:
        delivered: capture with held-out pictures.
        tracked: what sage-track has made of its training pictures.
        out: folder to create, beside the other two.
        moments: timestep in the delivered capture of each moment of the tracked one.
        film_rate: for a tracked clip, instead of moments: frames per second of the film, which shows the training
            pictures of the delivered capture in order.
        head_model: head model file of the delivered capture; default: the one found near it.
    """
    show_as_panels()
    named = list(moments) if film_rate is None else moments_of_a_film(tracked, delivered, film_rate)
    placed = retrack(delivered, tracked, out, named, head_model)
    console().print(
        f"{placed.num_moments} common moments; faces {placed.face_error_mm:.2f} mm apart; the tracked head is "
        f"{placed.scale:.3f} times as large",
        soft_wrap=True,
    )


if __name__ == "__main__":
    tyro.cli(main)
