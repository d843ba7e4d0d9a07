"""The landmarks of one face in space, from several cameras, and which cameras agree on them.

A detector's landmarks slide over a face that turns away, and a camera file may hold wrong matrices. Both show where
rays of one landmark do not meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from sage_ns.errors import TrackingError
from sage_ns.tracking.cameras.aim import READINGS, read_as, reading_hint
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.face import Face, width_of_face

LARGEST_MISS = 0.05
"""Median distance between a landmark and its point's projection, relative to the width of the face, up to which a
camera agrees."""
_LEAST_ANGLE, _MOST_ANGLE = 4.0, 70.0
"""Degrees between two cameras, seen from the face, whose rays are first intersected: nearer ones give no depth, and
farther ones see different sides of the face."""
_AT_LEAST = 2
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Agreement:
    """Landmarks in space, and how well each camera agrees."""

    points: Float[np.ndarray, "num_points 3"]
    """In the units of the cameras."""
    misses: Float[np.ndarray, "num_cameras"]
    """Median distance in the picture, relative to the width of the face; infinite behind a camera."""

    @property
    def agrees(self) -> Bool[np.ndarray, "num_cameras"]:
        """Which cameras agree."""
        return self.misses <= LARGEST_MISS


def triangulate(cameras: Sequence[RigCamera], faces: Sequence[Face], weights: np.ndarray) -> Agreement | None:
    """Return the landmarks on which most cameras agree; None if no two do.

    The points of each pair of cameras are tried; those on which the most cameras agree are computed again from all that
    do, as the points of the least weighted squares of distances from the rays.

    Args:
        cameras: without lenses.
        faces: one per camera.
        weights: of the landmarks [num_points], 0 = not used.
    """
    rays = [_rays(camera, face) for camera, face in zip(cameras, faces, strict=True)]
    best: tuple[float, Agreement] | None = None
    for pair in combinations(range(len(cameras)), 2):
        if not _is_wide(rays, pair):
            continue
        found = _agreement(cameras, faces, _met([rays[index] for index in pair]), weights)
        score = float(np.maximum(1 - found.misses / LARGEST_MISS, 0.0).sum())
        if best is None or score > best[0]:
            best = score, found
    if best is None or best[1].agrees.sum() < _AT_LEAST:
        return None
    found = best[1]
    for _ in range(_ROUNDS):
        agreeing = [ray for ray, agrees in zip(rays, found.agrees, strict=True) if agrees]
        again = _agreement(cameras, faces, _met(agreeing), weights)
        if again.agrees.sum() < _AT_LEAST:
            break
        found = again
    return found


def agreeing_landmarks(
    cameras: Sequence[RigCamera], faces: Sequence[Face], weights: np.ndarray, source: str
) -> Agreement:
    """Return the landmarks on which most cameras agree; arguments as for `triangulate`.

    Raises:
        TrackingError: fewer than two cameras agree, or fewer than half of them; says which other reading of the
            matrices would make them agree.
    """
    found = triangulate(cameras, faces, weights)
    if found is not None and 2 * found.agrees.sum() >= len(cameras):
        return found
    agreeing = 0 if found is None else int(found.agrees.sum())
    fitting = []
    for reading, change in READINGS.items():
        other = triangulate(read_as(cameras, change), faces, weights)
        if other is not None and other.agrees.sum() > max(agreeing, 0.5 * len(cameras)):
            fitting.append(reading)
    raise TrackingError(
        f"{source}: the cameras do not agree with the faces: {agreeing} of {len(cameras)} cameras see the landmarks "
        f"where the others do. {reading_hint(fitting)}"
    )


_Rays = tuple[np.ndarray, np.ndarray]


def _rays(camera: RigCamera, face: Face) -> _Rays:
    """Return the centre of a camera [3], and unit vectors towards its landmarks [num_points, 3]."""
    pixels = face.points[:, :2].double().numpy()
    plane = np.concatenate([(pixels - camera.center) / camera.focal, np.ones((len(pixels), 1))], axis=1)
    directions = plane @ camera.world_to_camera[:3, :3]
    return camera.position, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _is_wide(rays: Sequence[_Rays], pair: tuple[int, int]) -> bool:
    one, other = (rays[index][1].mean(axis=0) for index in pair)
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return _LEAST_ANGLE <= np.degrees(np.arccos(np.clip(cosine, -1, 1))) <= _MOST_ANGLE


def _met(rays: Sequence[_Rays]) -> Float[np.ndarray, "num_points 3"]:
    """Return the points of least squared distances from the rays of each landmark."""
    normal, aim = 0.0, 0.0
    for center, directions in rays:
        across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
        normal, aim = normal + across, aim + across @ center
    return np.linalg.solve(normal, np.asarray(aim)[..., None])[..., 0]


def _agreement(
    cameras: Sequence[RigCamera], faces: Sequence[Face], points: np.ndarray, weights: np.ndarray
) -> Agreement:
    used = weights > 0
    misses = []
    for camera, face in zip(cameras, faces, strict=True):
        seen = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
        depth = np.median(seen[:, 2])
        if depth <= 0:
            misses.append(np.inf)
            continue
        pixels = seen[:, :2] / np.maximum(seen[:, 2:], 1e-6 * depth) * camera.focal + camera.center
        off = np.linalg.norm(pixels - face.points[:, :2].double().numpy(), axis=1)
        misses.append(float(np.median(off[used])) / width_of_face(face))
    return Agreement(points, np.array(misses))
