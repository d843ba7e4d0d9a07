"""Cameras of a rig look at one place. Matrices that were inverted, or have other axes, do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from sage_ns.errors import TrackingError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.tracking.cameras.rig_camera import RigCamera

_ROUNDS = 10
_PARALLEL = 1e-4
"""Least eigenvalue of the mean of the projections below which optical axes are parallel and meet nowhere."""
_MOST_OFF = 0.5
"""Share of the cameras that may look elsewhere: they are left out later, by what they see."""
_INVERSE = "the other direction (camera to world for world to camera)"
READINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    _INVERSE: np.linalg.inv,
    "OpenGL's axes (x right, y up, z back)": lambda matrix: CAMERA_AXES @ matrix,
    f"{_INVERSE} and OpenGL's axes": lambda matrix: CAMERA_AXES @ np.linalg.inv(matrix),
}
"""Ways to misunderstand a matrix of a camera, each with what turns the matrix into the right one."""


def meeting_point(cameras: Sequence[RigCamera]) -> Float[np.ndarray, "3"] | None:
    """Return the point that is nearest to the optical axes, robustly; None if they are about parallel.

    The point minimises ``sum_i w_i |(I - d_i d_i^T)(x - c_i)|^2`` with weights w of Cauchy's loss, whose scale is the
    median distance.
    """
    centers = np.stack([camera.position for camera in cameras])
    directions = np.stack([camera.direction for camera in cameras])
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    weights = np.ones(len(cameras))
    point = centers.mean(axis=0)
    for _ in range(_ROUNDS):
        normal = (weights[:, None, None] * across).sum(axis=0) / weights.sum()
        if np.linalg.eigvalsh(normal)[0] < _PARALLEL:
            return None
        aim = (weights[:, None] * np.einsum("nij,nj->ni", across, centers)).sum(axis=0) / weights.sum()
        point = np.linalg.solve(normal, aim)
        distance = np.linalg.norm(np.einsum("nij,nj->ni", across, point - centers), axis=1)
        weights = 1 / (1 + (distance / max(float(np.median(distance)), 1e-12)) ** 2)
    return point


def sees(camera: RigCamera, point: Float[np.ndarray, "3"]) -> bool:
    """Return whether a point (in the units of the camera) is before a camera and in its picture."""
    seen = camera.world_to_camera[:3, :3] @ point + camera.world_to_camera[:3, 3]
    if seen[2] <= 0 or camera.size is None:
        return bool(seen[2] > 0)
    pixel = seen[:2] / seen[2] * camera.focal + camera.center
    return bool((pixel >= 0).all() and (pixel <= camera.size).all())


def check_aim(cameras: Sequence[RigCamera], source: str) -> None:
    """Refuse cameras that do not look at one place, and say which other readings of the matrices would.

    Inverted matrices can pass: cameras around the origin then stand at one point. `sage_ns.tracking.triangulation`
    refuses those, by the faces.

    Args:
        cameras: all cameras with pictures.
        source: file that states them, for the message.

    Raises:
        TrackingError: most cameras do not have the place in their picture at which the others look.
    """
    blind = _blind(cameras)
    if blind.mean() <= _MOST_OFF:
        return
    names = ", ".join(camera.name for camera, is_blind in zip(cameras, blind, strict=True) if is_blind)
    fitting = [name for name, change in READINGS.items() if _blind(read_as(cameras, change)).mean() <= _MOST_OFF]
    raise TrackingError(
        f"{source}: the cameras do not look at one place ({names} do not see it). {reading_hint(fitting)}"
    )


def read_as(cameras: Sequence[RigCamera], change: Callable[[np.ndarray], np.ndarray]) -> list[RigCamera]:
    """Return cameras with another reading of their matrices."""
    return [replace(camera, world_to_camera=change(camera.world_to_camera)) for camera in cameras]


def reading_hint(fitting: Sequence[str]) -> str:
    """Return advice from the other readings that fit."""
    if not fitting:
        return "Re-run the camera calibration."
    return f"It would fit, if the matrices had {', or '.join(fitting)}: state them as what they are."


def _blind(cameras: Sequence[RigCamera]) -> Bool[np.ndarray, "n"]:
    """Return which cameras do not have the meeting point in their picture."""
    point = meeting_point(cameras) if len(cameras) > 1 else None
    if point is None:
        return np.zeros(len(cameras), dtype=bool)
    return np.array([not sees(camera, point) for camera in cameras])
