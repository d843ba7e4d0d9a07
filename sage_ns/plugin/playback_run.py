"""Write an avatar without a training as a nerfstudio run, for nerfstudio's viewer and commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.capture.record import CaptureRecord
from sage_ns.plugin.checkpoints import CheckpointHeader, write_checkpoint
from sage_ns.plugin.methods import configured
from sage_ns.plugin.snapshot import SnapshotDataParserConfig, save_snapshot, snapshot_path
from sage_ns.plugin.trainer import SageTrainerConfig
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams

_WIDTH, _HEIGHT = 275, 401
"""Size in pixels of the run's only camera; viewers choose their own size."""


def write_playback_run(avatar: Avatar, run_dir: Path) -> Path:
    """Write a run folder (config, checkpoint, motion, one camera) that draws ``avatar``; return its config.yml.

    ns-viewer, ns-render camera-path and sage-render take the folder like a trained run. It has no pictures to
    evaluate on.

    Args:
        avatar: the avatar to draw.
        run_dir: folder to create, OUTPUT/EXPERIMENT/METHOD/TIMESTAMP in nerfstudio's layout.
    """
    camera = avatar.front_camera(_WIDTH, _HEIGHT)
    picture = avatar.render(avatar.motion.canonical(), camera).cpu()
    outputs = _dataset(avatar, camera)
    save_snapshot(snapshot_path(run_dir), {split: outputs for split in ("train", "val", "test")}, [picture])
    config = _config(avatar, run_dir)
    pipeline: Any = config.pipeline.setup(device="cpu", test_mode="inference")
    pipeline.model.avatar.load_state_dict(avatar.state_dict())
    header = CheckpointHeader(0, {"reconstruct": 1})
    write_checkpoint(config.get_checkpoint_dir(), header, {"pipeline": pipeline.state_dict()})
    return config.write()


def _config(avatar: Avatar, run_dir: Path) -> SageTrainerConfig:
    snapshot, look = snapshot_path(run_dir), avatar.look
    num_rest = avatar.surfels.sh_rest.shape[1]
    overrides = {
        "output_dir": run_dir.parents[2],
        "experiment_name": run_dir.parents[1].name,
        "method_name": run_dir.parent.name,
        "timestamp": run_dir.name,
        "pipeline.datamanager.dataparser": SnapshotDataParserConfig(data=snapshot),
        "pipeline.datamanager.run_dir": run_dir,
        "pipeline.model.num_surfels": avatar.surfels.num_surfels,
        "pipeline.model.sh_degree": round((num_rest + 1) ** 0.5) - 1,
        "pipeline.steps.reconstruct": 1,
        "pipeline.model.networks": False,
        "pipeline.model.mouth": avatar.mouth is not None,
        "pipeline.model.correction": look.correction,
        "pipeline.model.wrinkles": look.wrinkles,
        "pipeline.model.dark_interior": look.dark_interior,
        "pipeline.model.supersampling": look.supersampling,
    }
    return configured("surfels", data=snapshot, overrides=overrides)


def _dataset(avatar: Avatar, camera: PinholeCamera) -> DataparserOutputs:
    """Return dataparser outputs with one camera in front of the face at the canonical moment."""
    motion, head_model = avatar.motion, avatar.rig.head_model.to("cpu")
    rows, row = motion.motion.cpu(), int(motion.canonical_row)
    vertices = avatar.poses.at(motion.canonical()).vertices.cpu()
    low, high = vertices.aminmax(dim=0)
    timesteps = motion.timesteps.cpu()
    cameras = Cameras(
        camera_to_worlds=_camera_to_world(camera)[None],
        fx=float(camera.intrinsics[0, 0]),
        fy=float(camera.intrinsics[1, 1]),
        cx=float(camera.intrinsics[0, 2]),
        cy=float(camera.intrinsics[1, 2]),
        width=camera.width,
        height=camera.height,
        times=torch.tensor([[row / max(len(rows) - 1, 1)]]),
        camera_type=CameraType.PERSPECTIVE,
        metadata={
            "timestep": timesteps[row].reshape(1, 1),
            "camera_index": torch.zeros(1, 1, dtype=torch.int64),
            "motion": rows[row][None],
        },
    )
    record = CaptureRecord(
        head_model=head_model,
        flame_params=FlameParams.from_motion_vector(rows),
        timesteps=timesteps,
        canonical_row=row,
        train_timesteps=timesteps[row].reshape(1),
        test_timesteps=timesteps[:0],
        train_camera_centers=camera.center.cpu()[None],
        background=avatar.background.cpu(),
        provenance=avatar.provenance,
    )
    box = SceneBox(aabb=torch.stack([low, high]))
    return DataparserOutputs([Path("front.png")], cameras, scene_box=box, metadata=record.metadata())


def _camera_to_world(camera: PinholeCamera) -> Float[Tensor, "3 4"]:
    """Return the camera-to-world matrix in nerfstudio's axes (x right, y up, z back)."""
    to_world = torch.linalg.inv(camera.T_camera_world.cpu())[:3]
    return to_world * to_world.new_tensor([1.0, -1.0, -1.0, 1.0])
