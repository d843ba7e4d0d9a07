"""Points on the skin in space, from spots that several known cameras see: pores, freckles, brows.

Landmarks say where a face has its parts, but a detector errs to the same side in every picture. Spots are where they
are: SIFT (Lowe 2004) finds them, a head that is roughly fitted says which can be the same, and two cameras give each a
place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import PinholeCamera
from sage_ns.rig import HeadModel

_CONTRAST, _EDGE = 0.008, 20.0
"""SIFT's thresholds; OpenCV's own are 0.04 and 10. Skin has little contrast."""
_FACING = 0.35
"""Least cosine between the skin and the direction to the camera."""
_ANGLES = (7.0, 45.0)
"""Degrees between two cameras, seen from the head."""
_REACH = 0.008
"""Metres by which a spot may lie beside the fitted skin, and beside the other camera's spot on it."""
_RATIO = 0.85
"""Distance of the best descriptor relative to the second best one (Lowe's test)."""
_MISS = 1.0
"""Pixels between a spot and its point's projection."""


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture whose camera is known."""

    picture: UInt8[np.ndarray, "h w 3"]
    camera: PinholeCamera
    """World to camera, metres."""


@dataclass(frozen=True, eq=False)
class _Spots:
    """Spots of a picture that lie on the skin."""

    pixels: Float[np.ndarray, "n 2"]
    descriptors: Float[np.ndarray, "n 128"]
    places: Float[np.ndarray, "n 3"]
    """On the fitted skin, metres."""


def skin_points(
    sights: Sequence[Sight], vertices: Float[torch.Tensor, "num_vertices 3"], model: HeadModel
) -> Float[np.ndarray, "num_points 3"]:
    """Return points on the skin of the face, metres; as many as there are spots.

    Args:
        sights: pictures of one moment.
        vertices: of the fitted head in the world of the cameras, right to about `_REACH`.
        model: head model; without the region "face", all of its skin counts.
    """
    mesh = TriangleMesh(vertices, model.triangles.cpu())
    face = model.regions.triangle_mask("face", model.triangles).cpu()
    face = face if bool(face.any()) else torch.ones(model.num_triangles, dtype=torch.bool)
    spots = [_spots(sight, mesh, face) for sight in sights]
    middle = vertices.mean(dim=0).double().numpy()
    centers = [sight.camera.center.double().numpy() for sight in sights]
    found = [np.zeros((0, 3))]
    for one, other in combinations(range(len(sights)), 2):
        if _ANGLES[0] <= _angle(centers[one] - middle, centers[other] - middle) <= _ANGLES[1]:
            rows, columns = _matches(spots[one], spots[other])
            pixels = spots[one].pixels[rows], spots[other].pixels[columns]
            points = _triangulated(pixels, (sights[one].camera, sights[other].camera))
            near = np.linalg.norm(points - spots[one].places[rows], axis=1) < _REACH
            sure = _misses(points, pixels[0], sights[one].camera) < _MISS
            sure &= _misses(points, pixels[1], sights[other].camera) < _MISS
            found.append(points[near & sure])
    return np.concatenate(found)


def _spots(sight: Sight, mesh: TriangleMesh, face: Bool[torch.Tensor, "num_triangles"]) -> _Spots:
    """Return the spots on the skin that faces the camera."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(sight.picture), cv2.COLOR_RGB2GRAY)
    finder = cv2.SIFT.create(contrastThreshold=_CONTRAST, edgeThreshold=_EDGE)
    keys, descriptors = finder.detectAndCompute(grey, np.full_like(grey, 255))
    if not keys:
        return _Spots(np.zeros((0, 2)), np.zeros((0, 128)), np.zeros((0, 3)))
    # OpenCV counts pixel centres from 0.
    pixels = np.array([key.pt for key in keys]) + 0.5
    pixels, first = np.unique(pixels, axis=0, return_index=True)  # one spot may have several orientations
    directions = _directions(pixels, sight.camera)
    origins = sight.camera.center.expand(len(pixels), 3)
    hits = mesh.first_hits(origins, torch.from_numpy(directions).float())
    triangle = hits.triangle.clamp_min(0)
    normals = triangle_frames(mesh.vertices, mesh.triangles).rotation[:, :, 1][triangle].double().numpy()
    facing = np.abs((normals * directions).sum(axis=1)) / np.linalg.norm(directions, axis=1)
    kept = (hits.triangle >= 0).numpy() & face[triangle].numpy() & (facing > _FACING)
    places = (mesh.vertices[mesh.triangles[triangle]] * hits.barycentric[..., None]).sum(dim=1).double().numpy()
    return _Spots(pixels[kept], descriptors[first][kept].astype(np.float64), places[kept])


def _matches(one: _Spots, other: _Spots) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of spots that look alike and lie at one place: each the best for the other."""
    if min(len(one.pixels), len(other.pixels)) < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    lengths = (one.descriptors**2).sum(axis=1)[:, None] + (other.descriptors**2).sum(axis=1)[None]
    distance = np.sqrt(np.maximum(lengths - 2 * one.descriptors @ other.descriptors.T, 0.0))
    apart = np.linalg.norm(one.places[:, None] - other.places[None], axis=2)
    distance[apart > _REACH] = np.inf
    two = np.partition(distance, 1, axis=1)[:, :2]
    best = distance.argmin(axis=1)
    with np.errstate(invalid="ignore"):
        sure = np.isfinite(two[:, 0]) & ((two[:, 0] < _RATIO * two[:, 1]) | ~np.isfinite(two[:, 1]))
    rows = np.flatnonzero(sure & (distance.argmin(axis=0)[best] == np.arange(len(best))))
    return rows, best[rows]


def _directions(pixels: Float[np.ndarray, "n 2"], camera: PinholeCamera) -> Float[np.ndarray, "n 3"]:
    """Return the rays of pixels in the world, not normalised."""
    intrinsics = camera.intrinsics.double().numpy()
    flat = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(intrinsics).T
    return flat @ camera.T_camera_world[:3, :3].double().numpy()


def _triangulated(
    pixels: tuple[np.ndarray, np.ndarray], cameras: tuple[PinholeCamera, PinholeCamera]
) -> Float[np.ndarray, "n 3"]:
    """Return the points of least squared distances from two rays each."""
    normal, aim = np.zeros((len(pixels[0]), 3, 3)), np.zeros((len(pixels[0]), 3))
    for each, camera in zip(pixels, cameras, strict=True):
        directions = _directions(each, camera)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
        normal += across
        aim += across @ camera.center.double().numpy()
    return np.linalg.solve(normal, aim[..., None])[..., 0]


def _misses(points: np.ndarray, pixels: np.ndarray, camera: PinholeCamera) -> Float[np.ndarray, "n"]:
    """Return distances between pixels and the projections of points."""
    turn, shift = (part.double().numpy() for part in (camera.T_camera_world[:3, :3], camera.T_camera_world[:3, 3]))
    seen = (points @ turn.T + shift) @ camera.intrinsics.double().numpy().T
    return np.linalg.norm(seen[:, :2] / seen[:, 2:] - pixels, axis=1)


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
