"""Motions and fields of which everything is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.field.sdf import FieldSample
from sage_ns.field.warp.backward import WarpedPoints
from sage_ns.geometry.rotations import axis_angle_to_matrix

RADIUS = 0.1


def turned_head(dtype: torch.dtype = torch.float32) -> Tensor:
    """A rigid motion: 40 degrees about a slanted axis, and 7 cm."""
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3] = axis_angle_to_matrix(torch.tensor([0.14, 0.68, -0.07], dtype=torch.float64))
    motion[:3, 3] = torch.tensor([0.05, -0.03, 0.04])
    return motion.to(dtype)


class Sphere:
    """A field whose zero level is a sphere; stands in for the learned one."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.center = torch.tensor([0.02, -0.01, 0.03], dtype=dtype)
        self.half_size = torch.tensor(0.2, dtype=dtype)

    def distance(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - self.center, dim=-1) - RADIUS

    def evaluate(self, x: Tensor, gradient: bool | str = False) -> FieldSample:
        outward = torch.nn.functional.normalize(x - self.center, dim=-1)
        return FieldSample(self.distance(x), outward, x[:, :0], x[:, :0])


class AffineWarp:
    """``x_c = A x``: what is a sphere in the canonical world is an ellipsoid in the posed one."""

    follows_parts = True
    skull = torch.eye(4)

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, points: Tensor) -> WarpedPoints:
        return WarpedPoints(self.places(points), self.matrix.expand(len(points), 3, 3))

    def places(self, points: Tensor) -> Tensor:
        return points @ self.matrix.mT


def numeric_jacobian(warp: object, points: Tensor, step: float = 1e-6) -> Tensor:
    """Central differences of ``warp.places``."""
    columns = []
    for axis in step * torch.eye(3, dtype=points.dtype):
        ahead, behind = (warp.places(points + sign * axis) for sign in (1, -1))  # type: ignore[attr-defined]
        columns.append((ahead - behind) / (2 * step))
    return torch.stack(columns, dim=-1)
