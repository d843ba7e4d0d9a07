"""Files of other trackers, as their users have them: one known person of a rig as large as FLAME, in every layout.

Every layout comes with the pixels in which its program sees the head; they are computed here from the program's own
formulas, not from the reader's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from tests.tiny import blown_up, tiny_head_model, tiny_params

COUNT = 3
"""Moments of every file."""
LIDS = torch.tensor([[0.0, 0.0], [0.9, 0.1], [0.05, 0.0]])
"""Left and right; the left one closes at moment 1."""
FOCAL, POINT, SIDE = 3.5, (0.02, -0.03), 256
"""Pixel3DMM's "fl", "pp" and "img_size"."""


@cache
def flame(name: str = "generic_model") -> HeadModel:
    """A rig with the numbers of vertices and coefficients of FLAME; only some of the directions move vertices."""
    return replace(blown_up(tiny_head_model(num_expression=100), 5023), name=name)


@cache
def person() -> FlameParams:
    """Moments without a camera: identity, neck, jaw, eyes, expression, and a head that turns and moves."""
    params = tiny_params(flame(), COUNT, size=0.1)
    shape = torch.cat([params.shape[:8], torch.zeros(292)])
    jaw = torch.cat([params.jaw_pose[:, :1].abs(), 0.1 * params.jaw_pose[:, 1:]], dim=1)
    return replace(params, shape=shape, static_offset=None, jaw_pose=jaw)


def six(axis_angle: Tensor) -> np.ndarray:
    """The first two rows of each rotation matrix, as PyTorch3D flattens them."""
    return axis_angle_to_matrix(axis_angle.reshape(-1, 3))[:, :2].reshape(1, -1).numpy()


def sheap(**changes: Any) -> dict[str, Any]:
    """What SHeaP returns for all moments; a change to None leaves a field out."""
    params = person()
    return _given(
        {
            "shape_from_facenet": params.shape.expand(COUNT, 300).clone(),
            "expr": params.expr,
            "torso_pose": params.rotation,
            "neck_pose": params.neck_pose,
            "jaw_pose": params.jaw_pose,
            "eye_l_pose": params.eyes_pose[:, :3].contiguous(),
            "eye_r_pose": params.eyes_pose[:, 3:].contiguous(),
            "cam_trans": params.translation,
            "eyelids": LIDS.flip(1),
        },
        changes,
    )


def sheap_pixels() -> np.ndarray:
    """Where SHeaP sees the vertices in its crop of 224 pixels: a camera of 14.2539 degrees at z = 1."""
    vertices = pose_vertices(flame(), person()).double().numpy()
    focal = 112 / math.tan(math.radians(14.2539) / 2)
    depth = 1.0 - vertices[..., 2]
    return np.stack([112 + focal * vertices[..., 0] / depth, 112 - focal * vertices[..., 1] / depth], axis=-1)


def smirk(**changes: Any) -> dict[str, Any]:
    """What SMIRK's encoder returns for all moments."""
    params = person()
    return _given(
        {
            "shape_params": params.shape.expand(COUNT, 300).clone(),
            "expression_params": params.expr[:, :50].contiguous(),
            "pose_params": params.rotation,
            "jaw_params": params.jaw_pose,
            "eyelid_params": LIDS,
            "cam": torch.tensor([[9.0, 0.01, 0.02]]).expand(COUNT, 3).clone(),
        },
        changes,
    )


def smirk_pixels() -> np.ndarray:
    """Where SMIRK sees the vertices in its crop of 224 pixels: s (x + t) with y down, -1..1 over the crop."""
    params = person()
    expr = torch.cat([params.expr[:, :50], torch.zeros(COUNT, 50)], dim=1)
    rest = torch.zeros(COUNT, 3)
    posed = replace(params, expr=expr, neck_pose=rest, eyes_pose=torch.zeros(COUNT, 6), translation=rest)
    vertices = pose_vertices(flame(), posed).double().numpy()
    seen = 9.0 * (vertices[..., :2] + np.array([0.01, 0.02])) * np.array([1.0, -1.0])
    return 112 * (1 + seen)


def world_to_camera(moment: int) -> tuple[np.ndarray, np.ndarray]:
    """A camera of OpenGL's axes a metre before the head, a little turned."""
    turn = axis_angle_to_matrix(torch.tensor([0.02 * moment, -0.03, 0.01]))
    return turn.numpy(), np.array([0.01, 0.02 * moment, -1.1], dtype=np.float32)


def pixel3dmm(moment: int, camera: Any = None, **changes: Any) -> dict[str, Any]:
    """Pixel3DMM's checkpoint of a moment; changes are of the group "flame"."""
    params, (R, t) = person()[moment], world_to_camera(moment)
    group = {
        "exp": params.expr.numpy(),
        "shape": params.shape[None].numpy(),
        "eyes": six(params.eyes_pose),
        "eyelids": LIDS[moment : moment + 1].numpy(),
        "jaw": six(params.jaw_pose),
        "neck": six(params.neck_pose),
        "R": six(params.rotation),
        "R_rotation_matrix": axis_angle_to_matrix(params.rotation).numpy(),
        "t": params.translation.numpy(),
    }
    lens = {"fl": np.array([[FOCAL]], dtype=np.float32), "pp": np.array([POINT], dtype=np.float32)}
    return {
        "flame": _given(group, changes),
        "camera": {"R_base_0": R[None], "t_base_0": t[None], **lens, **(camera or {})},
        "img_size": np.array([SIDE, SIDE]),
        "frame_id": moment,
        "global_step": 7,
        "joint_transforms": np.zeros((1, 5, 4, 4), dtype=np.float32),
    }


def pixel3dmm_pixels() -> np.ndarray:
    """Where Pixel3DMM's renderer sees the vertices in 256 pixels: the head turns about the origin, not the root."""
    still = replace(person(), rotation=torch.zeros(COUNT, 3), translation=torch.zeros(COUNT, 3))
    seen = []
    for moment, vertices in enumerate(pose_vertices(flame(), still).double().numpy()):
        R, t = world_to_camera(moment)
        turn = axis_angle_to_matrix(person().rotation[moment]).double().numpy()
        x, y, z = ((vertices @ turn.T + person().translation[moment].numpy()) @ R.T + t).T
        middle = (SIDE / 2 + 0.5) * (1 + np.array(POINT))
        seen.append(np.stack([middle[0] + FOCAL * SIDE * x / -z, middle[1] - FOCAL * SIDE * y / -z], axis=-1))
    return np.stack(seen)


def metrical(moment: int) -> dict[str, Any]:
    """metrical-tracker's checkpoint of a moment: the head stands still before a camera of OpenCV's axes."""
    params, (R, t) = person()[moment], world_to_camera(moment)
    flip = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
    group = {"exp": params.expr.numpy(), "shape": params.shape[None].numpy(), "eyes": six(params.eyes_pose),
             "eyelids": LIDS[moment : moment + 1].numpy(), "jaw": six(params.jaw_pose)}  # fmt: skip
    return {"flame": group, "opencv": {"R": (flip @ R)[None], "t": (flip @ t)[None], "K": np.eye(3)[None]}}


def write_frames(folder: Path, checkpoint: Callable[[int], dict[str, Any]], count: int = COUNT) -> Path:
    """Write checkpoints as the trackers do; returns the folder above them."""
    (folder / "checkpoint").mkdir(parents=True)
    for moment in range(count):
        torch.save(checkpoint(moment), folder / "checkpoint" / f"{moment:05d}.frame")
    return folder


def rows_of(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The same results as one dict per moment, as a loop over frames collects them."""
    return [{name: value[row] for name, value in fields.items()} for row in range(COUNT)]


def _given(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}
