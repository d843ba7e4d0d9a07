"""From the frame of its triangle into the world: where a surfel is, how it lies, how large and how opaque it is."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.rotations import matrix_to_quaternion, quaternion_multiply
from sage_ns.geometry.triangles import TriangleFrames

PlacedSurfels = tuple[
    Float[Tensor, "num_surfels 3"],
    Float[Tensor, "num_surfels 4"],
    Float[Tensor, "num_surfels 2"],
    Float[Tensor, " num_surfels"],
]


def place_surfels(
    local_means: Float[Tensor, "num_surfels 3"],
    local_quaternions: Float[Tensor, "num_surfels 4"],
    log_scales: Float[Tensor, "num_surfels 2"],
    opacity_logits: Float[Tensor, " num_surfels"],
    triangle: Int[Tensor, " num_surfels"],
    frames: TriangleFrames,
) -> PlacedSurfels:
    """Place surfels with their triangles (Eq. 4): mu' = k R mu + T, r' = R r, s' = k exp(s), o = sigmoid(logit).

    Args:
        local_means: in units of the triangle's scale, in its frame.
        local_quaternions: wxyz, surfel to triangle; of any length but zero.
        log_scales: logarithm of the tangential scales in units of the triangle's scale.
        opacity_logits: opacities before the sigmoid.
        triangle: index of each surfel's triangle.
        frames: of all triangles at one moment (not batched).

    Returns:
        Means in metres, unit quaternions (wxyz, surfel to world), scales in metres, opacities 0..1.
    """
    return place_surfels_torch(local_means, local_quaternions, log_scales, opacity_logits, triangle, frames)


def place_surfels_torch(
    local_means: Float[Tensor, "num_surfels 3"],
    local_quaternions: Float[Tensor, "num_surfels 4"],
    log_scales: Float[Tensor, "num_surfels 2"],
    opacity_logits: Float[Tensor, " num_surfels"],
    triangle: Int[Tensor, " num_surfels"],
    frames: TriangleFrames,
) -> PlacedSurfels:
    """The definition of `place_surfels` in plain torch; gradients also reach the frames."""
    rotation, scale = frames.rotation[triangle], frames.scale[triangle, None]
    means = scale * (rotation @ local_means[..., None])[..., 0] + frames.origin[triangle]
    unit = torch.nn.functional.normalize(local_quaternions, dim=-1)
    quaternions = quaternion_multiply(matrix_to_quaternion(frames.rotation)[triangle], unit)
    return means, quaternions, scale * torch.exp(log_scales), torch.sigmoid(opacity_logits)
