"""Binding of surfels to the triangles of the rig: drawing them, carrying them along, binding them anew."""

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

_TURNED_AWAY = 0.25
"""Weight of a triangle that faces away from all cameras, against 1 for one that faces them."""
_NEAREST_CAMERA = 0.05
"""Metres; a camera closer than this counts as this close."""

SurfelPoses = tuple[Float[Tensor, "num_surfels 3"], Float[Tensor, "num_surfels 4"], Float[Tensor, "num_surfels axes"]]
"""Means, unit quaternions (wxyz), scales."""


@dataclass(frozen=True, eq=False)
class Binding:
    """The triangle of every surfel, and where on it the surfel was drawn."""

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
    """Draw surfels uniformly on the posed mesh, more densely on the face and where cameras are near.

    The density on a triangle is (face_weight on the face, else 1) times the mean over the cameras of
    (1 / distance)^2 (1/4 + 3/4 max(0, cosine between normal and view)). If there are enough surfels, every triangle
    that has an area gets at least one. Sorted by triangle.

    Args:
        vertices: Posed, metres.
        model: Gives triangles and the region "face".
        num_surfels: How many to draw.
        camera_centers: World positions, metres; None or empty: nearness does not count.
        generator: Makes the draw repeatable; on the CPU.
        face_weight: How much more densely the face is covered.
        density: A further factor per triangle.

    Raises:
        ValueError: No triangle has an area.
    """
    triangles = model.triangles
    areas = triangle_areas(vertices.detach(), triangles)
    weights = areas * torch.where(model.regions.triangle_mask("face", triangles), face_weight, 1.0)
    if camera_centers is not None and len(camera_centers) > 0:
        weights = weights * _seen_closely(vertices.detach(), triangles, camera_centers)
    if density is not None:
        weights = weights * density
    with_area = (areas > 0).nonzero().flatten()
    if num_surfels >= len(with_area) > 0:
        # one each, and the rest so that the totals still follow the weights
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
    """Local surfels into the world (Eq. 4): mu' = k R mu + T, r' = R r, s' = k s.

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
    """World surfels into the frames of their triangles: the inverse of `to_world`.

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
    """The triangle that is nearest to every surfel now.

    To keep the surfels where they are while they change triangles, take their world poses with the old triangles
    (`to_world`) and express them in the frames of the new ones (`to_local`).

    Args:
        means: World, metres.
        vertices: The mesh posed at the same moment, metres.
        triangles: Its triangles.
        current: The triangles that the surfels are bound to; needed with labels.
        triangle_labels: Surfels only change between triangles of equal label (see `rebinding_labels`).

    Raises:
        ValueError: Labels were given without the current triangles.
    """
    if triangle_labels is None:
        return nearest_triangles(means, vertices, triangles).triangle
    if current is None:
        raise ValueError("rebind: triangle_labels need the current triangles")
    nearest = current.long().clone()
    surfel_labels = triangle_labels[current]
    for label in surfel_labels.unique():
        moving = surfel_labels == label
        allowed = (triangle_labels == label).nonzero().flatten()
        nearest[moving] = allowed[nearest_triangles(means[moving], vertices, triangles[allowed]).triangle]
    return nearest


def rebinding_labels(model: HeadModel) -> Int64[Tensor, "num_triangles"]:
    """Parts of the head that may touch without belonging together: a label per triangle.

    Triangles that follow the jaw are kept apart from those that do not (upper and lower lip), each eyeball from its
    eyelids, and each region inside the mouth from everything else.
    """
    triangles = model.triangles
    jaw_weight = model.skinning_weights[triangles, JOINT_NAMES.index("jaw")].mean(dim=-1)
    labels = (jaw_weight > 0.5).long()
    inside = [name for name in model.regions.names if "eyeball" in name or "teeth" in name or "mouth" in name]
    for part, name in enumerate(inside, start=1):
        mask = model.regions.triangle_mask(name, triangles)
        labels[mask] = 2 * part + labels[mask] % 2
    return labels


def _seen_closely(vertices: Tensor, triangles: Tensor, camera_centers: Tensor) -> Float[Tensor, "num_triangles"]:
    centroids = vertices[triangles].mean(dim=1)
    toward = camera_centers.to(vertices)[:, None] - centroids
    distance = toward.norm(dim=-1).clamp_min(_NEAREST_CAMERA)
    cosine = (toward * triangle_normals(vertices, triangles)).sum(-1) / distance
    return ((_TURNED_AWAY + (1 - _TURNED_AWAY) * cosine.clamp(0, 1)) / distance**2).mean(dim=0)
