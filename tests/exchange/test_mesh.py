"""Surfaces as files: read back as written, no partial files, and posed as the rig is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from sage_ns.avatar.field_surface import SurfaceMesh, extract_surface
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.errors import SageError, WriteError
from sage_ns.exchange.mesh import canonical_surface, write_mesh, write_posed_meshes
from sage_ns.rig import FlameParams
from tests.avatar.sphere_field import SphereField, reddish_above
from tests.tiny import tiny_head_model


def sphere() -> SurfaceMesh:
    return extract_surface(SphereField(), reddish_above, 0.004)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_files_are_read_again_as_written(tmp_path: Path, suffix: str) -> None:
    mesh = sphere()
    path = tmp_path / "new" / f"head.{suffix}"
    write_mesh(mesh, path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    loaded: Any = trimesh.load(path, process=False)
    read = loaded if suffix == "ply" else next(iter(loaded.geometry.values()))
    assert torch.from_numpy(read.vertices.copy()).float().sub(mesh.vertices).abs().max() < 1e-6
    assert (torch.from_numpy(read.faces.copy()) == mesh.triangles).all()
    colors = torch.from_numpy(read.visual.vertex_colors[:, :3].copy()).float() / 255
    assert (colors - mesh.colors).abs().max() < 0.5 / 255 + 1e-6
    assert torch.from_numpy(read.vertex_normals.copy()).float().sub(mesh.normals).abs().max() < 1e-4


def test_refuses_other_formats(tmp_path: Path) -> None:
    with pytest.raises(SageError, match="ply"):
        write_mesh(sphere(), tmp_path / "head.obj")
    assert not list(tmp_path.iterdir())


def test_keeps_the_old_file_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "head.ply"
    path.write_text("before")

    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(WriteError, match=r"head\.ply cannot be written: disk full"):
        write_mesh(sphere(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_poses_carry_the_surface(tmp_path: Path) -> None:
    head, mesh = tiny_head_model(), sphere()
    neutral = FlameParams.neutral(head)
    rig = PersonalRig(head, neutral)
    rest = neutral.motion_vector()[0]
    elsewhere = replace(neutral, translation=torch.tensor([[0.3, 0.1, -0.2]])).motion_vector()[0]
    paths = [tmp_path / "rest.ply", tmp_path / "moved.ply"]
    write_posed_meshes(mesh, rig, rest, torch.stack([rest, elsewhere]), paths)
    still, moved = (np.asarray(trimesh.load(path, process=False).vertices) for path in paths)  # type: ignore[union-attr]
    np.testing.assert_allclose(still, mesh.vertices.numpy(), atol=2e-6)
    np.testing.assert_allclose(moved - still, np.broadcast_to([0.3, 0.1, -0.2], still.shape), atol=2e-6)
    write_posed_meshes(mesh, rig, rest, torch.zeros(0, len(rest)), [])


def test_an_avatar_without_a_field_has_no_surface() -> None:
    with pytest.raises(SageError, match=r"run\.yml: this avatar consists of surfels only"):
        canonical_surface(None, "run.yml")
