"""Surfels that have moved away are bound to the triangle that is nearest by then."""

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

IN_THE_FRAME = ("means", "quaternions")
"""Parameters whose moments belong to the frame of the bound triangle, and are worth nothing in another."""
STANDS_OFF = 0.012
"""Metres from a triangle's middle beyond which a surfel is not of the skin there: a fringe, glasses."""


def is_hair(
    means: Float[Tensor, "num_surfels 3"],
    triangle: Int[Tensor, "num_surfels"],
    head_model: HeadModel,
    frames: TriangleFrames,
) -> Bool[Tensor, "num_surfels"]:
    """Which surfels are of the hair: bound to where it grows, or standing off the skin (`STANDS_OFF`).

    Args:
        means: centres [metres] at the moment of `frames`.
        triangle: that the surfels are bound to.
    """
    on_scalp = head_model.regions.triangle_mask("hair", head_model.triangles)[triangle]
    return on_scalp | (torch.linalg.vector_norm(means - frames.origin[triangle], dim=-1) > STANDS_OFF)


@torch.no_grad()
def rebind_surfels(
    surfels: BoundSurfels,
    head_model: HeadModel,
    vertices: Float[Tensor, "num_vertices 3"],
    optimizers: Iterable[Optimizer] = (),
) -> Bool[Tensor, "num_surfels"]:
    """Bind each surfel to its nearest triangle (method Sec. 1); its pose in the world does not change.

    Parts that may touch without belonging together (lips, lids and eyeballs) do not exchange surfels. What stands off
    the face (`STANDS_OFF`) is bound to the nearest triangle that carries hair: a lid that closes would fling the fringe
    before it about, the longer the lever the farther.

    Args:
        surfels: are bound anew.
        head_model: whose triangles they are bound to.
        vertices: the rig at the moment at which nearness is judged, the canonical one [metres].
        optimizers: their moments of `IN_THE_FRAME` start at 0 again for surfels that have changed their triangle.

    Returns:
        Which surfels have changed their triangle.
    """
    triangles = head_model.triangles
    frames = triangle_frames(vertices, triangles)
    means, quaternions, scales = to_world(
        surfels.means, surfels.quaternions, surfels.log_scales.exp(), frames[surfels.triangle]
    )
    labels = rebinding_labels(head_model)
    nearest = rebind(means, vertices, triangles, surfels.triangle, labels)
    hair = carries_hair(head_model)
    off = ~hair[nearest] & (torch.linalg.vector_norm(means - frames.origin[nearest], dim=-1) > STANDS_OFF)
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
    overwrite(SurfelRows.of_surfels(surfels, optimizers), moved, bound, fresh=IN_THE_FRAME)
    return moved


@torch.no_grad()
def carry_over(surfels: BoundSurfels, before: TriangleFrames, after: TriangleFrames) -> None:
    """Say where surfels are in the frames ``after`` instead of ``before``; in the world they stay as they are."""
    bound = surfels.triangle
    placed = to_world(surfels.means, surfels.quaternions, surfels.log_scales.exp(), before[bound])
    means, quaternions, scales = to_local(*placed, after[bound])
    surfels.means.copy_(means)
    surfels.quaternions.copy_(quaternions)
    surfels.log_scales.copy_(scales.clamp_min(1e-9).log())
