"""Which point of one head model is which point of another: registration by landmarks, parts and closest points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.errors import HeadModelError, SageError, WriteError
from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.nonrigid import drawn_onto, spline_through
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.vertex_means import vertex_normals
from sage_ns.rig.head_model import JOINT_NAMES, HeadModel
from sage_ns.rig.landmarks import eyeball_vertices, head_landmarks
from sage_ns.rig.mouth import find_mouth
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz
from sage_ns.system.cache import cache_dir

_VERSION = 1
"""Part of the cache's key: raise it when the result for the same heads changes."""
_JAW, *_EYES = (JOINT_NAMES.index(name) for name in ("jaw", "left_eye", "right_eye"))
_STIFFNESS = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.3)
"""Stiffness of every round, see `drawn_onto`: from nearly rigid to nearly free."""
_AGREEMENT, _REACH = 0.5, 0.02
"""Least cosine between the normals of corresponding points, and their largest distance in metres."""
_AROUND_MOUTH = 0.035
"""Metres around the mouth within which lower and upper lip are told apart by what the jaw moves."""
_ABSURD_MEAN, _ABSURD_P95 = 2.0, 8.0
"""Millimetres; a registration that misses the other head by more has not found it."""
_EARS = ("left_ear", "right_ear")


class RegistrationError(SageError):
    """Two head models do not correspond: one of them is no head, or in other axes or units."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """The mean head of one model in the shape of another one's."""

    vertices: Float[Tensor, "num_vertices 3"]
    """Vertices of the first head on the surface of the second, unposed; metres."""
    mean_mm: float
    """Mean distance of the vertices from that surface."""
    p95_mm: float
    """Distance that 95 of 100 vertices keep below."""

    def summary(self) -> str:
        """Return the residual in words."""
        return f"mean {self.mean_mm:.2f} mm, p95 {self.p95_mm:.2f} mm"


def correspondence(reference: HeadModel, target: HeadModel) -> Correspondence:
    """Fit the reference head to the surface of another head; the result is cached by the content of both.

    Landmarks (`head_landmarks`) give a first map, closest points the rest. Eyeballs correspond to eyeballs, what the
    jaw moves near the lips to what it moves, and ears to ears where both models have regions for them.

    Args:
        reference: mean head that is deformed.
        target: mean head whose surface it takes.

    Raises:
        RegistrationError: the heads have no common landmarks, or stay far apart; names the target and the residual.
    """
    path = cache_dir() / f"correspondence-{_content_key(reference, target)}.npz"
    found = _read(path, reference.num_vertices)
    if found is None:
        found = _register(reference, target)
        with suppress(WriteError):
            residual = np.array([found.mean_mm, found.p95_mm], dtype=np.float64)
            write_npz(path, {"vertices": found.vertices.cpu().numpy(), "residual": residual}, compress=True)
    if not (found.mean_mm < _ABSURD_MEAN and found.p95_mm < _ABSURD_P95):
        raise RegistrationError(
            f"head model '{target.name}': found no correspondence with '{reference.name}': {found.summary()}, expected "
            f"at most {_ABSURD_MEAN:g} and {_ABSURD_P95:g} mm. Check that the model is a head in metres, y up, looking "
            "along +z."
        )
    return replace(found, vertices=found.vertices.to(reference.v_template))


def parts(model: HeadModel, mouth: Float[Tensor, "3"]) -> Float[Tensor, "num_vertices"]:
    """Number the parts of a head whose surfaces may touch without belonging together, see `correspondence`.

    Args:
        model: the head.
        mouth: where its lips meet, metres.
    """
    labels = torch.zeros(model.num_vertices, dtype=torch.int64)
    near = (model.v_template - mouth).norm(dim=-1) < _AROUND_MOUTH
    labels[near] = torch.where(model.skinning_weights[near, _JAW] > 0.5, 2, 1)
    for number, name in enumerate(_EARS, 3):
        labels[model.regions.vertices(name)] = number
    for number, joint in enumerate(_EYES, 5):
        labels[eyeball_vertices(model, joint)] = number
    return labels


def _register(reference: HeadModel, target: HeadModel) -> Correspondence:
    reference, target = reference.to("cpu"), target.to("cpu")
    try:
        sources, targets = (_landmarks(model, reference, target) for model in (reference, target))
        mouths = [find_mouth(model).center for model in (reference, target)]
    except HeadModelError as error:
        raise RegistrationError(f"{error} It cannot be registered to '{reference.name}'.") from error
    with_ears = _have_ears(reference, target)
    own, theirs = (
        _without_ears(parts(model, mouth), with_ears) for model, mouth in zip((reference, target), mouths, strict=True)
    )
    start = spline_through(sources, targets, reference.v_template)
    start = _with_eyeballs(start, reference, target)
    nearest = _nearest_of_part(reference, target, own, theirs)
    vertices = drawn_onto(start, reference.triangles, nearest, _STIFFNESS)
    surface = TriangleMesh(target.v_template, target.triangles)
    distance = 1e3 * surface.closest(vertices).distance
    return Correspondence(vertices, float(distance.mean()), float(distance.quantile(0.95)))


def _landmarks(model: HeadModel, reference: HeadModel, target: HeadModel) -> Float[Tensor, "num_landmarks 3"]:
    """Return the landmarks of a head, with those of the ears' outlines where both heads have regions for them."""
    found = [head_landmarks(model)]
    if _have_ears(reference, target):
        for name in _EARS:
            ear = model.v_template[model.regions.vertices(name)]
            found.append(torch.stack([ear[ear[:, 1].argmax()], ear[ear[:, 1].argmin()], ear[ear[:, 2].argmin()]]))
    return torch.cat(found)


def _have_ears(*models: HeadModel) -> bool:
    return all(len(model.regions.vertices(name)) > 0 for model in models for name in _EARS)


def _without_ears(labels: Tensor, with_ears: bool) -> Tensor:
    return labels if with_ears else torch.where((labels == 3) | (labels == 4), 0, labels)


def _with_eyeballs(
    vertices: Float[Tensor, "num_vertices 3"], reference: HeadModel, target: HeadModel
) -> Float[Tensor, "num_vertices 3"]:
    """Return the vertices with both eyeballs in the places and sizes of the target's."""
    moved = vertices.clone()
    for joint in _EYES:
        own, theirs = (eyeball_vertices(model, joint) for model in (reference, target))
        if not (bool(own.any()) and bool(theirs.any())):
            continue
        ball, other = reference.v_template[own], target.v_template[theirs]
        center, place = (0.5 * (points.amin(dim=0) + points.amax(dim=0)) for points in (ball, other))
        sizes = [(points.amax(dim=0) - points.amin(dim=0)).mean() for points in (ball, other)]
        moved[own] = place + (ball - center) * sizes[1] / sizes[0]
    return moved


def _nearest_of_part(
    reference: HeadModel, target: HeadModel, own: Tensor, theirs: Tensor
) -> Callable[[Tensor], tuple[Tensor, Bool[Tensor, "num_vertices"]]]:
    """Return the search for closest points on the same part, with agreeing normals and within reach."""
    corners = target.triangles
    normals = vertex_normals(target.v_template, corners)
    searches = {}
    for part in own.unique().tolist():
        same = (theirs[corners] == part).any(dim=-1) if part else (theirs[corners] < 5).all(dim=-1)
        chosen = corners[same] if bool(same.any()) else corners
        searches[part] = TriangleMesh(target.v_template, chosen), chosen

    def nearest(vertices: Tensor) -> tuple[Tensor, Tensor]:
        facing = vertex_normals(vertices, reference.triangles)
        points, has = torch.zeros_like(vertices), torch.zeros(len(vertices), dtype=torch.bool)
        for part, (mesh, chosen) in searches.items():
            rows = (own == part).nonzero()[:, 0]
            found = mesh.closest(vertices[rows])
            points[rows] = barycentric_to_points(target.v_template, chosen, found.triangle, found.barycentric)
            their_normals = barycentric_to_points(normals, chosen, found.triangle, found.barycentric)
            agree = (their_normals * facing[rows]).sum(dim=-1) > _AGREEMENT
            has[rows] = agree & (found.distance < _REACH)
        return points, has

    return nearest


def _content_key(*models: HeadModel) -> str:
    digest = hashlib.sha256(repr((_VERSION, _STIFFNESS)).encode())
    for model in models:
        tensors = (model.v_template, model.triangles, model.skinning_weights, model.joint_regressor)
        regions = [model.regions.vertices(name) for name in _EARS]
        for tensor in (*tensors, *regions):
            digest.update(repr(tuple(tensor.shape)).encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: object, num_vertices: int) -> Correspondence | None:
    """Return a cached result; None if the file is missing or damaged."""
    try:
        read = ArrayFields(str(path), read_npz(path, RegistrationError), RegistrationError)  # type: ignore[arg-type]
        vertices, residual = read.floats("vertices", f"{num_vertices} 3"), read.floats("residual", "2")
    except SageError:
        return None
    return Correspondence(vertices, float(residual[0]), float(residual[1]))
