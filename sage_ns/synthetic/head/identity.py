"""Identity shapes of the built-in head: named, symmetric, smooth deformations (mm per unit coefficient)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from sage_ns.synthetic.head.surface import EYE_CENTER

Points = Float[np.ndarray, "num_points 3"]


@dataclass(frozen=True)
class Handle:
    """Moves or scales the surface around `center` (mm, on the side x >= 0), fading as a Gaussian of `radii` (mm).

    `move` is in mm (x positive = away from the middle plane); `scale` is relative, about `center`.
    """

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    move: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def displacement(self, points: Points) -> Points:
        """Compute the displacement (mm) of `points` (mm), mirror-symmetric about x = 0."""
        folded = np.abs(points) * [1.0, 0.0, 0.0] + points * [0.0, 1.0, 1.0]
        offset = folded - self.center
        weight = np.exp(-0.5 * ((offset / self.radii) ** 2).sum(axis=-1, keepdims=True))
        middle = np.tanh(points[:, :1] / 4.0)
        moved = weight * (np.asarray(self.move) + offset * self.scale)
        return moved * np.concatenate([middle, np.ones_like(middle), np.ones_like(middle)], axis=-1)


_WIDE = (400.0, 400.0, 400.0)
IDENTITY_SHAPES: dict[str, tuple[Handle, ...]] = {
    "head_size": (Handle((0, 20, -20), _WIDE, scale=(0.022, 0.022, 0.022)),),
    "head_width": (Handle((0, 40, -30), _WIDE, scale=(0.030, 0.0, 0.0)),),
    "face_length": (Handle((0, 30, 40), (90, 90, 80), scale=(0.0, 0.045, 0.0)),),
    "head_depth": (Handle((0, 50, 20), (120, 90, 150), scale=(0.0, 0.0, 0.035)),),
    "jaw_width": (Handle((48, -45, 5), (28, 28, 38), move=(3.2, 0, 0)),),
    "chin_length": (Handle((0, -76, 45), (34, 22, 34), move=(0, -3.2, 0)),),
    "chin_forward": (Handle((0, -68, 55), (26, 17, 28), move=(0, 0, 3.2)),),
    "chin_width": (Handle((14, -70, 50), (13, 15, 24), move=(2.6, 0, 0)),),
    "cheekbone_width": (Handle((52, 8, 30), (20, 18, 26), move=(2.6, 0, 1.2)),),
    "cheek_fullness": (Handle((36, -25, 38), (18, 20, 22), move=(2.4, 0, 2.0)),),
    "forehead_height": (Handle((0, 105, 10), (90, 35, 80), move=(0, 3.2, 0)),),
    "forehead_slope": (Handle((0, 88, 45), (50, 24, 40), move=(0, 0, -3.2)),),
    "temple_width": (Handle((66, 55, 10), (22, 28, 34), move=(2.6, 0, 0)),),
    "brow_height": (Handle((26, 52, 52), (26, 9, 20), move=(0, 2.0, 0)),),
    "brow_ridge": (Handle((20, 51, 58), (26, 9, 20), move=(0, 0, 1.9)),),
    "eye_spacing": (Handle((31, 31, 40), (24, 20, 30), move=(1.3, 0, 0)),),
    "eye_depth": (Handle((31, 31, 40), (18, 15, 26), move=(0, 0, 1.3)),),
    "eye_height": (Handle((31, 31, 40), (26, 20, 30), move=(0, 1.3, 0)),),
    "nose_length": (Handle((0, -6, 74), (20, 16, 24), move=(0, -2.6, 0)),),
    "nose_forward": (Handle((0, -2, 82), (15, 17, 20), move=(0, 0, 2.8)),),
    "nose_width": (Handle((13, -8, 68), (8, 11, 16), move=(2.0, 0, 0)),),
    "nose_bridge": (Handle((0, 22, 72), (10, 15, 18), move=(0, 0, 2.2)),),
    "nose_tip_lift": (Handle((0, -4, 84), (12, 11, 15), move=(0, 2.4, 0)),),
    "nose_bridge_width": (Handle((9, 16, 64), (7, 20, 16), move=(1.5, 0, 0)),),
    "mouth_width": (Handle((24, -40, 60), (13, 14, 20), move=(2.4, 0, 0)),),
    "mouth_height": (Handle((0, -38, 66), (32, 17, 30), move=(0, 2.0, 0)),),
    "lip_fullness": (
        Handle((0, -33, 72), (18, 4.5, 16), move=(0, 0.9, 1.1)),
        Handle((0, -46, 71), (18, 5.0, 16), move=(0, -1.1, 1.2)),
    ),
    "mouth_forward": (Handle((0, -38, 68), (28, 20, 26), move=(0, 0, 2.2)),),
    "ear_size": (Handle((80, 13, -25), (14, 30, 26), scale=(0.10, 0.07, 0.09)),),
    "ear_out": (Handle((90, 13, -32), (12, 32, 24), move=(3.0, 0, 0)),),
    "neck_width": (Handle((0, -115, -45), (90, 38, 80), scale=(0.055, 0.0, 0.04)),),
    "nape": (Handle((0, -45, -95), (60, 35, 34), move=(0, 0, -3.5)),),
}


def identity_displacements(points: Points, is_eyeball: Float[np.ndarray, "num_points"]) -> Float[np.ndarray, "n s 3"]:
    """Compute displacements (mm) of every vertex for every identity shape.

    Each eyeball moves as a whole with its centre, and its lids move with it, so that both still fit together.
    """
    side = np.where(points[:, :1] >= 0.0, 1.0, -1.0)
    center = EYE_CENTER * np.concatenate([side, np.ones_like(side), np.ones_like(side)], axis=-1)
    distance = np.linalg.norm(points - center, axis=-1)
    with_eye = np.clip((27.0 - distance) / 9.0, 0.0, 1.0)
    with_eye = np.where(is_eyeball > 0, 1.0, with_eye * with_eye * (3.0 - 2.0 * with_eye))[:, None]
    shapes = []
    for handles in IDENTITY_SHAPES.values():
        own = sum(handle.displacement(points) for handle in handles)
        eye = sum(handle.displacement(center) for handle in handles)
        shapes.append(own * (1.0 - with_eye) + eye * with_eye)
    return np.stack(shapes, axis=1)


def displacement_table(shape: Float[np.ndarray, "num_shape"]) -> Callable[[Points], Points]:
    """Return a function that displaces points (mm) as a person's identity does, for the many points of hair.

    It looks the sum of all handles up in a table with a cell of 5 mm, which is cheap to make, since Gaussians are
    products of one factor per axis. Eyes do not move as a whole, so it is not for points beside them. Beyond the table
    points move as those of its border.
    """
    low, cell = np.array([0.0, -240.0, -220.0]), 5.0
    axes = [low[k] + cell * np.arange(num) for k, num in enumerate((37, 85, 77))]
    total = np.zeros((3, *map(len, axes)))
    for handles, amount in zip(IDENTITY_SHAPES.values(), shape, strict=False):
        for handle in handles:
            u, v, w = (np.exp(-0.5 * ((axes[k] - handle.center[k]) / handle.radii[k]) ** 2) for k in range(3))
            weight = amount * (u[:, None, None] * v[:, None] * w)
            for k in range(3):
                if handle.move[k] or handle.scale[k]:
                    along = handle.move[k] + (axes[k] - handle.center[k]) * handle.scale[k]
                    total[k] += weight * along.reshape([-1 if axis == k else 1 for axis in range(3)])

    def displacement(points: Points) -> Points:
        folded = np.abs(points) * [1.0, 0.0, 0.0] + points * [0.0, 1.0, 1.0]
        where = ((folded - low) / cell).T
        moved = np.stack([ndimage.map_coordinates(each, where, order=1, mode="nearest") for each in total], -1)
        moved[:, 0] *= np.tanh(points[:, 0] / 4.0)
        return moved

    return displacement
