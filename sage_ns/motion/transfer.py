"""Transfer of a driver's motion to an avatar, absolute or relative to neutral moments, and playback at another rate.

The driver's identity is never transferred: only its rotations, translation and expression are, to the avatar's own
head. Driver and avatar share the world's axes (FLAME's: metres, y up), but not its origin.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.capture.flame_table import expression_magnitude
from sage_ns.errors import FlameParamsError
from sage_ns.geometry.rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_axis_angle,
)
from sage_ns.rig import FlameParams, HeadModel


def absolute_transfer(driver: FlameParams, avatar: FlameParams, follow_head: bool = False) -> FlameParams:
    """Return the driver's expression and its pose from the neck on, with the avatar's identity and head position.

    With ``follow_head``, also transfer the driver's global rotation and its movement since its first moment::

        rotation(t) = driver(t)        translation(t) = avatar + driver(t) - driver(0)

    Args:
        driver: motion that fits the avatar's rig, one row per moment.
        avatar: one moment of the avatar: its identity, head rotation and translation.

    Raises:
        FlameParamsError: ``avatar`` is more than one moment, or has another number of expression coefficients.
    """
    _check_moment(avatar, driver, "the avatar")
    rotation, translation = avatar.rotation, avatar.translation
    if follow_head:
        rotation, translation = driver.rotation, avatar.translation + driver.translation - driver.translation[:1]
    return replace(
        driver.with_identity(avatar),
        rotation=rotation.expand_as(driver.rotation),
        translation=translation.expand_as(driver.translation),
    )


def relative_transfer(
    driver: FlameParams, driver_neutral: FlameParams, avatar_neutral: FlameParams, follow_head: bool = False
) -> FlameParams:
    """Apply the driver's change from its own neutral moment to the avatar's neutral moment.

    A tracker encodes part of a person's identity in the expression and the jaw. The difference of two moments of the
    same person cancels that part. With d the driver, n its neutral moment and a the avatar's, for the expression and
    for every rotation (neck, jaw, either eye)::

        expression(t) = a + (d(t) - n)        R(t) = R_a R_n^-1 R_d(t)

    Rotations are composed, not subtracted as vectors. The difference R_n^-1 R_d is in the joint's own axes: a driver
    that nods makes the avatar nod, whatever direction each of them faces. With ``follow_head``, the global rotation
    follows the same formula, and the translation uses the axes of the avatar's head::

        translation(t) = a + R_a R_n^-1 (d(t) - n)

    If driver and avatar are the same person with the same neutral moment, the motion does not change.

    Args:
        driver: motion that fits the avatar's rig, one row per moment.
        driver_neutral: one moment of the same person, see `most_neutral_row`.
        avatar_neutral: one moment of the avatar: its identity, head rotation and translation.

    Raises:
        FlameParamsError: a neutral moment has more than one row, or numbers of expression coefficients differ.
    """
    _check_moment(driver_neutral, driver, "the driver's neutral moment")
    _check_moment(avatar_neutral, driver, "the avatar's neutral moment")

    def turned(name: str) -> Tensor:
        moving, rest, own = (
            axis_angle_to_quaternion(getattr(params, name).unflatten(-1, (-1, 3)))
            for params in (driver, driver_neutral, avatar_neutral)
        )
        away = quaternion_multiply(quaternion_conjugate(rest), moving)
        return quaternion_to_axis_angle(quaternion_multiply(own, away)).flatten(-2)

    rotation = avatar_neutral.rotation.expand_as(driver.rotation)
    translation = avatar_neutral.translation.expand_as(driver.translation)
    if follow_head:
        rotation = turned("rotation")
        R_rest, R_own = (axis_angle_to_matrix(params.rotation[0]) for params in (driver_neutral, avatar_neutral))
        moved = driver.translation - driver_neutral.translation
        translation = avatar_neutral.translation + moved @ (R_own @ R_rest.T).T
    return replace(
        driver.with_identity(avatar_neutral),
        expr=avatar_neutral.expr + (driver.expr - driver_neutral.expr),
        rotation=rotation,
        neck_pose=turned("neck_pose"),
        jaw_pose=turned("jaw_pose"),
        eyes_pose=turned("eyes_pose"),
        translation=translation,
    )


def most_neutral_row(driver: FlameParams, model: HeadModel) -> int:
    """Return the row at which expression and jaw move the face least; head pose and gaze are ignored.

    Args:
        driver: motion that fits ``model``; its identity is ignored.
        model: the avatar's head model.
    """
    mean_head = replace(driver, shape=driver.shape.new_zeros(model.num_shape), static_offset=None)
    return int(expression_magnitude(mean_head, model).argmin())


def playback_positions(
    num_rows: int, motion_fps: float, fps: float, sequences: Int[Tensor, "num_rows"] | None = None
) -> Float[Tensor, "num_frames"]:
    """Return the position in a motion, in rows, of each frame of a video: frame k at row k motion_fps / fps.

    Args:
        num_rows: moments of the motion, recorded at ``motion_fps`` per second.
        fps: frames per second of the video.
        sequences: sequence of each row. Moments of two sequences cannot be blended: a frame between them shows the
            nearer row.
    """
    # The small addend keeps the last row in spite of rounding.
    num_frames = int((num_rows - 1) * fps / motion_fps + 1e-6) + 1
    position = (torch.arange(num_frames, dtype=torch.float64) * motion_fps / fps).clamp_max(num_rows - 1)
    near_row = (position - position.round()).abs() < 1e-6
    if sequences is not None:
        sequences = sequences.cpu()
        near_row |= sequences[position.floor().long()] != sequences[position.ceil().long()]
    return torch.where(near_row, position.round(), position)


def _check_moment(moment: FlameParams, driver: FlameParams, name: str) -> None:
    found = (moment.num_timesteps, moment.expr.shape[-1])
    if found != (1, driver.expr.shape[-1]):
        raise FlameParamsError(
            f"{name}: found {found[0]} timesteps of {found[1]} expression coefficients, expected one of "
            f"{driver.expr.shape[-1]} as the driver has"
        )
