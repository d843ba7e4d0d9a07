"""Rebinding: surfels that have moved are bound to the triangle that is now nearest."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.optim import Optimizer

from sage_ns.avatar.growth.ops import SurfelRows, overwrite
from sage_ns.avatar.initialise import carries_hair
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.geometry.mesh_queries import nearest_triangles
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.rig import HeadModel, rebind, rebinding_labels, to_local, to_world

FRAME_PARAMETERS = ("means", "quaternions")
"""Parameters whose moments are only valid in the frame of the bound triangle."""
MAX_SKIN_DISTANCE = 0.012
"""Metres from the centre of a triangle beyond which a surfel does not belong to its skin but to a fringe, glasses."""


def is_hair(
    means: Float[Tensor, "num_surfels 3"],
    triangle: Int[Tensor, "num_surfels"],
    head_model: HeadModel,
    frames: TriangleFrames,
) -> Bool[Tensor, "num_surfels"]:
    """Return which surfels are hair: bound to the scalp, or more than `MAX_SKIN_DISTANCE` off the skin.

    Args:
        means: centres of the surfels [metres] at the moment of `frames`.
        triangle: triangle that each surfel is bound to.
        head_model: head model of the rig.
        frames: frames of all triangles.
    """
    on_scalp = head_model.regions.triangle_mask("hair", head_model.triangles)[triangle]
    return on_scalp | (torch.linalg.vector_norm(means - frames.origin[triangle], dim=-1) > MAX_SKIN_DISTANCE)


@torch.no_grad()
def rebind_surfels(
    surfels: BoundSurfels,
    head_model: HeadModel,
    vertices: Float[Tensor, "num_vertices 3"],
    optimizers: Iterable[Optimizer] = (),
) -> Bool[Tensor, "num_surfels"]:
    """Bind each surfel to its nearest triangle (method Sec. 1); its pose in the world does not change.

    Parts that may touch but do not belong together (lips, lids and eyeballs) do not exchange surfels. Surfels more than
    `MAX_SKIN_DISTANCE` off the face are bound to the nearest triangle that carries hair. Bound to a lid, a fringe in
    front of it would swing when the lid closes, the more the farther it is.

    Args:
        surfels: surfels to rebind.
        head_model: head model of the rig.
        vertices: vertices of the rig at the canonical moment, at which distances are measured [metres].
        optimizers: the moments of `FRAME_PARAMETERS` are reset to 0 for surfels that change their triangle.

    Returns:
        Mask of the surfels that have changed their triangle.
    """
    triangles = head_model.triangles
    frames = triangle_frames(vertices, triangles)
    means, quaternions, scales = to_world(
        surfels.means, surfels.quaternions, surfels.log_scales.exp(), frames[surfels.triangle]
    )
    labels = rebinding_labels(head_model)
    nearest = rebind(means, vertices, triangles, surfels.triangle, labels)
    hair = carries_hair(head_model)
    off = ~hair[nearest] & (torch.linalg.vector_norm(means - frames.origin[nearest], dim=-1) > MAX_SKIN_DISTANCE)
    for label in labels[nearest[off]].unique():
        these, carriers = off & (labels[nearest] == label), (hair & (labels == label)).nonzero()[:, 0]
        if len(carriers):
            nearest[these] = carriers[nearest_triangles(means[these], vertices, triangles[carriers]).triangle]
    moved = nearest != surfels.triangle
    means, quaternions, scales = to_local(means[moved], quaternions[moved], scales[moved], frames[nearest[moved]])
    bound = {
        "triangle": nearest[moved],
        "means": means,
        "quaternions": quaternions,
        "log_scales": scales.clamp_min(1e-9).log(),
    }
    overwrite(SurfelRows.of_surfels(surfels, optimizers), moved, bound, fresh=FRAME_PARAMETERS)
    return moved


@torch.no_grad()
def carry_over(surfels: BoundSurfels, before: TriangleFrames, after: TriangleFrames) -> None:
    """Convert surfels from the frames ``before`` to the frames ``after``; their poses in the world do not change."""
    bound = surfels.triangle
    placed = to_world(surfels.means, surfels.quaternions, surfels.log_scales.exp(), before[bound])
    means, quaternions, scales = to_local(*placed, after[bound])
    surfels.means.copy_(means)
    surfels.quaternions.copy_(quaternions)
    surfels.log_scales.copy_(scales.clamp_min(1e-9).log())
