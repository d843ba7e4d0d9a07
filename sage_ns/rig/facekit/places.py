"""Named regions of ICT-FaceKit's head, with the names of FLAME's masks, from its landmarks and its shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sage_ns.geometry.mesh_borders import border_loops

_LIPS, _NOSE, _BROWS = slice(48, 60), slice(27, 36), slice(17, 27)
_EYE_REACH = (0.024, 0.019)
"""Metres beside and above an eye that belong to its region."""
_LIP_ROOM, _NOSE_ROOM = 1.12, 1.25
"""The outlines by landmarks are enlarged by these factors."""
_NOSE_HIGH = 0.012
"""Metres around the bridge."""
_ABOVE_BROWS = 0.008
_EAR_OUT, _EAR_TALL = 0.74, (-0.056, 0.024)
"""Share of the largest half width from which on an ear begins, and its heights from the eyes."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What the regions are measured by, metres."""

    landmarks: Float[np.ndarray, "68 3"]
    eyes: Float[np.ndarray, "2 3"]
    """Centres of the left and the right eyeball."""
    chin: float
    """Height of its tip."""


def regions(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    narrow: Bool[np.ndarray, "v"],
    eyeballs: dict[str, Int[np.ndarray, "n"]],
    marks: Marks,
) -> dict[str, Int[np.ndarray, "n"]]:
    """Return the vertices of every region.

    Args:
        vertices: of the mean head, metres.
        triangles: on them.
        narrow: vertices of FaceKit's narrow face.
        eyeballs: their vertices by name.
        marks: landmarks and eyes.
    """
    x, y, z = vertices.T
    skin = np.ones(len(vertices), dtype=bool)
    for rows in eyeballs.values():
        skin[rows] = False
    middle = marks.eyes.mean(axis=0)
    up = y - middle[1]
    ear = skin & ~narrow & (np.abs(x) > _EAR_OUT * np.abs(x[skin]).max())
    ear &= (up > _EAR_TALL[0]) & (up < _EAR_TALL[1]) & (z < middle[2])
    face = skin & narrow & ~ear
    lips = face & _inside(vertices, marks.landmarks[_LIPS], _LIP_ROOM)
    nose = face & _inside(vertices, _hull(marks.landmarks[_NOSE]), _NOSE_ROOM) & (z > middle[2])
    by_side = {}
    for side, eye in zip(("left", "right"), marks.eyes, strict=True):
        near = (np.abs(x - eye[0]) < _EYE_REACH[0]) & (np.abs(y - eye[1]) < _EYE_REACH[1])
        by_side[side] = face & near & (z > eye[2] - 0.01)
    brows = marks.landmarks[_BROWS, 1].max()
    neck = skin & ~face & ~ear & ((y < marks.chin + 0.03) | ((y < marks.chin + 0.05) & (z > middle[2] - 0.11)))
    found = {
        "face": face,
        "forehead": face & (y > brows + _ABOVE_BROWS),
        "nose": nose,
        "lips": lips,
        "eye_region": by_side["left"] | by_side["right"],
        "left_eye_region": by_side["left"],
        "right_eye_region": by_side["right"],
        "left_ear": ear & (x > 0),
        "right_ear": ear & (x < 0),
        "neck": neck,
        "scalp": skin & ~face & ~ear & ~neck,
        "boundary": _on_border(triangles, len(vertices)) & skin & (y < marks.chin),
    }
    return {name: np.flatnonzero(mask) for name, mask in found.items()} | eyeballs


def _inside(vertices: np.ndarray, outline: np.ndarray, room: float) -> Bool[np.ndarray, "v"]:
    """Return which vertices lie in an outline, enlarged by a factor, seen from the front."""
    from skimage.measure import points_in_poly

    middle = outline[:, :2].mean(axis=0)
    enlarged = middle + room * (outline[:, :2] - middle)
    near = np.abs(vertices[:, 2] - outline[:, 2].mean()) < 0.05
    return points_in_poly(vertices[:, :2], enlarged) & near


def _hull(points: np.ndarray) -> np.ndarray:
    """Return the outline of the nose: its bridge, made wide, and its wings."""
    bridge, below = points[:4], points[4:]
    aside = np.array([_NOSE_HIGH, 0.0, 0.0])
    top = bridge[0]
    return np.concatenate([[top - aside], [below[0]], [below[2]], [below[4]], [top + aside]])


def _on_border(triangles: np.ndarray, count: int) -> Bool[np.ndarray, "v"]:
    border = np.zeros(count, dtype=bool)
    for loop in border_loops(torch.from_numpy(triangles)):
        border[loop.numpy()] = True
    return border
