"""Surfels at the places of an atlas, in metres and in axes that all rigs share, and as surfels bound to one rig."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas import RigPlaces
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.rotations import quaternion_conjugate, quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.triangles import TriangleFrames


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


def bound_to_rig(
    surfels: AtlasSurfels,
    places: RigPlaces,
    frames: TriangleFrames,
    points: Float[Tensor, "num_places 3"],
) -> BoundSurfels:
    """Return surfels bound to the rig, in the units and axes of its triangles; exact inverse of `on_atlas`.

    A surfel at offset d from its place P is at ``k R m + T`` (`BoundSurfels`), that is
    ``m = (R^T (P - T) + Q d) / k``, where Q turns the axes of the place into those of the triangle.

    Args:
        surfels: at the places.
        places: on the rig.
        frames: of all triangles of the rig at the canonical moment.
        points: the places at that moment [metres], see `RigPlaces.points`.
    """
    means, quaternions, log_scales = bound_attributes(surfels, places, frames, points)
    return BoundSurfels(
        places.triangle.clone(),
        *(value.detach().clone() for value in (means, quaternions, log_scales)),
        *(getattr(surfels, name).detach().clone() for name in ("opacity_logits", "sh_dc", "sh_rest")),
    )


def bound_attributes(
    surfels: AtlasSurfels, places: RigPlaces, frames: TriangleFrames, points: Float[Tensor, "num_places 3"]
) -> tuple[Float[Tensor, "num_places 3"], Float[Tensor, "num_places 4"], Float[Tensor, "num_places 2"]]:
    """Return means, quaternions and logarithms of scales in the frames of the triangles; gradients reach the surfels.

    Arguments as for `bound_to_rig`.
    """
    own = frames[places.triangle]
    rest = torch.einsum("nji,nj->ni", own.rotation, points - own.origin)
    offset = (quaternion_to_matrix(places.turn) @ surfels.offset[..., None])[..., 0]
    means = (rest + offset) / own.scale[:, None]
    quaternions = quaternion_multiply(places.turn, F.normalize(surfels.quaternions, dim=-1))
    return means, quaternions, surfels.log_scales - own.scale.log()[:, None]


def on_atlas(
    surfels: BoundSurfels,
    places: RigPlaces,
    frames: TriangleFrames,
    points: Float[Tensor, "num_places 3"],
) -> AtlasSurfels:
    """Return surfels that are bound to the places of an atlas, in order, in its units and axes; see `bound_to_rig`.

    Raises:
        ValueError: the surfels are not those of the places: they have other triangles, or they are 3D Gaussians.
    """
    if not surfels.are_flat or not torch.equal(surfels.triangle.to(places.triangle), places.triangle):
        raise ValueError("on_atlas: expected one flat surfel per place, bound to the triangle of the place")
    own = frames[places.triangle]
    rest = torch.einsum("nji,nj->ni", own.rotation, points - own.origin)
    local = surfels.means.detach() * own.scale[:, None] - rest
    back = quaternion_conjugate(places.turn)
    return AtlasSurfels(
        (quaternion_to_matrix(back) @ local[..., None])[..., 0],
        quaternion_multiply(back, F.normalize(surfels.quaternions.detach(), dim=-1)),
        surfels.log_scales.detach() + own.scale.log()[:, None],
        *(getattr(surfels, name).detach().clone() for name in ("opacity_logits", "sh_dc", "sh_rest")),
    )
