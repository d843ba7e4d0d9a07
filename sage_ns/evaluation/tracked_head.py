"""How far a tracked head is from the true one: the face in millimetres, the pose in degrees, and what moves with time.

Both heads have the same vertices (one head model), so that every vertex knows its true place. Faces are compared after
the similarity that takes the tracked face nearest to the true one (Umeyama 1991): the size of a head and its distance
from the camera are nearly redundant in one picture. Poses are compared in the axes of the camera, since every tracker
has a world of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.flame_table import expression_alone
from sage_ns.errors import SageError
from sage_ns.evaluation.true_surface import Truth
from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.rotations import axis_angle_to_matrix, degrees_between, nearest_rotation
from sage_ns.geometry.similarity import rigid_motion, similarity
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.rig.openings import eye_opening, mouth_opening
from sage_ns.rig.skull import skull_motions

DELIVERED, TRUE_SURFACE, TRUE_VERTICES = "delivered tracking", "true surface", "true vertices"
"""What faces are compared with: `TrueFace.against`."""
LIDS, LIPS, JAW = "lids", "lips", "jaw"
MOVES: Mapping[str, float] = {LIDS: 5e-4, LIPS: 5e-4, JAW: math.radians(1.0)}
"""Standard deviations of the true movement [metres between the rims; radians of the jaw] from which on it is said how
well the tracked one follows: the correlation with what rests is noise."""
_MOST_ROUNDS, _STILL = 200, 1e-6
"""Rounds of closest points, and metres per round below which the face lies still."""


@dataclass(frozen=True, eq=False)
class SeenHead:
    """A head at one moment, and the camera that sees it."""

    params: FlameParams
    """One moment."""
    camera_to_world: Float[Tensor, "4 4"]
    """Metres, in the world of the parameters; OpenGL axes (x right, y up, z back)."""


@dataclass(frozen=True, eq=False)
class TrueFace:
    """What a tracked head is compared with at one moment."""

    vertices: Float[Tensor, "num_vertices 3"]
    """True places of the head model's vertices, metres."""
    surface: TriangleMesh
    against: str
    """Where the surface comes from: the delivered tracking, or a true surface."""


@dataclass(frozen=True)
class FaceFigures:
    """Mean distances over the vertices of the face."""

    surface: float
    """To the nearest place of the true surface after the similarity, millimetres."""
    correspondence: float
    """To the true place of the same vertex after the similarity, millimetres."""
    surface_no_scale: float
    """As `surface`, after the best rotation and translation alone."""
    scale: float
    """Of the similarity: the true size of the face relative to the tracked one."""


@dataclass(frozen=True)
class MotionFigures:
    """Errors of pose and movement over moments."""

    rotation_mean: float
    """Degrees between the tracked and the true turn of the head against the camera."""
    rotation_largest: float
    jaw_rms: float
    """Degrees between the tracked and the true turn of the jaw."""
    correlations: Mapping[str, float]
    """Of the opening of lids and lips and of the jaw's angle with the true ones, where these move (`MOVES`)."""


@dataclass(frozen=True)
class CameraFigures:
    """Errors of cameras that were searched for, after the similarity that takes their places nearest to the true ones.

    The turn of the similarity is that which takes the cameras' axes nearest to the true ones.
    """

    rotation_mean: float
    """Degrees."""
    rotation_largest: float
    position_mean: float
    """Millimetres."""
    position_largest: float


def require_same_vertices(tracked: HeadModel, delivered: HeadModel, name: str) -> None:
    """Refuse two head models whose vertices are not the same places.

    Args:
        tracked: head model of the tracked head.
        delivered: head model of the truth.
        name: of the capture, for the message.

    Raises:
        SageError: they differ in vertices or triangles.
    """
    same = tracked.num_vertices == delivered.num_vertices and torch.equal(tracked.triangles, delivered.triangles)
    if not same:
        raise SageError(
            f"{name} is tracked with the head model '{delivered.name}' ({delivered.num_vertices} vertices), and the "
            f"head to compare has '{tracked.name}' ({tracked.num_vertices} vertices): no vertex knows its true place. "
            "Track with the head model of the capture."
        )


def true_face(model: HeadModel, params: FlameParams, truth: Truth | None = None) -> TrueFace:
    """Return what to compare a head with at one moment.

    A true surface with the triangles of the head model also says where its vertices are. Any other true surface is
    moved, as a rigid body, to where the delivered face lies on it best: the pose of the delivered head, which has an
    error of its own, is no error of a face.

    Args:
        model: head model of the capture.
        params: delivered tracking of the moment.
        truth: true surface of the moment; None = the capture has none.
    """
    delivered = pose_vertices(model, params)[0].double()
    if truth is None:
        return TrueFace(delivered, TriangleMesh(delivered, model.triangles), DELIVERED)
    points, triangles = truth.mesh.vertices.double(), truth.mesh.triangles
    if torch.equal(triangles.long(), model.triangles):
        return TrueFace(points, TriangleMesh(points, triangles), TRUE_VERTICES)
    moved = _laid_onto(points, triangles, delivered[_face(model)])
    return TrueFace(delivered, TriangleMesh(moved, triangles), TRUE_SURFACE)


def face_figures(vertices: Float[Tensor, "num_vertices 3"], true: TrueFace, model: HeadModel) -> FaceFigures:
    """Compare the face of a head with the true one.

    Args:
        vertices: of the tracked head, metres, in any world.
        true: the truth.
        model: head model of both.
    """
    face = _face(model)
    found, goal = vertices[face].double(), true.vertices[face].double()
    similar = similarity(found, goal)
    placed = similar(found)
    return FaceFigures(
        surface=_millimetres(true.surface.closest(placed).distance),
        correspondence=_millimetres((placed - goal).norm(dim=-1)),
        surface_no_scale=_millimetres(true.surface.closest(rigid_motion(found, goal)(found)).distance),
        scale=similar.scale,
    )


def mean_face_figures(each: Sequence[FaceFigures]) -> FaceFigures:
    """Return the means over moments."""
    return FaceFigures(
        fmean(one.surface for one in each),
        fmean(one.correspondence for one in each),
        fmean(one.surface_no_scale for one in each),
        fmean(one.scale for one in each),
    )


def motion_figures(found: Sequence[SeenHead], true: Sequence[SeenHead], model: HeadModel) -> MotionFigures:
    """Compare poses and movements of a head with the true ones.

    Args:
        found: the tracked head as cameras have seen it.
        true: the truth for each of them; identity and world may differ.
        model: head model of both.
    """
    pairs = list(zip(found, true, strict=True))
    heads = zip(*((head_in_camera(one, model), head_in_camera(other, model)) for one, other in pairs), strict=True)
    turns = degrees_between(*(torch.stack(each) for each in heads))
    jaws = degrees_between(
        *(axis_angle_to_matrix(torch.cat([one.params.jaw_pose for one in each]).double()) for each in (found, true))
    )
    return MotionFigures(
        rotation_mean=float(turns.mean()),
        rotation_largest=float(turns.max()),
        jaw_rms=float(jaws.square().mean().sqrt()),
        correlations=_correlations(_movements(found, model), _movements(true, model)),
    )


def head_in_camera(seen: SeenHead, model: HeadModel) -> Float[Tensor, "3 3"]:
    """Return the rotation of the skull in the axes of the camera; the neck counts, jaw and expression do not."""
    skull = skull_motions(model, seen.params)[0, :3, :3].double()
    return seen.camera_to_world[:3, :3].double().T @ skull


def camera_figures(found: Float[Tensor, "num_cameras 4 4"], true: Float[Tensor, "num_cameras 4 4"]) -> CameraFigures:
    """Compare the poses of cameras, at least three that do not stand on a line, with the true ones.

    Args:
        found: camera to world, in any world and unit.
        true: camera to world, metres.
    """
    found, true = found.double(), true.double()
    places = similarity(found[:, :3, 3], true[:, :3, 3])(found[:, :3, 3])
    turn = nearest_rotation(torch.einsum("nij,nkj->ik", true[:, :3, :3], found[:, :3, :3]))
    turns = degrees_between(turn @ found[:, :3, :3], true[:, :3, :3])
    shifts = 1e3 * (places - true[:, :3, 3]).norm(dim=-1)
    return CameraFigures(float(turns.mean()), float(turns.max()), float(shifts.mean()), float(shifts.max()))


def _movements(seen: Sequence[SeenHead], model: HeadModel) -> dict[str, Float[Tensor, "t"]]:
    """Return what opens, by name: metres between the rims of lids and lips, and radians of the jaw."""
    still = [expression_alone(each.params) for each in seen]
    vertices = torch.cat([pose_vertices(model, each) for each in still]).double()
    eyes = [opening for side in ("left", "right") if (opening := eye_opening(model, side)) is not None]
    mouth = mouth_opening(model)
    rims = {LIDS: eyes, LIPS: [] if mouth is None else [mouth]}
    found = {
        name: torch.stack(
            [(vertices[:, each.upper] - vertices[:, each.lower]).norm(dim=-1).mean(dim=-1) for each in openings]
        ).mean(dim=0)
        for name, openings in rims.items()
        if openings
    }
    return {**found, JAW: torch.cat([each.params.jaw_pose[:, 0] for each in seen]).double()}


def _correlations(found: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> dict[str, float]:
    """Return Pearson's correlation of every movement that is one; 0 where the tracked head does not move."""
    correlations = {}
    for name, goal in true.items():
        if len(goal) < 3 or float(goal.std()) < MOVES[name]:
            continue
        pair = torch.stack([found[name], goal])
        moves = float(pair[0].std()) > 0
        correlations[name] = float(torch.corrcoef(pair)[0, 1]) if moves else 0.0
    return correlations


def _face(model: HeadModel) -> Tensor:
    face = model.regions.vertices("face")
    return face if len(face) else torch.arange(model.num_vertices)


def _laid_onto(
    points: Float[Tensor, "num_points 3"], triangles: Tensor, face: Float[Tensor, "n 3"]
) -> Float[Tensor, "num_points 3"]:
    """Return a surface moved as a rigid body to where a face lies on it best (iterated closest points)."""
    mesh = TriangleMesh(points, triangles)
    placed = face
    for _ in range(_MOST_ROUNDS):
        before = placed
        near = mesh.closest(placed)
        on_surface = barycentric_to_points(points, triangles, near.triangle, near.barycentric)
        placed = rigid_motion(face, on_surface)(face)
        if float((placed - before).norm(dim=-1).max()) < _STILL:
            break
    return rigid_motion(placed, face)(points)


def _millimetres(distances: Tensor) -> float:
    return float(1e3 * distances.double().mean())
