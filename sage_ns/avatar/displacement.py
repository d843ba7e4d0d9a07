"""How far a driving bank carries and stretches the surfels, beyond what the skull's rigid motion does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.correction import SurfelCorrection
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.rigid import moved_points, rigid_inverse
from sage_ns.geometry.rotations import quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.stretch_curvature import in_tangent_plane, principal
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.rig import FlameParams
from sage_ns.rig.skull import skull_motions

MOST_MOMENTS = 64
"""Moments of a bank that are looked at, evenly spread: neighbours in a sequence are alike."""

Motions = Float[Tensor, "num_moments num_coefficients"]


@dataclass(frozen=True, eq=False)
class Stretch:
    """The largest stretch of the skin around each surfel."""

    factor: Float[Tensor, "num_surfels"]
    """Length after over length before; 1 where no moment stretches, and where the skin does not determine it."""
    direction: Float[Tensor, "num_surfels 2"]
    """Unit vector along it, in the surfel's tangent axes."""


def spread_moments(vectors: Motions) -> Motions:
    """Return at most `MOST_MOMENTS` rows, evenly spread, with the first and the last."""
    rows = torch.linspace(0, len(vectors) - 1, min(len(vectors), MOST_MOMENTS)).round().long()
    return vectors[rows.to(vectors.device)]


@torch.no_grad()
def beyond_skull(
    rig: PersonalRig,
    centers: Callable[[TriangleFrames], Float[Tensor, "num_surfels 3"]],
    canonical: Float[Tensor, "num_coefficients"],
    motions: Motions,
) -> Float[Tensor, "num_surfels"]:
    """Return ``max_t |x_i(t) - T(t) T(0)^-1 x_i(0)|`` [metres]; T = motion of the skull, 0 = the canonical moment.

    This is the size of the expression's displacement that EAvatar (arXiv 2508.13537) compares with its thresholds.

    Args:
        rig: of the person.
        centers: returns where the surfels are, from the frames of the triangles [metres].
        canonical: motion vector of the canonical moment.
        motions: at least one motion vector, see `spread_moments`.
    """
    every = FlameParams.from_motion_vector(torch.cat([canonical[None], motions]))
    skulls = skull_motions(rig.head_model, every)
    before = centers(rig.frames(canonical))
    most = torch.zeros_like(before[:, 0])
    for skull, frames in zip(skulls[1:], (rig.frames(motion) for motion in motions), strict=True):
        rigid = moved_points(skull @ rigid_inverse(skulls[0]), before)
        most = torch.maximum(most, torch.linalg.vector_norm(centers(frames) - rigid, dim=-1))
    return most


@torch.no_grad()
def largest_stretch(
    rig: PersonalRig, surfels: BoundSurfels, canonical: Float[Tensor, "num_coefficients"], motions: Motions
) -> Stretch:
    """Return the largest principal stretch in each surfel's tangent plane over the motions (root of Eq. 14).

    The skin's deformation is blended over adjacent triangles, as in the correction `carried`.

    Args:
        rig: of the person.
        surfels: discs on it.
        canonical: motion vector of the canonical moment.
        motions: motion vectors.
    """
    frames = rig.frames(canonical)
    own = frames.quaternion[surfels.triangle]
    local = torch.nn.functional.normalize(surfels.quaternions, dim=-1)
    first, second = quaternion_to_matrix(quaternion_multiply(own, local))[..., :2].unbind(-1)
    factor = torch.ones_like(first[:, 0])
    direction = torch.stack([torch.ones_like(factor), torch.zeros_like(factor)], dim=-1)
    correction = SurfelCorrection(
        surfels.centers(frames), surfels.triangle, rig.head_model, rig.vertices(canonical), "carried"
    )
    for vertices, posed in _posed(rig, motions):
        found = correction.at(vertices, posed)
        if found is None:
            continue
        squared = in_tangent_plane(found.squared_stretch * found.scale_ratio[..., None] ** 2, first, second)
        values, turn = principal(squared)
        larger, which = values.max(dim=-1)
        angle = turn + 0.5 * torch.pi * which
        grown = correction.corrected & (larger > factor**2)
        factor = torch.where(grown, larger.clamp_min(0).sqrt(), factor)
        direction = torch.where(grown[:, None], torch.stack([angle.cos(), angle.sin()], dim=-1), direction)
    return Stretch(factor, direction)


def _posed(rig: PersonalRig, motions: Motions) -> Iterator[tuple[Float[Tensor, "num_vertices 3"], TriangleFrames]]:
    for motion in motions:
        vertices = rig.vertices(motion)
        yield vertices, triangle_frames(vertices, rig.head_model.triangles)
