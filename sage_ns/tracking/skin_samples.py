"""Points on the skin of a head that turns, as its colours see them: places, normals, and how identity moves them.

Everything is in the axes of the head at rest, which the skull's motion takes to the world (`sage_ns.rig.skull`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.avatar.light import smooth_normals
from sage_ns.errors import TrackingError
from sage_ns.geometry.mesh_queries import uniform_barycentric
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_areas
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.landmark_rig import LandmarkRig

_NOT_SKIN_OF_THE_FACE = ("neck", "boundary", "hair", "eyes")
"""A neck does not move with the skull, hair is not on the rig's surface, eyes look elsewhere."""
_GRAZING, _FULL = 0.15, 0.65
"""Cosines between a normal and the way to the camera from which on a point is seen, and counts in full."""
_LIFT = 1e-3
"""Metres above the skin from which a point looks for the camera: the head itself must not hide it."""


@dataclass(frozen=True, eq=False)
class SkinSamples:
    """Points of the skin without hair, eyes and neck, drawn evenly over its area."""

    points: Float[Tensor, "n 3"]
    """Metres."""
    normals: Float[Tensor, "n 3"]
    identity: Float[Tensor, "n 3 k"]
    """Metres per unit of each identity coefficient."""
    mesh: TriangleMesh
    """Of the head, for what it hides of itself."""

    def moved(self, off: Float[Tensor, "k"]) -> Float[Tensor, "n 3"]:
        """Return the points of a head whose identity coefficients differ by ``off``."""
        return self.points + self.identity @ off

    def seen_from(self, eyes: Float[Tensor, "t 3"]) -> Float[Tensor, "t n"]:
        """Return how well cameras at these places see each point: 0 = hidden or from the side, 1 = in full."""
        ways = eyes[:, None] - self.points
        facing = (F.normalize(ways, dim=-1) * self.normals).sum(dim=-1)
        start = (self.points + _LIFT * self.normals).expand_as(ways)
        blocked = self.mesh.is_blocked(start.reshape(-1, 3).float(), ways.reshape(-1, 3).float())
        return ((facing - _GRAZING) / (_FULL - _GRAZING)).clamp(0, 1) * ~blocked.reshape(facing.shape)


def skin_samples(model: HeadModel, params: FlameParams, num: int, num_identity: int) -> SkinSamples:
    """Return points on the skin of a person with the most usual jaw and expression of some moments.

    Args:
        model: head model, with regions.
        params: of the person, one or more moments.
        num: number of points.
        num_identity: first identity directions that may move them.

    Raises:
        TrackingError: the head model does not say where its skin is.
    """
    skin = _skin(model)
    usual = _usual(params)
    vertices = pose_vertices(model, usual)[0].double()
    generator = torch.Generator().manual_seed(0)
    areas = triangle_areas(vertices, model.triangles) * skin
    triangle = torch.multinomial(areas, num, replacement=True, generator=generator)
    barycentric = uniform_barycentric(num, generator).double()
    places = Embedding(triangle, barycentric, torch.ones(num), torch.zeros(num, 3, 2))
    rig = LandmarkRig(model, places)
    at = rig.unknowns_of(usual)
    count = min(num_identity, rig.unknowns.num_shape)
    first = slice(rig.unknowns.shape.start, rig.unknowns.shape.start + count)

    def points(off: Tensor) -> Tensor:
        return rig.points(torch.cat([at[: first.start], at[first] + off, at[first.stop :]]))

    none = torch.zeros(count, dtype=torch.float64)
    identity = torch.func.jacfwd(points)(none)
    normals = smooth_normals(vertices, model.triangles)[triangle]
    return SkinSamples(points(none), normals, identity, TriangleMesh(vertices.float(), model.triangles.cpu()))


def _skin(model: HeadModel) -> Bool[Tensor, "num_triangles"]:
    inside = model.regions.triangle_mask("skin", model.triangles)
    for name in _NOT_SKIN_OF_THE_FACE:
        inside &= ~torch.isin(model.triangles, model.regions.vertices(name)).any(dim=-1)
    if not bool(inside.any()):
        raise TrackingError(
            f"head model '{model.name}': it has no regions that say where the skin of the face is, which the colours "
            "of a clip need. Put FLAME_masks.pkl beside it, or track with --refine landmarks."
        )
    return inside


def _usual(params: FlameParams) -> FlameParams:
    """Return the person at rest at the origin, with the median jaw and expression."""
    middle = {name: getattr(params, name).median(dim=0, keepdim=True).values for name in ("expr", "jaw_pose")}
    still = {
        name: torch.zeros_like(getattr(params, name)[:1])
        for name in ("rotation", "neck_pose", "eyes_pose", "translation")
    }
    return replace(params, **middle, **still)
