"""Frames of one camera before which the tiny head turns, without pictures, for tests of what is chosen among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sage_ns.capture.frames import Frame
from sage_ns.rig import FlameParams, HeadModel


def still_camera() -> np.ndarray:
    """A metre in front of the head; OpenGL axes."""
    pose = np.eye(4)
    pose[2, 3] = 1.0
    return pose


def frame(timestep: int, camera_index: int = 0, pose: np.ndarray | None = None, image: Path | None = None) -> Frame:
    return Frame(
        timestep=timestep,
        camera_index=camera_index,
        camera_id=str(camera_index),
        image_path=image or Path(f"/nowhere/{timestep}.png"),
        mask_path=None,
        flame_param_path=Path(f"/nowhere/{timestep}.npz"),
        camera_to_world=still_camera() if pose is None else pose,
        fx=80.0,
        fy=80.0,
        cx=16.0,
        cy=20.0,
        width=32,
        height=40,
        source=f"frame {timestep}",
    )


def moment(model: HeadModel, yaw: float = 0.0, pitch: float = 0.0, expression: float = 0.0) -> FlameParams:
    """A head turned by ``yaw`` degrees to its left and ``pitch`` downwards."""
    neutral = FlameParams.neutral(model)
    expr = neutral.expr.clone()
    expr[:, 0] = expression
    turn = torch.deg2rad(torch.tensor([[pitch, yaw, 0.0]]))
    return replace(neutral, rotation=turn, expr=expr)
