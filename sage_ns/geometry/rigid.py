"""Rigid motions as 4x4 matrices ``[R | t]``: inverse, and motion of points."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

CAMERA_AXES = np.diag([1.0, -1.0, -1.0, 1.0])
"""Between OpenCV's camera axes (x right, y down, z forward) and OpenGL's (x right, y up, z back), either way."""


def rigid_inverse(motion: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Return the inverse ``[R^T | -R^T t]`` of rigid motions, exactly rigid; on CUDA, without waiting."""
    inverse = torch.zeros_like(motion)
    rotation = motion[..., :3, :3].mT
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ motion[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def moved_points(motion: Float[Tensor, "4 4"], points: Float[Tensor, "num_points 3"]) -> Float[Tensor, "num_points 3"]:
    """Return ``R x + t``, in the type of the points."""
    motion = motion.to(points)
    return points @ motion[:3, :3].mT + motion[:3, 3]


def turned(motion: Float[Tensor, "4 4"], vectors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Return ``R v``, in the type of the vectors."""
    return vectors @ motion[:3, :3].to(vectors).mT
