"""Joints and skinning weights of ICT-FaceKit, which has neither: found from its eyeballs, teeth and landmarks.

Lengths are metres of the mean head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from sage_ns.errors import HeadModelError

NECK_BELOW_CHIN, ROOT_BELOW_CHIN = 0.0, 0.04
"""Heights of the joints of neck and root below the tip of the chin."""
_BLEND = (0.035, -0.005)
"""Heights below the chin between which the root's weight falls from 1 to 0, at the front; it is the same behind."""
_NEAREST = 120
"""Vertices that say where a joint of the neck or the jaw is."""
_SMOOTHINGS = 6
_LEAST_ANGLE = 0.05
"""Radians of the jaw at full jawOpen."""
_STILL = 0.004
"""Metres that expressions move a vertex at most which says where a joint is."""


@dataclass(frozen=True, eq=False)
class Jaw:
    """The rigid motion of the lower teeth at full jawOpen."""

    joint: Float[np.ndarray, "3"]
    """Metres: the point of the axis in the middle of the head."""
    angle: float
    """Radians about x."""
    rotation: Float[np.ndarray, "3 3"]

    def moved(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return displacements of points that move with the lower teeth."""
        return (points - self.joint) @ self.rotation.T + self.joint - points


def find_jaw(teeth: Float[np.ndarray, "n 3"], opened: Float[np.ndarray, "n 3"]) -> Jaw:
    """Return the motion of the lower teeth by the shape jawOpen, as a rotation about a left-right axis.

    Args:
        teeth: vertices of the lower teeth at rest, metres.
        opened: their displacements by jawOpen.

    Raises:
        HeadModelError: the teeth do not turn.
    """
    # In the plane of the profile: the rotation about x that fits best (Kabsch), and its fixed point.
    rest, moved = teeth[:, 1:], (teeth + opened)[:, 1:]
    a, b = rest - rest.mean(axis=0), moved - moved.mean(axis=0)
    angle = float(np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum()))
    if not angle > _LEAST_ANGLE:
        raise HeadModelError(
            f"ICT-FaceKit: jawOpen turns the lower teeth by {np.degrees(angle):.1f} degrees; expected them to open. "
            "The files are of another version."
        )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.linalg.solve(np.eye(2) - turn, moved.mean(axis=0) - turn @ rest.mean(axis=0))
    rotation = np.eye(3)
    rotation[1:, 1:] = turn
    return Jaw(np.array([0.0, *center]), angle, rotation)


def sphere_center(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """Return the centre of the sphere nearest to points (least squares of the squared distances)."""
    matrix = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    return np.linalg.lstsq(matrix, (points**2).sum(axis=1), rcond=None)[0][:3]


def skinning_weights(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    jaw: Jaw,
    opened: Float[np.ndarray, "v 3"],
    chin_height: float,
    eyes: tuple[Int[np.ndarray, "a"], Int[np.ndarray, "b"]],
) -> Float[np.ndarray, "v 5"]:
    """Return weights of root, neck, jaw, left and right eye.

    The jaw's weight is the share of its rigid motion that jawOpen gives a vertex, smoothed over the mesh; the rest is
    the neck's, and towards the end of the neck the root's. Eyeballs move with their joints alone.

    Args:
        vertices: skin and eyeballs of the mean head, metres.
        triangles: on them.
        jaw: its motion.
        opened: displacements by jawOpen.
        chin_height: of the tip of the chin, metres.
        eyes: vertices of the left and the right eyeball.
    """
    rigid = jaw.moved(vertices)
    share = (opened * rigid).sum(axis=1) / np.maximum((rigid**2).sum(axis=1), 1e-8)
    share = _smoothed(np.clip(share, 0.0, 1.0), triangles)
    high, low = chin_height - _BLEND[1], chin_height - _BLEND[0]
    along = np.clip((vertices[:, 1] - low) / (high - low), 0.0, 1.0)
    above = along**2 * (3 - 2 * along)
    weights = np.zeros((len(vertices), 5))
    weights[:, 2] = share * above
    weights[:, 1] = (1 - share) * above
    weights[:, 0] = 1 - above
    for column, rows in zip((3, 4), eyes, strict=True):
        weights[rows] = 0.0
        weights[rows, column] = 1.0
    return weights


def joint_regressor(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "5 3"],
    motion: Float[np.ndarray, "v"],
    eyes: tuple[Int[np.ndarray, "a"], Int[np.ndarray, "b"]],
) -> Float[np.ndarray, "5 v"]:
    """Return weights of vertices that sum to 1 and give the joints, also those of other people.

    Args:
        vertices: of the mean head, metres.
        joints: of the mean head.
        motion: farthest that an expression moves each vertex, metres: joints stay where a face moves.
        eyes: vertices of the left and the right eyeball.
    """
    regressor = np.zeros((5, len(vertices)))
    skin = np.setdiff1d(np.arange(len(vertices)), np.concatenate(eyes))
    still = skin[motion[skin] <= _STILL]
    still = still if len(still) >= _NEAREST else skin
    for row, joint in enumerate(joints[:3]):
        distance = np.linalg.norm(vertices[still] - joint, axis=1)
        chosen = still[np.argsort(distance, kind="stable")[:_NEAREST]]
        regressor[row, chosen] = _weights_for(vertices[chosen], joint)
    for row, chosen in zip((3, 4), eyes, strict=True):
        regressor[row, chosen] = _weights_for(vertices[chosen], joints[row])
    return regressor


def _weights_for(points: np.ndarray, target: np.ndarray) -> Float[np.ndarray, "n"]:
    """Return the least weights that sum to 1 and have their mean at a point."""
    middle = points.mean(axis=0)
    scale = np.abs(points - middle).max()
    matrix = np.concatenate([np.ones((1, len(points))), (points - middle).T / scale])
    return np.linalg.pinv(matrix) @ np.array([1.0, *((target - middle) / scale)])


def _smoothed(values: Float[np.ndarray, "v"], triangles: Int[np.ndarray, "t 3"]) -> Float[np.ndarray, "v"]:
    """Return values averaged with the mean of their neighbours on the mesh, some times."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    ones = np.ones(len(pairs))
    near = sparse.coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), (len(values), len(values))).tocsr()
    near.data[:] = 1.0
    count = np.maximum(np.asarray(near.sum(axis=1))[:, 0], 1.0)
    for _ in range(_SMOOTHINGS):
        values = 0.5 * values + 0.5 * (near @ values) / count
    return values
