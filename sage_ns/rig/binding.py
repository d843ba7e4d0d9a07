"""Binding of surfels to the triangles of the rig: sampling, conversion between local and world poses, rebinding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

from sage_ns.geometry.mesh_queries import nearest_triangles, sample_triangles, uniform_barycentric
from sage_ns.geometry.rotations import quaternion_conjugate, quaternion_multiply
from sage_ns.geometry.triangles import TriangleFrames, triangle_areas, triangle_normals
from sage_ns.rig.head_model import JOINT_NAMES, HeadModel

_BACKFACING_WEIGHT = 0.25
"""Weight of a triangle that faces away from all cameras; one that faces them weighs 1."""
_MIN_CAMERA_DISTANCE = 0.05
"""Metres; lower bound on the distance of a camera."""

SurfelPoses = tuple[Float[Tensor, "num_surfels 3"], Float[Tensor, "num_surfels 4"], Float[Tensor, "num_surfels axes"]]
"""Means, unit quaternions (wxyz), scales."""


@dataclass(frozen=True, eq=False)
class Binding:
    """The triangle of every surfel, and the point on it from which the surfel starts."""

    triangle: Int64[Tensor, "num_surfels"]
    barycentric: Float[Tensor, "num_surfels 3"]


def sample_binding(
    vertices: Float[Tensor, "num_vertices 3"],
    model: HeadModel,
    num_surfels: int,
    camera_centers: Float[Tensor, "num_cameras 3"] | None = None,
    generator: torch.Generator | None = None,
    face_weight: float = 2.0,
    density: Float[Tensor, "num_triangles"] | None = None,
) -> Binding:
    """Draw surfels at random on the posed mesh, more densely on the face and near the cameras.

    The density on a triangle is (face_weight on the face, else 1) times the mean over the cameras of
    (1 / distance)^2 (1/4 + 3/4 max(0, cosine between normal and view)). If there are enough surfels, every triangle
    with an area gets at least one. The result is sorted by triangle.

    Args:
        vertices: Posed, metres.
        model: Head model with the triangles and the region "face".
        num_surfels: Number of surfels to draw.
        camera_centers: World positions, metres; with None or no cameras, the camera factor is left out.
        generator: Makes the draw repeatable; on the CPU.
        face_weight: Factor on the density on the face.
        density: Additional factor on the density of each triangle.

    Raises:
        ValueError: No triangle has an area.
    """
    triangles = model.triangles
    areas = triangle_areas(vertices.detach(), triangles)
    weights = areas * torch.where(model.regions.triangle_mask("face", triangles), face_weight, 1.0)
    if camera_centers is not None and len(camera_centers) > 0:
        weights = weights * _camera_weights(vertices.detach(), triangles, camera_centers)
    if density is not None:
        weights = weights * density
    with_area = (areas > 0).nonzero().flatten()
    if num_surfels >= len(with_area) > 0:
        # one surfel each; the others are drawn to make the totals follow the weights
        surplus = (weights * num_surfels / weights.sum() - 1).clamp_min(0)
        remaining = num_surfels - len(with_area)
        rest = sample_triangles(surplus if surplus.sum() > 0 else weights, remaining, generator)
        triangle = torch.cat([with_area, rest]).sort().values
    else:
        triangle = sample_triangles(weights, num_surfels, generator)
    return Binding(triangle, uniform_barycentric(num_surfels, generator).to(vertices))


def to_world(
    means: Float[Tensor, "num_surfels 3"],
    quaternions: Float[Tensor, "num_surfels 4"],
    scales: Float[Tensor, "num_surfels axes"],
    frames: TriangleFrames,
) -> SurfelPoses:
    """Transform local surfels into the world (Eq. 4): mu' = k R mu + T, r' = R r, s' = k s.

    Args:
        means: In units of the triangle's scale, in its frame.
        quaternions: wxyz, normalised inside.
        scales: In units of the triangle's scale (linear, not logarithms).
        frames: One per surfel: `frames[binding.triangle]`.

    Returns:
        Means (metres), unit quaternions (wxyz), scales (metres).
    """
    rotated = torch.einsum("nij,nj->ni", frames.rotation, means)
    quaternions = quaternion_multiply(frames.quaternion, F.normalize(quaternions, dim=-1))
    return frames.scale[:, None] * rotated + frames.origin, quaternions, frames.scale[:, None] * scales


def to_local(
    means: Float[Tensor, "num_surfels 3"],
    quaternions: Float[Tensor, "num_surfels 4"],
    scales: Float[Tensor, "num_surfels axes"],
    frames: TriangleFrames,
) -> SurfelPoses:
    """Transform world surfels into the frames of their triangles; inverse of `to_world`.

    Args:
        means: World, metres.
        quaternions: wxyz, normalised inside.
        scales: Metres.
        frames: One per surfel: `frames[binding.triangle]`.

    Returns:
        Means, unit quaternions (wxyz) and scales in the frames' units.
    """
    rotated = torch.einsum("nji,nj->ni", frames.rotation, means - frames.origin)
    quaternions = quaternion_multiply(quaternion_conjugate(frames.quaternion), F.normalize(quaternions, dim=-1))
    return rotated / frames.scale[:, None], quaternions, scales / frames.scale[:, None]


def rebind(
    means: Float[Tensor, "num_surfels 3"],
    vertices: Float[Tensor, "num_vertices 3"],
    triangles: Int[Tensor, "num_triangles 3"],
    current: Int[Tensor, "num_surfels"] | None = None,
    triangle_labels: Int[Tensor, "num_triangles"] | None = None,
) -> Int64[Tensor, "num_surfels"]:
    """Return the triangle that is nearest to each surfel.

    To change the triangles of surfels without moving the surfels, compute their world poses with the old triangles
    (`to_world`) and express these in the frames of the new triangles (`to_local`).

    Args:
        means: World, metres.
        vertices: The mesh posed at the same moment, metres.
        triangles: Its triangles.
        current: The triangles that the surfels are bound to; required with labels.
        triangle_labels: Surfels change only between triangles with equal labels, see `rebinding_labels`.

    Raises:
        ValueError: Labels were given without the current triangles.
    """
    if triangle_labels is None:
        return nearest_triangles(means, vertices, triangles).triangle
    if current is None:
        raise ValueError("rebind: found triangle_labels without current triangles; give both")
    nearest = current.long().clone()
    surfel_labels = triangle_labels[current]
    for label in surfel_labels.unique():
        moving = surfel_labels == label
        allowed = (triangle_labels == label).nonzero().flatten()
        nearest[moving] = allowed[nearest_triangles(means[moving], vertices, triangles[allowed]).triangle]
    return nearest


def rebinding_labels(model: HeadModel) -> Int64[Tensor, "num_triangles"]:
    """Label the triangles of parts of the head that may touch but do not belong together.

    Different labels separate triangles that follow the jaw from those that do not (lower and upper lip), each eyeball
    from its eyelids, and each region inside the mouth from everything else.
    """
    triangles = model.triangles
    jaw_weight = model.skinning_weights[triangles, JOINT_NAMES.index("jaw")].mean(dim=-1)
    labels = (jaw_weight > 0.5).long()
    inside = [name for name in model.regions.names if "eyeball" in name or "teeth" in name or "mouth" in name]
    for part, name in enumerate(inside, start=1):
        mask = model.regions.triangle_mask(name, triangles)
        labels[mask] = 2 * part + labels[mask] % 2
    return labels


def _camera_weights(vertices: Tensor, triangles: Tensor, camera_centers: Tensor) -> Float[Tensor, "num_triangles"]:
    """Return the mean over the cameras of the factor that nearness and facing have on the density."""
    centroids = vertices[triangles].mean(dim=1)
    toward = camera_centers.to(vertices)[:, None] - centroids
    distance = toward.norm(dim=-1).clamp_min(_MIN_CAMERA_DISTANCE)
    cosine = (toward * triangle_normals(vertices, triangles)).sum(-1) / distance
    return ((_BACKFACING_WEIGHT + (1 - _BACKFACING_WEIGHT) * cosine.clamp(0, 1)) / distance**2).mean(dim=0)
