"""Surfels at the places of an atlas, in metres and in axes that all rigs share, and as surfels bound to one rig."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import RigPlaces
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.rotations import quaternion_conjugate, quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.spherical_harmonics import sh_colors
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.raster import Surfels


@dataclass(frozen=True, eq=False)
class AtlasSurfels:
    """One surfel per place of an atlas. Lengths are metres at the canonical moment, whatever the rig's triangles."""

    offset: Float[Tensor, "num_places 3"]
    """From the place to the surfel, in the axes of the place: its second axis is the normal. Hair stands off."""
    quaternions: Float[Tensor, "num_places 4"]
    """Rotations (wxyz) from the surfel to the axes of the place."""
    log_scales: Float[Tensor, "num_places 2"]
    """Logarithms of the tangent scales in metres."""
    opacity_logits: Float[Tensor, "num_places"]
    sh_dc: Float[Tensor, "num_places 1 3"]
    sh_rest: Float[Tensor, "num_places num_rest 3"]

    def to(self, device: torch.device | str) -> AtlasSurfels:
        """Return the same surfels on another device."""
        return AtlasSurfels(*(getattr(self, field.name).to(device) for field in fields(self)))


class PosedPlaces:
    """The places of an atlas on the posed rig of one person, and the axes of each place in the world.

    Args:
        places: on the triangles of the person's rig.
        vertices: of the rig at the canonical moment [metres].
        triangles: of the rig.
    """

    def __init__(
        self,
        places: RigPlaces,
        vertices: Float[Tensor, "num_vertices 3"],
        triangles: Int[Tensor, "num_triangles 3"],
    ) -> None:
        self.places = places
        self.frames: TriangleFrames = triangle_frames(vertices, triangles)[places.triangle]
        """Frame of the triangle of each place."""
        self.points: Float[Tensor, "num_places 3"] = places.points(vertices, triangles)
        """The places, metres."""

    @cached_property
    def axes(self) -> Float[Tensor, "num_places 3 3"]:
        """Axes of the places in the world, as columns."""
        return self.frames.rotation @ quaternion_to_matrix(self.places.turn)

    @cached_property
    def quaternions(self) -> Float[Tensor, "num_places 4"]:
        """The axes as unit quaternions (wxyz)."""
        return quaternion_multiply(self.frames.quaternion, self.places.turn)

    @cached_property
    def rest(self) -> Float[Tensor, "num_places 3"]:
        """The places in the axes of their triangles, from the centroids; metres."""
        return torch.einsum("nji,nj->ni", self.frames.rotation, self.points - self.frames.origin)

    def place(
        self, surfels: AtlasSurfels, camera_center: Float[Tensor, "3"], gain: Float[Tensor, "3"] | None = None
    ) -> Surfels:
        """Return surfels in the world, coloured as seen from ``camera_center`` [metres]; gradients reach them.

        Equal to placing the surfels that `bound_to_rig` returns. ``gain`` is a factor on the channels of all colours.
        """
        means = self.points + (self.axes @ surfels.offset[..., None])[..., 0]
        quaternions = quaternion_multiply(self.quaternions, F.normalize(surfels.quaternions, dim=-1))
        colors = sh_colors(surfels.sh_dc, means, camera_center, surfels.sh_rest)
        colors = colors if gain is None else colors * gain
        return Surfels(means, quaternions, surfels.log_scales.exp(), surfels.opacity_logits.sigmoid(), colors)


def bound_to_rig(surfels: AtlasSurfels, posed: PosedPlaces) -> BoundSurfels:
    """Return surfels bound to the rig, in the units and axes of its triangles; exact inverse of `on_atlas`.

    A surfel at offset d from its place P is at ``k R m + T`` (`BoundSurfels`), that is
    ``m = (R^T (P - T) + Q d) / k``, where Q turns the axes of the place into those of the triangle.
    """
    places, scale = posed.places, posed.frames.scale
    offset = (quaternion_to_matrix(places.turn) @ surfels.offset[..., None])[..., 0]
    own = {
        "means": (posed.rest + offset) / scale[:, None],
        "quaternions": quaternion_multiply(places.turn, F.normalize(surfels.quaternions, dim=-1)),
        "log_scales": surfels.log_scales - scale.log()[:, None],
        **{name: getattr(surfels, name).clone() for name in ("opacity_logits", "sh_dc", "sh_rest")},
    }
    return BoundSurfels(places.triangle.clone(), **{name: value.detach() for name, value in own.items()})


def on_atlas(surfels: BoundSurfels, posed: PosedPlaces) -> AtlasSurfels:
    """Return surfels that are bound to the places of an atlas, in order, in its units and axes; see `bound_to_rig`.

    Raises:
        ValueError: the surfels are not those of the places: they have other triangles, or they are 3D Gaussians.
    """
    places, scale = posed.places, posed.frames.scale
    if not surfels.are_flat or not torch.equal(surfels.triangle.to(places.triangle), places.triangle):
        raise ValueError("on_atlas: expected one flat surfel per place, bound to the triangle of the place")
    back = quaternion_conjugate(places.turn)
    local = surfels.means.detach() * scale[:, None] - posed.rest
    return AtlasSurfels(
        (quaternion_to_matrix(back) @ local[..., None])[..., 0],
        quaternion_multiply(back, F.normalize(surfels.quaternions.detach(), dim=-1)),
        surfels.log_scales.detach() + scale.log()[:, None],
        *(getattr(surfels, name).detach().clone() for name in ("opacity_logits", "sh_dc", "sh_rest")),
    )
