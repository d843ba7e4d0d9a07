"""ICT-FaceKit as a head model in FLAME's format: head and neck, fewer vertices, joints, weights, regions, landmarks.

Kept are face, head and neck down to a hand below the chin, and the eyeballs; inside of the mouth and of the eye sockets
is left out, because every head model gets teeth and tongue from `sage_ns.rig.mouth`. Vertices are a subset of
FaceKit's, so that all shapes stay exact. jawOpen becomes the rotation of the jaw's joint; all other expressions keep
their names and do not move the eyeballs, which have joints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sage_ns.errors import HeadModelError
from sage_ns.geometry.decimation import decimated
from sage_ns.rig.facekit.files import FACEKIT, FaceKit, Layout, Range, read_facekit
from sage_ns.rig.facekit.joints import (
    NECK_BELOW_CHIN,
    ROOT_BELOW_CHIN,
    find_jaw,
    joint_regressor,
    skinning_weights,
    sphere_center,
)
from sage_ns.rig.facekit.places import Marks, regions
from sage_ns.rig.head_model import HeadModel
from sage_ns.rig.regions import Regions

NAME = "ICT-FaceKit"
NUM_VERTICES = 5500
"""About as many as FLAME has."""
_CENTIMETRE = 0.01
_EYES_AT = (0.0, 0.031, 0.039)
"""Metres: middle of the eyes, so that the origin lies in the head where FLAME has it."""
_BELOW_CHIN = 0.045
"""Metres of the neck that are kept."""
_JAW_OPEN = "jawOpen"
_LOOKED_AT = (_JAW_OPEN, "eyeBlink_L", "eyeBlink_R", "mouthPucker", "mouthSmile_L", "mouthSmile_R")
"""Shapes whose surface decimation keeps, beside the one at rest."""
_CHIN = 8
"""Landmark at the tip of the chin."""
_NECK_DEPTH = 0.082
"""Metres from the eyes back to the joints of neck and root."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """Part of FaceKit's mesh."""

    vertices: Int[np.ndarray, "n"]
    """FaceKit's numbers, ascending."""
    triangles: Int[np.ndarray, "t 3"]
    """Rows of `vertices`."""

    def within(self, part: Range) -> Bool[np.ndarray, "n"]:
        """Return which of the vertices belong to a part."""
        return (self.vertices >= part[0]) & (self.vertices < part[1])


def head_model_from_facekit(
    folder: Path,
    num_vertices: int = NUM_VERTICES,
    layout: Layout = FACEKIT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeadModel:
    """Return ICT-FaceKit as a head model.

    Args:
        folder: clone of ICT-FaceKit, or its folder FaceXModel.
        num_vertices: about as many stay.
        layout: of FaceKit's vertices.
        progress: called with the number of files that are read, and of all.

    Raises:
        HeadModelError: the folder is no FaceKit, or a file is broken; names the file.
    """
    kit = read_facekit(folder, layout, progress)
    if _JAW_OPEN not in kit.expressions:
        raise HeadModelError(f"{folder}: 'expressions' has no {_JAW_OPEN}, which says where the jaw's joint is.")
    eyes = np.stack([sphere_center(kit.neutral[slice(*part)]) for part in (layout.left_eye, layout.right_eye)])
    shift = np.array(_EYES_AT) - _CENTIMETRE * eyes.mean(axis=0)
    at_rest = _CENTIMETRE * kit.neutral + shift
    kept = _fewer(kit, at_rest, layout, num_vertices)
    rows = kept.vertices
    balls = tuple(np.flatnonzero(kept.within(part)) for part in (layout.left_eye, layout.right_eye))
    marks = Marks(at_rest[kit.landmarks], _CENTIMETRE * eyes + shift, float(at_rest[kit.landmarks[_CHIN], 1]))
    teeth = slice(*layout.lower_teeth)
    opened = _CENTIMETRE * kit.expressions[_JAW_OPEN]
    jaw = find_jaw(at_rest[teeth], opened[teeth])
    names = [name for name in kit.expressions if name != _JAW_OPEN]
    moved = _CENTIMETRE * np.stack([kit.expressions[name][rows] for name in names], axis=-1)
    moved[np.concatenate(balls)] = 0.0
    back = marks.eyes.mean(axis=0)[2] - _NECK_DEPTH
    joints = np.array(
        [
            [0.0, marks.chin - ROOT_BELOW_CHIN, back],
            [0.0, marks.chin - NECK_BELOW_CHIN, back],
            jaw.joint,
            *marks.eyes,
        ]
    )
    vertices, triangles = at_rest[rows], kept.triangles
    weights = skinning_weights(vertices, triangles, jaw, opened[rows], marks.chin, (balls[0], balls[1]))
    motion = np.linalg.norm(np.concatenate([moved, opened[rows][..., None]], axis=-1), axis=1).max(axis=-1)
    named: dict[str, np.ndarray] = dict(zip(("left_eyeball", "right_eyeball"), balls, strict=True))
    places = regions(vertices, triangles, kept.within(layout.narrow_face), named, marks)
    uv, uv_triangles = _texture(kit, kept)
    landmarks = _landmarks(np.searchsorted(rows, kit.landmarks), triangles)
    return HeadModel(
        name=NAME,
        v_template=_float(vertices),
        triangles=torch.from_numpy(triangles),
        shape_basis=_float(np.moveaxis(_CENTIMETRE * kit.identity[:, rows], 0, -1)),
        expression_basis=_float(moved),
        pose_basis=torch.zeros(36, 3 * len(rows)),
        joint_regressor=_float(joint_regressor(vertices, joints, motion, (balls[0], balls[1]))),
        skinning_weights=_float(weights),
        parents=torch.tensor([-1, 0, 1, 1, 1]),
        regions=Regions({name: torch.from_numpy(found) for name, found in places.items()}),
        expression_names=tuple(names),
        uv=_float(uv),
        uv_triangles=torch.from_numpy(uv_triangles),
        landmark_triangles=torch.from_numpy(landmarks[0]),
        landmark_barycentric=_float(landmarks[1]),
    )


def _fewer(kit: FaceKit, at_rest: np.ndarray, layout: Layout, num_vertices: int) -> _Kept:
    """Return head, neck and eyeballs with about so many vertices; those of landmarks stay."""
    parts = (layout.skin, layout.left_eye, layout.right_eye)
    chosen = np.zeros(len(at_rest), dtype=bool)
    for part in parts:
        chosen[slice(*part)] = True
    chosen &= at_rest[:, 1] > at_rest[kit.landmarks[_CHIN], 1] - _BELOW_CHIN
    whole = np.ones(kit.polygon.max() + 1, dtype=bool)  # quads are cut nowhere, so that the neck ends evenly
    np.logical_and.at(whole, kit.polygon, chosen[kit.triangles].all(axis=1))
    triangles = kit.triangles[whole[kit.polygon]]
    shapes = [
        at_rest,
        *(at_rest + _CENTIMETRE * kit.expressions[name] for name in _LOOKED_AT if name in kit.expressions),
    ]
    kept = np.zeros(len(at_rest), dtype=bool)
    kept[kit.landmarks] = True
    vertices, corners = decimated(np.stack(shapes), triangles, num_vertices, kept, _seams(kit, chosen))
    return _Kept(vertices, corners)


def _seams(kit: FaceKit, chosen: Bool[np.ndarray, "v"]) -> Int[np.ndarray, "s 2"]:
    """Return the edges at which the texture is cut: their triangles have different texture coordinates there."""
    sides: dict[tuple[int, int], tuple[int, int]] = {}
    seams = []
    for three, uv in zip(kit.triangles.tolist(), kit.uv_triangles.tolist(), strict=True):
        for index in range(3):
            a, b = (three[index], uv[index]), (three[(index + 1) % 3], uv[(index + 1) % 3])
            (first, first_uv), (second, second_uv) = sorted((a, b))
            known = sides.setdefault((first, second), (first_uv, second_uv))
            if known != (first_uv, second_uv) and chosen[first] and chosen[second]:
                seams.append((first, second))
    return np.array(seams, dtype=np.int64).reshape(-1, 2)


def _texture(kit: FaceKit, kept: _Kept) -> tuple[Float[np.ndarray, "u 2"], Int[np.ndarray, "t 3"]]:
    """Return texture coordinates and their triangles: where a vertex has several, those of one piece of the texture."""
    options: dict[int, set[int]] = {}
    for vertex, uv in zip(kit.triangles.ravel().tolist(), kit.uv_triangles.ravel().tolist(), strict=True):
        options.setdefault(vertex, set()).add(uv)
    corners = kept.vertices[kept.triangles]
    chosen = np.array([_one_piece([sorted(options[vertex]) for vertex in three], kit.uv) for three in corners.tolist()])
    used, rows = np.unique(chosen, return_inverse=True)
    return np.clip(kit.uv[used], 0.0, 1.0), rows.reshape(chosen.shape)


def _one_piece(options: list[list[int]], uv: np.ndarray) -> tuple[int, ...]:
    """Return one of the texture coordinates of each corner such that the triangle is the smallest in the texture."""
    if all(len(each) == 1 for each in options):
        return tuple(each[0] for each in options)

    def outline(three: tuple[int, ...]) -> float:
        return float(np.linalg.norm(uv[list(three)] - uv[[three[1], three[2], three[0]]], axis=1).sum())

    return min(product(*options), key=outline)


def _landmarks(
    rows: Int[np.ndarray, "68"], triangles: Int[np.ndarray, "t 3"]
) -> tuple[Int[np.ndarray, "68"], Float[np.ndarray, "68 3"]]:
    """Return a triangle of each landmark's vertex, and the vertex as a point on it."""
    found = np.array([int(np.flatnonzero((triangles == row).any(axis=1))[0]) for row in rows])
    return found, (triangles[found] == rows[:, None]).astype(np.float64)


def _float(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()
