"""A scene of known load: an ellipsoid of the size of a head, covered with surfels, seen from the front."""

from __future__ import annotations

import math

import numpy as np
import torch

from sage_ns.geometry import quaternion_multiply
from sage_ns.raster import PinholeCamera, Surfels

RADII = (0.075, 0.11, 0.095)
"""Half the width, height and depth of a head, metres."""

FOOTPRINT = 0.434
"""Standard deviation of a surfel in units of the mean distance to its neighbours; 17 surfels contribute to a pixel."""


def head_like(num_surfels: int, seed: int = 0) -> Surfels:
    """Make surfels tangential to an ellipsoid at the origin, with opacities uniform in 0.5..0.95 and random colours."""
    generator = torch.Generator().manual_seed(seed)
    radii = torch.tensor(RADII)
    direction = torch.nn.functional.normalize(torch.randn(num_surfels, 3, generator=generator), dim=-1)
    normal = torch.nn.functional.normalize(direction / radii, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(normal)
    turn = torch.cat((1 + normal[:, 2:], torch.linalg.cross(up, normal)), -1)
    half = math.pi * torch.rand(num_surfels, generator=generator)
    zero = torch.zeros_like(half)
    twist = torch.stack((half.cos(), zero, zero, half.sin()), -1)
    a, b, c = (radius**1.6 for radius in RADII)
    area = 4 * math.pi * ((a * b + a * c + b * c) / 3) ** (1 / 1.6)
    spread = torch.exp(0.3 * torch.randn(num_surfels, 2, generator=generator))
    return Surfels(
        means=direction * radii,
        quaternions=quaternion_multiply(torch.nn.functional.normalize(turn, dim=-1), twist),
        scales=FOOTPRINT * math.sqrt(area / num_surfels) * spread,
        opacities=0.5 + 0.45 * torch.rand(num_surfels, generator=generator),
        colors=torch.rand(num_surfels, 3, generator=generator),
    )


def scene_camera(width: int, height: int) -> PinholeCamera:
    """Make a camera one metre in front of the head, which fills about 45 % of a square image."""
    focal = 4.03 * min(width, 0.86 * height) if width != height else 4.03 * width
    pose = torch.eye(4)
    pose[2, 3] = 1.0
    intrinsics = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return PinholeCamera(pose, intrinsics, width, height)


def count_lanes(records: np.ndarray, boxes: np.ndarray, num_tiles: np.ndarray) -> tuple[int, int]:
    """Return the number of pixels that the kernels evaluate (rows of 8 in every touched tile), and that surfels cover.

    The second number includes pixels that the kernels skip because they are already opaque.
    """
    visible = num_tiles > 0
    boxes, records = boxes[visible].astype(np.int64), records[visible]
    columns = (boxes[:, 1] - 1) // 8 - boxes[:, 0] // 8 + 1
    evaluated = int((columns * 8 * (boxes[:, 3] - boxes[:, 2])).sum())
    drawn = 0
    for start in range(0, len(boxes), 20000):
        drawn += _count_drawn(records[start : start + 20000], boxes[start : start + 20000])
    return evaluated, drawn


def _count_drawn(records: np.ndarray, boxes: np.ndarray) -> int:
    widths = boxes[:, 1] - boxes[:, 0]
    counts = widths * (boxes[:, 3] - boxes[:, 2])
    surfel = np.repeat(np.arange(len(boxes)), counts)
    place = np.arange(len(surfel)) - np.repeat(np.cumsum(counts) - counts, counts)
    r = records[surfel].T
    x = boxes[surfel, 0] + place % widths[surfel] + np.float32(0.5)
    y = boxes[surfel, 2] + place // widths[surfel] + np.float32(0.5)
    dx, dy = x - r[0], y - r[1]
    w = 1 + r[6] * dx + r[7] * dy
    squared = ((r[2] * dx + r[3] * dy) / w) ** 2 + ((r[4] * dx + r[5] * dy) / w) ** 2
    low_pass = 2 * ((x - r[8]) ** 2 + (y - r[9]) ** 2)
    return int((r[10] * np.exp(-0.5 * np.minimum(squared, low_pass)) >= 1 / 255).sum())
