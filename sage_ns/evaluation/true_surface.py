"""True surfaces of a synthetic or scanned head: the npz file ``truth/surface.npz`` of a capture.

The file has `timesteps` [T], `vertices` [T V 3] in metres, `triangles` [F 3] and `face` [F], which marks the triangles
of the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.field_surface import SurfaceMesh
from sage_ns.errors import SageError
from sage_ns.geometry.vertex_means import vertex_normals
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

TRUTH_FILE = "truth/surface.npz"
"""Place of the file in a capture."""
_TRUTH = ("face", "timesteps", "triangles", "vertices")
_FARTHEST = 1e3
"""Largest coordinate of a true surface, metres."""


@dataclass(frozen=True)
class Truth:
    """The true surface at one moment."""

    mesh: SurfaceMesh
    face: Bool[Tensor, "num_triangles"]

    @classmethod
    def load(cls, path: Path, timestep: int) -> Truth:
        """Read one moment of a truth file.

        Raises:
            SageError: The file or one of its fields is missing or broken, or the file does not contain the moment;
                names the file and the field.
        """
        read = _open(path)
        timesteps = _timesteps(read)
        if timestep not in timesteps:
            known = ", ".join(map(str, timesteps))
            raise SageError(f"{path}: no timestep {timestep}; there are {known}. Give one of them as --timestep.")
        vertices = read.floats("vertices", "num_timesteps num_vertices 3")
        read.check_magnitude("vertices", vertices, _FARTHEST)
        triangles = read.indices("triangles", "num_triangles 3", vertices.shape[1])
        face = read.flags("face", "num_triangles")
        if not bool(face.any()):
            raise read.fail("face", "no triangle of the face", "at least one")
        return cls(plain_mesh(vertices[timesteps.index(timestep)], triangles), face)


def true_timesteps(path: Path) -> list[int]:
    """Return the timestep ids of a truth file.

    Raises:
        SageError: The file or one of its fields is missing or broken.
    """
    return _timesteps(_open(path))


def write_truth(
    path: Path,
    timesteps: Sequence[int],
    vertices: Float[np.ndarray, "t num_vertices 3"],
    triangles: Int[np.ndarray, "num_triangles 3"],
    face: Bool[np.ndarray, "num_triangles"],
) -> None:
    """Write a truth file.

    Args:
        path: the file; its folder is created if needed.
        timesteps: their ids.
        vertices: of every moment, metres.
        triangles: of all moments.
        face: which triangles are of the face.

    Raises:
        WriteError: the file cannot be written.
    """
    arrays = {
        "timesteps": np.asarray(timesteps, dtype=np.int32),
        "vertices": vertices.astype(np.float32),
        "triangles": triangles.astype(np.int32),
        "face": face,
    }
    write_npz(path, arrays)


def _open(path: Path) -> ArrayFields:
    return ArrayFields(str(path), read_npz(path, SageError, _TRUTH), SageError, "Write the truth again.")


def _timesteps(read: ArrayFields) -> list[int]:
    return read.indices("timesteps", "num_timesteps").tolist()


def plain_mesh(vertices: Float[Tensor, "num_vertices 3"], triangles: Tensor) -> SurfaceMesh:
    """Make a grey mesh with smooth normals."""
    return SurfaceMesh(vertices, triangles, vertex_normals(vertices, triangles), torch.full_like(vertices, 0.5))
