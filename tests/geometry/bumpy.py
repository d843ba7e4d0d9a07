"""A closed surface of the size of a head, with a nose, a chin and two different ears: no turn maps it to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import trimesh
from torch import Tensor

_BUMPS = (((0.0, -0.1, 1.0), 0.25, 0.022), ((0.0, -0.8, 0.6), 0.35, 0.014), ((1.0, 0.0, 0.0), 0.25, 0.012),
          ((-1.0, 0.1, -0.1), 0.3, 0.009), ((0.3, 0.5, -0.8), 0.5, 0.010))  # fmt: skip
"""Direction, width [rad] and height [m] of each bump."""


def bumpy_head(subdivisions: int = 4, heights: float = 1.0, width: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return vertices [metres, float64] and outward triangles; other heights and another width are another person."""
    ball = trimesh.creation.icosphere(subdivisions)
    directions = torch.from_numpy(ball.vertices.copy())
    vertices = directions * torch.tensor([0.075 * width, 0.11, 0.09], dtype=torch.float64)
    for towards, spread, height in _BUMPS:
        axis = torch.nn.functional.normalize(torch.tensor(towards, dtype=torch.float64), dim=0)
        angle = (directions @ axis).clamp(-1, 1).acos()
        vertices = vertices + heights * height * torch.exp(-((angle / spread) ** 2))[:, None] * directions
    return vertices, torch.from_numpy(ball.faces.copy()).long()


def written_mesh(path: Path, vertices: Tensor, triangles: Tensor) -> Path:
    """Write a mesh in the format of the path's suffix, and return the path."""
    mesh: Any = trimesh.Trimesh(vertices.numpy(), triangles.numpy(), process=False)
    content = mesh.export(file_type=path.suffix[1:])
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
