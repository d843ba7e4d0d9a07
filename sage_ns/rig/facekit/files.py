"""Read ICT-FaceKit's folder FaceXModel: OBJ files of one topology, and names and landmarks in `vertex_indices.json`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from sage_ns.errors import HeadModelError
from sage_ns.system.json_files import load_json, shown, whole_number
from sage_ns.system.user_files import read_bytes

NEUTRAL, INDICES, IDENTITY = "generic_neutral_mesh.obj", "vertex_indices.json", "identity{:03d}.obj"
_FOLDER = "FaceXModel"
_MOST_BYTES = 64 * 2**20
_NUM_LANDMARKS = 68
_HINT = "Give the folder of a clone: git clone https://github.com/ICT-VGL/ICT-FaceKit."

Range = tuple[int, int]
"""First vertex, and the one after the last."""


@dataclass(frozen=True)
class Layout:
    """Which vertices are what; the README of ICT-FaceKit lists them."""

    num_vertices: int
    narrow_face: Range
    """Face without ears and skull."""
    skin: Range
    """Face, head and neck."""
    lower_teeth: Range
    left_eye: Range
    """Sclera and cornea; the iris behind it is left out."""
    right_eye: Range
    num_identity: int


FACEKIT = Layout(26719, (0, 6706), (0, 11248), (19247, 21451), (21451, 22221), (23021, 23791), 100)


@dataclass(frozen=True, eq=False)
class FaceKit:
    """The model as it is: centimetres, y up, looking along +z, its left along +x."""

    neutral: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "f 3"]
    polygon: Int[np.ndarray, "f"]
    """Number of the quad, or triangle, that each triangle is cut from."""
    uv: Float[np.ndarray, "u 2"]
    """v up."""
    uv_triangles: Int[np.ndarray, "f 3"]
    identity: Float[np.ndarray, "i v 3"]
    """Displacements per unit of a standard normal coefficient."""
    expressions: dict[str, Float[np.ndarray, "v 3"]]
    """Displacements at full strength, by name."""
    landmarks: Int[np.ndarray, "68"]
    """Multi-PIE's order."""


def read_facekit(
    folder: Path, layout: Layout = FACEKIT, progress: Callable[[int, int], None] = lambda done, total: None
) -> FaceKit:
    """Read the model.

    Args:
        folder: the clone, or its folder FaceXModel.
        layout: of the vertices.
        progress: called with the number of files that are read, and of all.

    Raises:
        HeadModelError: the folder is no FaceKit, or a file is broken; names the file.
    """
    folder = folder / _FOLDER if (folder / _FOLDER).is_dir() else folder
    if not (folder / NEUTRAL).is_file() or not (folder / INDICES).is_file():
        raise HeadModelError(f"{folder}: found no {NEUTRAL} and {INDICES}. {_HINT}")
    names, landmarks = _indices(folder / INDICES, layout)
    files = [folder / IDENTITY.format(index) for index in range(layout.num_identity)]
    files += [folder / f"{name}.obj" for name in names]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise HeadModelError(f"{folder}: {len(missing)} files are missing, {missing[0]} first. {_HINT}")
    neutral, triangles, polygon, uv, uv_triangles = _mesh(folder / NEUTRAL, layout)
    shapes = []
    for index, path in enumerate(files):
        shapes.append(_vertices(read_bytes(path, HeadModelError, _MOST_BYTES, _HINT), path, layout) - neutral)
        progress(index + 1, len(files))
    moved = dict(zip(names, shapes[layout.num_identity :], strict=True))
    return FaceKit(
        neutral, triangles, polygon, uv, uv_triangles, np.stack(shapes[: layout.num_identity]), moved, landmarks
    )


def _indices(path: Path, layout: Layout) -> tuple[list[str], Int[np.ndarray, "68"]]:
    """Return the names of the expressions and the vertices of the landmarks."""
    content = load_json(path, HeadModelError, _HINT)
    names = content.get("expressions") if isinstance(content, dict) else None
    if not isinstance(names, list) or not names or not all(_is_name(each) for each in names):
        raise HeadModelError(f"{path}: 'expressions' is {shown(names)}; expected a list of names. {_HINT}")
    found = content.get("idx_to_landmark_verts")
    numbers = [whole_number(each) for each in found] if isinstance(found, list) else []
    valid = [each for each in numbers if each is not None and layout.skin[0] <= each < layout.skin[1]]
    if len(valid) != _NUM_LANDMARKS or len(numbers) != _NUM_LANDMARKS:
        raise HeadModelError(
            f"{path}: 'idx_to_landmark_verts' is {shown(found)}; expected {_NUM_LANDMARKS} vertices of the face. "
            f"{_HINT}"
        )
    return names, np.array(valid)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.replace("_", "").isalnum() and value.isascii()


def _mesh(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices, triangles (of fans) and their polygons, texture coordinates and their triangles."""
    content = read_bytes(path, HeadModelError, _MOST_BYTES, _HINT)
    vertices = _vertices(content, path, layout)
    uv = _numbers([line.split()[1:3] for line in content.split(b"\n") if line.startswith(b"vt ")], 2, path, "vt")
    faces = [line.split()[1:] for line in content.split(b"\n") if line.startswith(b"f ")]
    fans = [[face[0], face[i], face[i + 1]] for face in faces for i in range(1, len(face) - 1)]
    flat = [number for fan in fans for corner in fan for number in corner.split(b"/")[:2]]
    if not fans or len(flat) != 6 * len(fans):
        raise HeadModelError(f"{path}: no faces with texture coordinates; expected lines 'f v/vt v/vt v/vt'. {_HINT}")
    both = _numbers([flat], len(flat), path, "f").astype(np.int64).reshape(-1, 3, 2) - 1
    if both.min() < 0 or both[..., 0].max() >= len(vertices) or both[..., 1].max() >= len(uv):
        raise HeadModelError(f"{path}: a face names a vertex that is not there. {_HINT}")
    polygon = np.repeat(np.arange(len(faces)), [max(len(face) - 2, 0) for face in faces])
    return vertices, both[..., 0], polygon, uv, both[..., 1]


def _vertices(content: bytes, path: Path, layout: Layout) -> Float[np.ndarray, "v 3"]:
    rows = [line.split()[1:4] for line in content.split(b"\n") if line.startswith(b"v ")]
    if len(rows) != layout.num_vertices:
        raise HeadModelError(f"{path}: {len(rows)} vertices; ICT-FaceKit has {layout.num_vertices}. {_HINT}")
    return _numbers(rows, 3, path, "v")


def _numbers(rows: list[list[bytes]], width: int, path: Path, what: str) -> Float[np.ndarray, "n width"]:
    try:
        values = np.array(rows, dtype=np.float64).reshape(len(rows), width)
    except ValueError as error:
        raise HeadModelError(f"{path}: a line '{what}' holds no {width} numbers ({error}). {_HINT}") from error
    if not np.isfinite(values).all():
        raise HeadModelError(f"{path}: a line '{what}' holds NaN or infinity. {_HINT}")
    return values
