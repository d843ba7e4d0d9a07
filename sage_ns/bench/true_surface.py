"""True surfaces of a synthetic or scanned head: the npz file ``truth/surface.npz`` of a capture.

The file has `timesteps` [T], `vertices` [T V 3] in metres, `triangles` [F 3] and `face` [F], which marks the triangles
of the face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.avatar.field_surface import SurfaceMesh
from sage_ns.errors import SageError
from sage_ns.geometry.vertex_means import vertex_normals
from sage_ns.system.array_fields import read_npz

_TRUTH = ("face", "timesteps", "triangles", "vertices")


@dataclass(frozen=True)
class Truth:
    """The true surface at one moment."""

    mesh: SurfaceMesh
    face: Bool[Tensor, "num_triangles"]

    @classmethod
    def load(cls, path: Path, timestep: int) -> Truth:
        """Read one moment of a truth file.

        Raises:
            SageError: The file or one of its fields is missing, or the file does not contain the moment.
        """
        arrays = read_npz(path, SageError, _TRUTH)
        _check_truth(path, arrays)
        rows = np.flatnonzero(arrays["timesteps"] == timestep)
        if len(rows) == 0:
            known = ", ".join(map(str, arrays["timesteps"]))
            raise SageError(f"{path}: no timestep {timestep}; there are {known}. Give one of them as --timestep.")
        vertices = torch.from_numpy(arrays["vertices"][rows[0]]).float()
        triangles = torch.from_numpy(arrays["triangles"]).long()
        return cls(plain_mesh(vertices, triangles), torch.from_numpy(arrays["face"]).bool())


def true_timesteps(path: Path) -> list[int]:
    """Return the timestep ids of a truth file.

    Raises:
        SageError: The file or one of its fields is missing.
    """
    arrays = read_npz(path, SageError, _TRUTH)
    _check_truth(path, arrays)
    return [int(timestep) for timestep in arrays["timesteps"]]


def _check_truth(path: Path, arrays: Mapping[str, Any]) -> None:
    missing = [name for name in _TRUTH if name not in arrays]
    if missing:
        raise SageError(f"{path}: found no '{missing[0]}', expected {', '.join(_TRUTH[:-1])} and {_TRUTH[-1]}")


def plain_mesh(vertices: Float[Tensor, "num_vertices 3"], triangles: Tensor) -> SurfaceMesh:
    """Make a grey mesh with smooth normals."""
    return SurfaceMesh(vertices, triangles, vertex_normals(vertices, triangles), torch.full_like(vertices, 0.5))
