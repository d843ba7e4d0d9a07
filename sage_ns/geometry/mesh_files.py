"""Read a closed surface from a mesh file of another program."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.geometry.mesh_borders import open_edges
from sage_ns.system.user_files import read_bytes

FORMATS = ("ply", "obj", "glb")
MOST_TRIANGLES = 1_000_000
_MOST_BYTES = 512 * 2**20
_LARGEST = 1e9
"""Largest coordinate, in any unit; squares of larger ones overflow single precision."""


@dataclass(frozen=True, eq=False)
class ClosedSurface:
    """A surface without border that encloses a volume."""

    vertices: Float[Tensor, "num_vertices 3"]
    """In the unit of the file, float64; no two in the same place."""
    triangles: Int[Tensor, "num_triangles 3"]
    """Facing outwards."""


def read_closed_surface(path: Path, error: type[SageError]) -> ClosedSurface:
    """Read a closed mesh; all parts of a scene are one mesh, and vertices in the same place are one vertex.

    Materials, colours and textures are ignored, and no other file is opened. If the mesh is inside out (its volume is
    negative), its triangles are turned around.

    Args:
        path: file whose suffix is one of `FORMATS`.
        error: class of the errors to raise.

    Raises:
        SageError: of the given class; the file is missing, of another format or broken, or its mesh is empty, too
            large, not finite, flat or open. The message names the file, what was found and what to do.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise error(f"{path}: a mesh of the format '{path.suffix}'; expected .{', .'.join(FORMATS)}. Convert it.")
    content = read_bytes(path, error, _MOST_BYTES, "Simplify the mesh in a 3D program.")
    corners, faces = _parsed(content, kind, path, error)
    if len(faces) == 0:
        raise error(f"{path}: found no triangles. Give a surface, not a cloud of points.")
    if len(faces) > MOST_TRIANGLES:
        raise error(
            f"{path}: found {len(faces)} triangles, expected at most {MOST_TRIANGLES}. Simplify the mesh in a 3D "
            "program."
        )
    if not (np.isfinite(corners).all() and float(np.abs(corners).max()) <= _LARGEST):
        raise error(f"{path}: found a coordinate that is not finite, or beyond {_LARGEST:g}. Export the mesh again.")
    if faces.min() < 0 or faces.max() >= len(corners):
        raise error(f"{path}: a triangle names a vertex that is not there. Export the mesh again.")
    # Files split a vertex where textures or normals have a seam.
    vertices, merged = np.unique(corners, axis=0, return_inverse=True)
    faces = merged.reshape(-1)[faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    num_open = len(open_edges(faces))
    if num_open or len(faces) == 0:
        raise error(
            f"{path}: the surface is open: found {num_open} edges with one triangle. Close its holes in a 3D program: "
            "the prior of a signed distance has an inside and an outside."
        )
    first, second, third = (vertices - vertices.mean(axis=0))[faces].transpose(1, 0, 2)
    volume = float((first * np.cross(second, third)).sum()) / 6
    size = float(np.ptp(vertices, axis=0).max())
    if abs(volume) < 1e-6 * size**3:
        raise error(f"{path}: the surface encloses no volume. Give the mesh of a whole head.")
    return ClosedSurface(torch.from_numpy(vertices), torch.from_numpy(faces if volume > 0 else faces[:, ::-1].copy()))


def _parsed(
    content: bytes, kind: str, path: Path, error: type[SageError]
) -> tuple[Float[np.ndarray, "num_corners 3"], Int[np.ndarray, "num_faces 3"]]:
    import trimesh

    try:
        # From memory: names of other files in it lead nowhere.
        read: Any = trimesh.load(io.BytesIO(content), file_type=kind, process=False, force="mesh")
        corners = np.asarray(read.vertices, dtype=np.float64).reshape(-1, 3)
        return corners, np.asarray(read.faces, dtype=np.int64).reshape(-1, 3)
    except Exception as cause:  # a damaged file can raise any error
        raise error(f"{path}: broken, or no .{kind} file ({type(cause).__name__}: {cause}).") from cause
