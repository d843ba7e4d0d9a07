"""Write a contact sheet and a reenactment video of a finished run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.capture.head_direction import SeenFrom, seen_at
from sage_ns.plugin.cameras import orbited, pinhole_camera
from sage_ns.rig import FlameParams
from sage_ns.synthetic.regimes import Regime
from sage_ns.video.camera_paths import CameraPath, swaying
from sage_ns.video.contact_sheet import SheetRow, error_map, head_box, write_contact_sheet
from sage_ns.video.driving import as_motion
from sage_ns.video.reenact import reenact

if TYPE_CHECKING:
    from sage_ns.plugin.pipeline import SagePipeline

NUM_UNSEEN = 3
"""Number of unseen expressions in the contact sheet."""
UNSEEN_SIDES = (90, 150)
"""Degrees from the front of the views in the contact sheet that no picture of one camera shows."""
HELD_OUT_YAWS = (30.0, -60.0, 90.0)
"""Degrees to the left of the face of the held-out cameras in the contact sheet of one picture."""
ASIDE, BEHIND = (45, 90), (150,)
"""Degrees from the front of its views without truth: where no camera is held out, and in any case."""
FPS = 24
_MOST_SECONDS = 10
"""Limit of the length of the reenactment."""


def write_sheet(pipeline: SagePipeline, path: Path, regime: Regime = "multiview", driver: Path | None = None) -> None:
    """Write truth, render, normals and error of the views that show what a regime is good and bad at.

    Where the capture holds no expressions back, the sheet shows some of the ``driver`` (a motion file) without truth.
    """
    rows = SHEETS[regime](pipeline)
    if driver is not None and driver.is_file() and not pipeline.datamanager.evaluation_pairs("test"):
        rows += _driven_rows(pipeline, driver)
    write_contact_sheet(path, ("truth", "render", "normals", "error (x4)"), rows)


def write_reenactment(pipeline: SagePipeline, driver: Path, path: Path) -> None:
    """Write a video of the avatar under the driver's motion, or its own motion if the file does not exist.

    The camera sways around the most frontal of the held-out cameras. The video shows each row for two frames and lasts
    at most ten seconds.
    """
    avatar = pipeline.model.avatar
    motion = as_motion(driver) if driver.is_file() else avatar.motion.recorded()
    num_frames = max(2, min(2 * motion.params.num_timesteps, _MOST_SECONDS * FPS))
    front = pinhole_camera(_front_camera(pipeline)).to(avatar.device)
    times = torch.linspace(0, 1, num_frames, dtype=torch.float64).tolist()
    sway = CameraPath(tuple(swaying(front, _middle(pipeline), num_frames)), tuple(times), FPS)
    reenact(avatar, motion, sway, path, follow_head=True, overwrite=True)


def _multiview_rows(pipeline: SagePipeline) -> list[SheetRow]:
    """Return a training view, a novel view and the strongest unseen expressions."""
    train = pipeline.datamanager.training_pairs()
    pairs = [("training view", train[len(train) // 4])]
    pairs += [("novel view", pair) for pair in pipeline.datamanager.evaluation_pairs("val")[:1]]
    return [_row(pipeline, title, pair) for title, pair in pairs + _unseen_expressions(pipeline)]


def _monocular_rows(pipeline: SagePipeline) -> list[SheetRow]:
    """Return the frontal picture, the farthest turns, unseen expressions, and sides that no picture shows."""
    train = pipeline.datamanager.training_pairs()
    seen = _seen_from(pipeline, [camera for camera, _ in train])
    chosen = [int(seen.off_front.argmin()), int(seen.yaw.argmax()), int(seen.yaw.argmin())]
    pairs = [(_direction("training view", seen, row), train[row]) for row in dict.fromkeys(chosen)]
    held_out = pipeline.datamanager.evaluation_pairs("val")
    if held_out:
        seen = _seen_from(pipeline, [camera for camera, _ in held_out])
        row = int(seen.off_front.argmax())
        pairs.append((_direction("held-out camera", seen, row), held_out[row]))
    rows = [_row(pipeline, title, pair) for title, pair in pairs + _unseen_expressions(pipeline)]
    return rows + _guessed_rows(pipeline, train[chosen[0]][0], UNSEEN_SIDES)


def _oneshot_rows(pipeline: SagePipeline) -> list[SheetRow]:
    """Return the picture, held-out cameras from the front to the sides, unseen expressions, and the back."""
    photo = pipeline.datamanager.training_pairs()[0]
    pairs = [("the picture", photo)]
    held_out = pipeline.datamanager.evaluation_pairs("val")
    if held_out:
        seen = _seen_from(pipeline, [camera for camera, _ in held_out])
        rows = [int((seen.yaw - yaw).abs().argmin()) for yaw in HELD_OUT_YAWS]
        pairs += [(_direction("held-out camera", seen, row), held_out[row]) for row in dict.fromkeys(rows)]
    rows = [_row(pipeline, title, pair) for title, pair in pairs + _unseen_expressions(pipeline)]
    return rows + _guessed_rows(pipeline, photo[0], BEHIND if held_out else (*ASIDE, *BEHIND))


def _guessed_rows(pipeline: SagePipeline, front: Cameras, angles: Sequence[int]) -> list[SheetRow]:
    """Return rows of the canonical moment from angles [degrees] at which no camera stood."""
    rows, middle = [], _middle(pipeline)
    for angle in angles:
        camera = orbited(front, middle, math.radians(angle))
        rows.append(_row_without_truth(pipeline, f"{angle} degrees from the front: no picture shows it", camera))
    return rows


def _driven_rows(pipeline: SagePipeline, driver: Path) -> list[SheetRow]:
    """Return rows of the strongest expressions of a motion, far from each other in time, seen from the front."""
    avatar = pipeline.model.avatar
    motion, canonical = avatar.fit(as_motion(driver).params).to(avatar.device), avatar.motion.canonical()
    strength = (motion - canonical)[:, FlameParams.FROM_NECK].square().sum(dim=1)
    front, rows = _front_camera(pipeline), []
    for part in range(NUM_UNSEEN):
        first, last = (len(strength) * each // NUM_UNSEEN for each in (part, part + 1))
        row = first + int(strength[first:last].argmax())
        still = torch.cat([canonical[: FlameParams.FROM_NECK.start], motion[row, FlameParams.FROM_NECK]])
        rows.append(_row_without_truth(pipeline, f"driven, moment {row}: no picture shows it", front, still))
    return rows


SHEETS: Mapping[Regime, Callable[[SagePipeline], list[SheetRow]]] = {
    "multiview": _multiview_rows,
    "monocular": _monocular_rows,
    "oneshot": _oneshot_rows,
}
"""Rows of the contact sheet of each regime."""


def _row(pipeline: SagePipeline, title: str, pair: tuple) -> SheetRow:
    camera, batch = pair
    outputs, truth = pipeline.model.get_outputs_for_camera(camera), batch["image"]
    box = head_box(truth, pipeline.model.background)
    pictures = (truth, outputs["rgb"], outputs["normal"], error_map(outputs["rgb"], truth))
    return SheetRow(title, [each[box] for each in pictures])


def _row_without_truth(
    pipeline: SagePipeline, title: str, camera: Cameras, motion: Float[Tensor, "num_coefficients"] | None = None
) -> SheetRow:
    """Return a row of a moment, by default the canonical one, that no camera saw from there."""
    model = pipeline.model
    outputs = model.draw_outputs(camera, model.motion.canonical() if motion is None else motion)
    box = head_box(outputs["rgb"], model.background)
    blank = torch.ones_like(outputs["rgb"])
    return SheetRow(title, [each[box] for each in (blank, outputs["rgb"], outputs["normal"], blank)])


def _unseen_expressions(pipeline: SagePipeline) -> list[tuple[str, tuple]]:
    """Return pairs of camera and batch with their titles: the strongest expressions, each from another camera."""
    motion = pipeline.model.motion
    canonical = motion.canonical()

    def strength(pair: tuple) -> float:
        return float((motion.at(pair[0]) - canonical)[FlameParams.FROM_NECK].square().sum())

    strongest: dict[int, tuple] = {}
    # Each moment from another camera: the sheet shows the head from several sides.
    for pair in sorted(pipeline.datamanager.evaluation_pairs("test"), key=strength, reverse=True):
        moment, camera = _moment(pair[0]), _camera_index(pair[0])
        used = {_camera_index(other[0]) for other in strongest.values()}
        if moment not in strongest and camera not in used and len(strongest) < NUM_UNSEEN:
            strongest[moment] = pair
    return [(f"unseen expression (timestep {moment})", pair) for moment, pair in strongest.items()]


def _front_camera(pipeline: SagePipeline) -> Cameras:
    """Return the held-out camera that sees the face most from the front; of the training ones if none is held out."""
    datamanager = pipeline.datamanager
    pairs = [
        *datamanager.evaluation_pairs("val"),
        *datamanager.evaluation_pairs("test"),
    ] or datamanager.training_pairs()
    cameras = [camera for camera, _ in pairs]
    return cameras[int(_seen_from(pipeline, cameras, canonical=True).off_front.argmin())]


def _seen_from(pipeline: SagePipeline, cameras: Sequence[Cameras], canonical: bool = False) -> SeenFrom:
    """Return the directions that cameras see the tracked head from, at their own moments or at the canonical one."""
    record = pipeline.datamanager.train_dataset.record
    moments = torch.tensor([_moment(camera) for camera in cameras])
    rows = torch.searchsorted(record.timesteps.cpu(), moments)
    rows = torch.full_like(rows, record.canonical_row) if canonical else rows
    centers = torch.cat([camera.camera_to_worlds.reshape(-1, 3, 4)[:, :, 3] for camera in cameras]).cpu()
    return seen_at(centers, record.flame_params[rows], record.head_model)


def _direction(what: str, seen: SeenFrom, row: int) -> str:
    yaw = round(float(seen.yaw[row]))
    place = f"{abs(yaw)} degrees to the {'left' if yaw > 0 else 'right'} of the face" if yaw else "in front of the face"
    return f"{what}, {place}"


def _middle(pipeline: SagePipeline) -> Float[Tensor, "3"]:
    """Return the middle of the canonical head, metres."""
    avatar = pipeline.model.avatar
    return avatar.rig.vertices(avatar.motion.canonical()).mean(dim=0)


def _moment(camera: Cameras) -> int:
    return int((camera.metadata or {})["timestep"])


def _camera_index(camera: Cameras) -> int:
    return int((camera.metadata or {})["camera_index"])
