"""Closed meshes from files of other programs, and each reason to refuse one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from sage_ns.errors import FieldError
from sage_ns.geometry import mesh_files
from sage_ns.geometry.mesh_files import FORMATS, read_closed_surface


def ball() -> Any:
    return trimesh.creation.icosphere(1)


def written(path: Path, mesh: Any) -> Path:
    content = mesh.export(file_type=path.suffix[1:])
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_a_ball_comes_back_and_split_vertices_are_joined(kind: str, tmp_path: Path) -> None:
    mesh = ball()
    mesh.unmerge_vertices()  # as textures do
    found = read_closed_surface(written(tmp_path / f"ball.{kind}", mesh), FieldError)
    assert found.vertices.shape == (42, 3) and found.triangles.shape == (80, 3)
    first, second, third = found.vertices[found.triangles].unbind(1)
    volume = float((first * second.cross(third, dim=-1)).sum()) / 6
    assert volume == pytest.approx(float(ball().volume), rel=1e-5)


def test_triangles_that_face_inwards_are_turned_around(tmp_path: Path) -> None:
    mesh = trimesh.Trimesh(ball().vertices, ball().faces[:, ::-1], process=False)
    found = read_closed_surface(written(tmp_path / "ball.ply", mesh), FieldError)
    first, second, third = found.vertices[found.triangles].unbind(1)
    assert float((first * second.cross(third, dim=-1)).sum()) > 0


def broken(change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        return written(folder / "prior.ply", change(ball()))

    return write


def with_nan(mesh: Any) -> Any:
    vertices = np.array(mesh.vertices)
    vertices[3, 1] = np.nan
    return trimesh.Trimesh(vertices, mesh.faces, process=False)


def text(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


BAD = {
    "missing": (lambda folder: folder / "none.ply", "no such file"),
    "another format": (text("head.stl", b"solid"), "format '.stl'; expected .ply, .obj, .glb"),
    "no mesh": (text("head.glb", b"not a mesh"), "broken, or no .glb file"),
    "cut off": (text("head.ply", b"ply\nformat ascii 1.0\nelement vertex 3\n"), "broken, or no .ply file"),
    "points": (text("head.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"), "no triangles"),
    "open": (broken(lambda m: trimesh.Trimesh(m.vertices, m.faces[1:], process=False)), "open: found 3 edges"),
    "not finite": (broken(with_nan), "not finite"),
    "flat": (broken(lambda m: trimesh.Trimesh(m.vertices * [1, 1, 0], m.faces, process=False)), "no volume"),
    "wrong numbers": (text("head.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"), "head.obj: "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    write, message = BAD[name]
    path = write(tmp_path)
    with pytest.raises(FieldError) as error:
        read_closed_surface(path, FieldError)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


def test_too_many_triangles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_files, "MOST_TRIANGLES", 79)
    with pytest.raises(FieldError, match="found 80 triangles, expected at most 79"):
        read_closed_surface(written(tmp_path / "ball.ply", ball()), FieldError)
