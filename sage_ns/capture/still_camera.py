"""Captures whose camera carries the head's pose: rewritten so that the camera stands still and the head turns.

Some trackers (metrical-tracker, which INSTA's data come from) keep the head where it is and move the camera around it,
although it was the head that turned before a camera on a stand. Pictures and geometry fit either way, but the light of
the room then seems to turn around the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.frames import Frame
from sage_ns.capture.layout import Capture
from sage_ns.errors import CaptureError
from sage_ns.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion, quaternion_to_axis_angle
from sage_ns.rig import FlameParams, HeadModel, concatenate, joints

LightAxesOption = Literal["auto", "world", "camera"]
"""A user's choice of `sage_ns.capture.layout.LightAxes`; auto = as the files state, else the world's."""

_MOVES, _STILL = 10.0, 3.0
"""Degrees that a camera turns at least, and a head at most, for the question to arise which of them stood still."""


def with_still_camera(
    capture: Capture, moments: Mapping[int, FlameParams], model: HeadModel
) -> tuple[Capture, dict[int, FlameParams]]:
    """Return the capture and its parameters, moved moment by moment so that the camera is always where it is at first.

    Raises:
        CaptureError: a moment has pictures of cameras at several places: one of them at most can have stood still.
    """
    frames = (*capture.train, *capture.train_multiframe, *capture.val, *capture.test)
    poses: dict[int, Float[np.ndarray, "4 4"]] = {}
    for frame in frames:
        known = poses.setdefault(frame.timestep, frame.camera_to_world)
        if not np.allclose(known, frame.camera_to_world, atol=1e-6):
            raise CaptureError(
                f"{frame.source}: light_axes is camera, but timestep {frame.timestep} has cameras at several places. "
                "Only the capture of one camera can be told that its camera stood still; give --light-axes world."
            )
    first = frames[0].camera_to_world
    moves = {timestep: first @ np.linalg.inv(pose) for timestep, pose in poses.items()}

    def still(some: tuple[Frame, ...]) -> tuple[Frame, ...]:
        return tuple(replace(frame, camera_to_world=first.copy()) for frame in some)

    stood = replace(
        capture,
        train=still(capture.train),
        train_multiframe=still(capture.train_multiframe),
        val=still(capture.val),
        test=still(capture.test),
    )
    # Moments without a picture have no camera, and nobody looks at them.
    moved = {t: _moved(params, moves[t], model) if t in moves else params for t, params in moments.items()}
    return stood, moved


def question(capture: Capture, moments: Mapping[int, FlameParams]) -> str | None:
    """Return a note if it may be the head that turned and not the camera; None if the files leave no doubt."""
    frames = capture.train_multiframe
    if len({frame.camera_index for frame in frames}) != 1 or len(frames) < 2:
        return None
    turns = torch.from_numpy(np.stack([frame.camera_to_world[:3, :3] for frame in frames])).float()
    params = concatenate([moments[frame.timestep] for frame in frames])
    heads = axis_angle_to_matrix(params.rotation) @ axis_angle_to_matrix(params.neck_pose)
    if _spread(turns) < _MOVES or _spread(heads) > _STILL:
        return None
    return (
        f"The camera moves by {_spread(turns):.0f} degrees around a head that stays as it is. If it was the head that "
        "turned before a camera that stood still (trackers like metrical-tracker write it so), give --light-axes "
        "camera: the light of the room is right only then."
    )


def _moved(params: FlameParams, move: Float[np.ndarray, "4 4"], model: HeadModel) -> FlameParams:
    """Return parameters that pose the head as before, followed by a rigid motion of the world."""
    rigid = torch.from_numpy(move).float()
    turn = rigid[:3, :3] @ axis_angle_to_matrix(params.rotation)
    # The head turns about its root joint: x' = R (x - J) + J + t.
    posed_root = joints(model, params)[:, 0]
    root = posed_root - params.translation
    translation = posed_root @ rigid[:3, :3].T + rigid[:3, 3] - root
    return replace(params, rotation=quaternion_to_axis_angle(matrix_to_quaternion(turn)), translation=translation)


def _spread(rotations: Float[Tensor, "n 3 3"]) -> float:
    """Return the largest angle between the first rotation and another, in degrees."""
    cosine = ((rotations @ rotations[0].T).diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1) / 2
    return float(torch.rad2deg(torch.acos(cosine.clamp(-1.0, 1.0))).max())
