"""Placement of surfels: from the frames of their triangles into the world."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.rotations import matrix_to_quaternion, quaternion_multiply
from sage_ns.geometry.triangles import TriangleFrames
from sage_ns.system.parallel import even_bounds, run_chunks

PlacedSurfels = tuple[
    Float[Tensor, "num_surfels 3"],
    Float[Tensor, "num_surfels 4"],
    Float[Tensor, "num_surfels num_axes"],
    Float[Tensor, " num_surfels"],
]


def place_surfels(
    local_means: Float[Tensor, "num_surfels 3"],
    local_quaternions: Float[Tensor, "num_surfels 4"],
    log_scales: Float[Tensor, "num_surfels num_axes"],
    opacity_logits: Float[Tensor, " num_surfels"],
    triangle: Int[Tensor, " num_surfels"],
    frames: TriangleFrames,
) -> PlacedSurfels:
    """Place surfels with their triangles (Eq. 4): mu' = k R mu + T, r' = R r, s' = k exp(s), o = sigmoid(logit).

    Args:
        local_means: in units of the triangle's scale, in its frame.
        local_quaternions: wxyz, surfel to triangle; any length but 0.
        log_scales: logarithms of two tangential scales, or of a 3D Gaussian's three, in units of the triangle's scale.
        opacity_logits: opacities before the sigmoid.
        triangle: index of each surfel's triangle.
        frames: frames of all triangles at one moment (not batched).

    Returns:
        Means in metres, unit quaternions (wxyz, surfel to world), scales in metres, opacities 0..1.
    """
    local = (local_means, local_quaternions, log_scales, opacity_logits)
    constants = (frames.origin, frames.rotation, frames.scale)
    fused = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in (*local, *constants))
    if fused and not any(tensor.requires_grad for tensor in constants):
        return _FusedPlacement.apply(*local, triangle, *constants)
    return place_surfels_torch(*local, triangle, frames)


def place_surfels_torch(
    local_means: Float[Tensor, "num_surfels 3"],
    local_quaternions: Float[Tensor, "num_surfels 4"],
    log_scales: Float[Tensor, "num_surfels num_axes"],
    opacity_logits: Float[Tensor, " num_surfels"],
    triangle: Int[Tensor, " num_surfels"],
    frames: TriangleFrames,
) -> PlacedSurfels:
    """Compute `place_surfels` in plain torch, its reference definition; gradients also reach the frames."""
    rotation, scale = frames.rotation[triangle], frames.scale[triangle, None]
    means = scale * (rotation @ local_means[..., None])[..., 0] + frames.origin[triangle]
    unit = torch.nn.functional.normalize(local_quaternions, dim=-1)
    quaternions = quaternion_multiply(matrix_to_quaternion(frames.rotation)[triangle], unit)
    return means, quaternions, scale * torch.exp(log_scales), torch.sigmoid(opacity_logits)


class _FusedPlacement(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        from sage_ns.avatar._numba_placement import frame_quaternions, place

        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        local, (triangle, origin, rotation, scale) = arrays[:4], arrays[4:]
        if len(triangle) and not 0 <= triangle.min() <= triangle.max() < len(scale):
            found = f"{triangle.min()}..{triangle.max()}"
            raise IndexError(f"place_surfels: found triangle indices {found}, expected 0..{len(scale) - 1}")
        frame_quaternion = np.empty((len(scale), 4), np.float32)
        run_chunks(frame_quaternions, even_bounds(len(scale), 4096), rotation, frame_quaternion)
        placed = [np.empty(array.shape, np.float32) for array in local]
        frames = (rotation, frame_quaternion, scale)
        run_chunks(place, even_bounds(len(triangle), 4096), *local, triangle, origin, *frames, *placed)
        ctx.constants = (local[1], triangle, *frames, placed[2], placed[3])
        return tuple(torch.from_numpy(array) for array in placed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from sage_ns.avatar._numba_placement import place_backward

        results = [torch.empty(gradient.shape) for gradient in gradients]
        run_chunks(
            place_backward,
            even_bounds(len(gradients[0]), 4096),
            *ctx.constants,
            *(gradient.contiguous().numpy() for gradient in gradients),
            *(result.numpy() for result in results),
        )
        return (*results, None, None, None, None)
