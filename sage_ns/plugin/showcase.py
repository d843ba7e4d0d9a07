"""Write a contact sheet and a reenactment video of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.rig import FlameParams
from sage_ns.video.camera_paths import CameraPath, swaying
from sage_ns.video.contact_sheet import SheetRow, error_map, head_box, write_contact_sheet
from sage_ns.video.driving import as_motion
from sage_ns.video.reenact import reenact

if TYPE_CHECKING:
    from sage_ns.plugin.pipeline import SagePipeline

NUM_UNSEEN = 3
"""Number of unseen expressions in the contact sheet."""
FPS = 24
_MOST_SECONDS = 10
"""Limit of the length of the reenactment."""


def write_sheet(pipeline: SagePipeline, path: Path) -> None:
    """Write truth, render, normals and error of a training view, a novel view and the strongest unseen expressions."""
    model = pipeline.model
    rows = []
    for title, (camera, batch) in _chosen_pairs(pipeline):
        outputs = model.get_outputs_for_camera(camera)
        truth = batch["image"]
        box = head_box(truth, model.background)
        pictures = (truth, outputs["rgb"], outputs["normal"], error_map(outputs["rgb"], truth))
        rows.append(SheetRow(title, [each[box] for each in pictures]))
    write_contact_sheet(path, ("truth", "render", "normals", "error (x4)"), rows)


def write_reenactment(pipeline: SagePipeline, driver: Path, path: Path) -> None:
    """Write a video of the avatar under the driver's motion, or its own motion if the file does not exist.

    The camera sways around the first held-out camera of the run. The video shows each row for two frames and lasts at
    most ten seconds.
    """
    avatar, datamanager = pipeline.model.avatar, pipeline.datamanager
    motion = as_motion(driver) if driver.is_file() else avatar.motion.recorded()
    num_frames = max(2, min(2 * motion.params.num_timesteps, _MOST_SECONDS * FPS))
    held_out = datamanager.evaluation_pairs("val") or datamanager.evaluation_pairs("test")
    front = pinhole_camera(held_out[0][0]).to(avatar.device)
    middle = avatar.rig.vertices(avatar.motion.canonical()).mean(dim=0)
    times = torch.linspace(0, 1, num_frames, dtype=torch.float64).tolist()
    sway = CameraPath(tuple(swaying(front, middle, num_frames)), tuple(times), FPS)
    reenact(avatar, motion, sway, path, follow_head=True, overwrite=True)


def _chosen_pairs(pipeline: SagePipeline) -> list[tuple[str, tuple]]:
    """Return pairs of camera and batch with their titles."""
    datamanager, motion = pipeline.datamanager, pipeline.model.motion
    train = datamanager.training_pairs()
    chosen = [("training view", train[len(train) // 4])]
    chosen += [("novel view", pair) for pair in datamanager.evaluation_pairs("val")[:1]]
    canonical = motion.canonical()

    def strength(pair: tuple) -> float:
        return float((motion.at(pair[0]) - canonical)[FlameParams.FROM_NECK].square().sum())

    strongest: dict[int, tuple] = {}
    # Each moment from another camera: the sheet shows the head from several sides.
    for pair in sorted(datamanager.evaluation_pairs("test"), key=strength, reverse=True):
        moment, camera = _moment(pair), _camera_index(pair)
        used = {_camera_index(other) for other in strongest.values()}
        if moment not in strongest and camera not in used and len(strongest) < NUM_UNSEEN:
            strongest[moment] = pair
    return chosen + [(f"unseen expression (timestep {moment})", pair) for moment, pair in strongest.items()]


def _moment(pair: tuple) -> int:
    return int(pair[0].metadata["timestep"])


def _camera_index(pair: tuple) -> int:
    return int(pair[0].metadata["camera_index"])
