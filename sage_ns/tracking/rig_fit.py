"""One head in the pictures of a rig of cameras at one moment: which faces hold, the scale of the world, and the fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.photo import FARTHEST_TURN
from sage_ns.errors import TrackingError
from sage_ns.geometry.rigid import CAMERA_AXES
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.geometry.similarity import Similarity, similarity
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.skinning import joints
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.choice import MOST_DISAGREEMENT
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.joint_fit import ERROR_OF_A_LANDMARK, JointFit, KnownCamera, Sighting, fit_moments
from sage_ns.tracking.skin_fit import fit_to_skin
from sage_ns.tracking.triangulation import agreeing_landmarks

_STATED_SIZES = (0.8, 1.25)
"""Sizes of a head relative to the mean head, between which a stated unit is believed: people differ by 5 %."""
_METRES = (0.87, 1.15)
"""The same where nothing is stated and metres are taken for granted."""
_LEAST_FACES = 2
_WORST_SHAPE = 0.12
"""Root mean squared distance of the landmarks in space from those of the mean head, relative to the width of the face:
people have 0.03 to 0.05, mirrored faces 0.25."""


@dataclass(frozen=True, eq=False)
class RigFit:
    """A head at the world's origin, as the rig has it at rest, and the cameras around it."""

    params: FlameParams
    """One moment; rotation and translation are zero."""
    cameras: tuple[RigCamera, ...]
    """Of all pictures, in metres."""
    metres_per_unit: float
    """Of the world that the cameras were stated in."""
    scale_source: str
    """Where the scale comes from, in words."""
    head_size: float
    """Of the face in that scale, relative to the mean head's."""
    world_to_head: Float[np.ndarray, "4 4"]
    """From the world that the cameras were stated in to the head's; its rotation is scaled by `metres_per_unit`."""
    fit: JointFit
    """Of the faces that were used."""
    used: tuple[int, ...]
    """Cameras whose faces were fitted, in the order of the fit."""
    rejected: dict[int, str]
    """Cameras whose faces do not hold, and why."""
    num_skin_points: int = 0
    """Points of the skin that the head was fitted to after the landmarks."""


FindSkin = Callable[[Sequence[RigCamera], FlameParams], Float[np.ndarray, "num_points 3"]]
"""Returns points on the skin in the world of the cameras, metres, from a head that is roughly fitted."""


def fit_rig(
    cameras: Sequence[RigCamera],
    faces: dict[int, Face],
    model: HeadModel,
    embedding: Embedding,
    metres_per_unit: float | None,
    source: str,
    find_skin: FindSkin | None = None,
    error: float = ERROR_OF_A_LANDMARK,
) -> RigFit:
    """Fit one head to the faces that several cameras see at one moment.

    Landmarks in space decide which faces hold; the similarity between them and those of the mean head places the head,
    and gives the scale if nobody states it. `fit_moments` then fits everything to all pictures. Faces that disagree
    with the fitted head are left out, and the fit is made again.

    Args:
        cameras: of all pictures, without lenses.
        faces: by row of the camera.
        model: head model.
        embedding: of that head model.
        metres_per_unit: of the cameras' positions; None = not stated.
        source: of the cameras, for messages.
        find_skin: finds points of the skin, which the head is moved onto; None = landmarks alone.
        error: standard deviation of a landmark in one picture, relative to the width of the face.

    Raises:
        TrackingError: fewer than two faces hold, the cameras do not agree with the faces, or their unit is wrong.
    """
    rows = sorted(faces)
    if len(rows) < _LEAST_FACES:
        raise TrackingError(
            f"{source}: {len(rows)} of {len(cameras)} pictures show a face that can be tracked; expected at least "
            f"{_LEAST_FACES}. Give pictures from the front; for one picture, give its file instead of the folder."
        )
    weights = embedding.weight.double().numpy()
    agreement = agreeing_landmarks([cameras[row] for row in rows], [faces[row] for row in rows], weights, source)
    placed = placed_head(agreement.points, model, embedding, source)
    scale, scale_source = scale_of(placed, metres_per_unit, source)
    around = [_in_head(camera, placed, scale) for camera in cameras]
    agreeing = [row for row, agrees in zip(rows, agreement.agrees, strict=True) if agrees]
    rejected = {
        row: f"landmarks miss those of the other cameras by {miss:.0%} of the face"
        for row, miss in zip(rows, agreement.misses, strict=True)
        if row not in agreeing
    }
    turns = {row: _turn(around[row], placed, agreement.points, scale) for row in agreeing}
    used = [row for row in agreeing if turns[row] <= FARTHEST_TURN]
    if len(used) < _LEAST_FACES:
        used = agreeing
    rejected |= {row: f"turned away by {turns[row]:.0f} degrees" for row in agreeing if row not in used}
    fit, used, worse = _fit_those_that_hold(around, faces, used, model, embedding, source, error)
    skin = np.zeros((0, 3)) if find_skin is None else find_skin(around, fit.params)
    if len(skin):
        sightings, known = _sightings(around, faces, used)
        fit = fit_to_skin(fit, skin, sightings, known, model, embedding, error * math.sqrt(len(used)))
    to_head = np.linalg.inv(_pose(fit.params, model))
    return RigFit(
        params=replace(
            fit.params,
            rotation=torch.zeros_like(fit.params.rotation),
            translation=torch.zeros_like(fit.params.translation),
        ),
        cameras=tuple(_moved(camera, to_head) for camera in around),
        metres_per_unit=scale,
        scale_source=scale_source,
        head_size=placed.scale * scale,
        world_to_head=to_head @ _to_head(placed, scale),
        fit=fit,
        used=tuple(used),
        rejected=rejected | worse,
        num_skin_points=len(skin),
    )


def placed_head(points: np.ndarray, model: HeadModel, embedding: Embedding, source: str) -> Similarity:
    """Return the similarity from the mean head to the landmarks in space.

    Raises:
        TrackingError: they are no face.
    """
    mean = embedding.points(model.v_template.cpu(), model.triangles.cpu()).double()
    seen = torch.from_numpy(points)
    trust = embedding.weight.double()
    found = similarity(mean, seen, trust)
    off = ((found(mean) - seen).square().sum(dim=1) * trust).sum().div(trust.sum()).sqrt()
    width = (seen.amax(dim=0) - seen.amin(dim=0)).max()
    if not float(off / width) <= _WORST_SHAPE:
        raise TrackingError(
            f"{source}: the landmarks in space are no face: they are off those of the mean head by "
            f"{float(off / width):.0%} of the face. The cameras are mirrored, or belong to other pictures."
        )
    return found


def scale_of(placed: Similarity, stated: float | None, source: str) -> tuple[float, str]:
    """Return the metres per unit of the cameras, and where they come from.

    Raises:
        TrackingError: in the stated unit, the head has no size that heads have.
    """
    if stated is not None:
        size = placed.scale * stated
        if not _STATED_SIZES[0] <= size <= _STATED_SIZES[1]:
            raise TrackingError(
                f"{source}: in the stated unit, the head is {size:.3g} times as large as a head. The cameras are "
                f"stated in another unit: 1 of it is about {1 / placed.scale:.3g} m."
            )
        return stated, "stated with the cameras"
    if _METRES[0] <= placed.scale <= _METRES[1]:
        return 1.0, "not stated; the size of the head agrees with metres"
    return 1 / placed.scale, "not stated; the head has the size of the mean head"


def _in_head(camera: RigCamera, placed: Similarity, scale: float) -> RigCamera:
    """Return a camera in metres, in the axes of the placed head."""
    rotation, translation = placed.rotation.numpy(), placed.translation.numpy()
    matrix = camera.world_to_camera
    moved = np.eye(4)
    moved[:3, :3] = matrix[:3, :3] @ rotation
    moved[:3, 3] = scale * (matrix[:3, :3] @ translation + matrix[:3, 3])
    return replace(camera, world_to_camera=moved)


def _turn(camera: RigCamera, placed: Similarity, points: np.ndarray, scale: float) -> float:
    """Return the degrees between the front of the placed head and the direction to a camera."""
    matrix = _to_head(placed, scale)
    middle = matrix[:3, :3] @ points.mean(axis=0) + matrix[:3, 3]
    direction = camera.position - middle
    return float(np.degrees(np.arccos(np.clip(direction[2] / np.linalg.norm(direction), -1, 1))))


def _to_head(placed: Similarity, scale: float) -> Float[np.ndarray, "4 4"]:
    """Return the map from the cameras' world to metres in the axes of the placed head."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * placed.rotation.numpy().T
    matrix[:3, 3] = -matrix[:3, :3] @ placed.translation.numpy()
    return matrix


def _moved(camera: RigCamera, to_head: np.ndarray) -> RigCamera:
    return replace(camera, world_to_camera=camera.world_to_camera @ np.linalg.inv(to_head))


def _fit_those_that_hold(
    cameras: Sequence[RigCamera],
    faces: dict[int, Face],
    used: list[int],
    model: HeadModel,
    embedding: Embedding,
    source: str,
    error: float,
) -> tuple[JointFit, list[int], dict[int, str]]:
    """Fit, leave out the faces that disagree with the fitted head, and fit again until all agree."""
    worse: dict[int, str] = {}
    while True:
        sightings, known = _sightings(cameras, faces, used)
        # A landmark is off to the same side in all pictures: many of them say no more than one.
        fit = fit_moments(sightings, known, model, embedding, error=error * math.sqrt(len(used)), agreement=1.0)
        off = {row: float(each) for row, each in zip(used, fit.disagreement, strict=True)}
        bad = [row for row in used if not off[row] <= MOST_DISAGREEMENT]
        if not bad:
            return fit, used, worse
        worse |= {row: f"landmarks are off the fitted head by {off[row]:.1%} of the face" for row in bad}
        used = [row for row in used if row not in bad]
        if len(used) < _LEAST_FACES:
            raise TrackingError(
                f"{source}: the landmarks fit no human head: {'; '.join(worse.values())}; expected at most "
                f"{MOST_DISAGREEMENT:.0%}. Drawings and hidden faces cannot be tracked; or the cameras belong to other "
                "pictures."
            )


def _sightings(
    cameras: Sequence[RigCamera], faces: dict[int, Face], used: Sequence[int]
) -> tuple[list[Sighting], list[KnownCamera]]:
    """Return the faces that are fitted, and their cameras."""
    known = [_known(cameras[row]) for row in used]
    return [Sighting(0, index, faces[row]) for index, row in enumerate(used)], known


def _known(camera: RigCamera) -> KnownCamera:
    return KnownCamera(
        torch.from_numpy(np.linalg.inv(camera.world_to_camera) @ CAMERA_AXES), *camera.focal, *camera.center
    )


def _pose(params: FlameParams, model: HeadModel) -> Float[np.ndarray, "4 4"]:
    """Return where rotation (about the root joint) and translation take a head at rest."""
    at_rest = replace(
        params, rotation=torch.zeros_like(params.rotation), translation=torch.zeros_like(params.translation)
    )
    root = joints(model.to("cpu"), at_rest)[0, 0].double()
    rotation = axis_angle_to_matrix(params.rotation[0].double())
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.numpy()
    matrix[:3, 3] = (root - rotation @ root + params.translation[0].double()).numpy()
    return matrix
