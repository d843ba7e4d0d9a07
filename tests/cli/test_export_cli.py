"""``sage-export mesh`` on a stand-in avatar: a sphere in the tiny rig's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.cli import export_mesh
from sage_ns.cli.export import main
from sage_ns.motion.source import MotionSource
from sage_ns.rig import FlameParams
from tests.avatar.sphere_field import CENTER, RADIUS, SphereField, reddish_above
from tests.tiny import tiny_head_model, tiny_params

HEAD_MODEL = tiny_head_model()
TIMESTEPS = (4, 9, 12)
MOVED = torch.tensor([0.3, 0.1, -0.2])


def captured() -> FlameParams:
    """Three moments of which the first is neutral and the last the same head elsewhere."""
    params = replace(tiny_params(HEAD_MODEL), shape=torch.zeros(300), static_offset=None)
    motion = params.motion_vector()
    motion[0] = 0
    motion[2] = 0
    motion[2, FlameParams.TRANSLATION] = MOVED
    return FlameParams.from_motion_vector(motion)


@pytest.fixture
def avatar(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    params = captured()
    posed = SimpleNamespace(
        rig=PersonalRig(HEAD_MODEL, params), motion=MotionSource(params, torch.tensor(TIMESTEPS), 0)
    )
    made = SimpleNamespace(canonical=SimpleNamespace(field=SphereField(), appearance=reddish_above), avatar=posed)
    monkeypatch.setattr(export_mesh, "load_model", lambda path: made)
    return made


def run(folder: Path, *flags: object) -> Path:
    config = folder / "config.yml"
    config.touch()
    out = folder / "meshes"
    main(["mesh", "--load-config", str(config), "--output-dir", str(out), "--cell-size", "0.005", *map(str, flags)])
    return out


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *flags: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(folder, *flags)
    assert stopped.value.code == 1
    return " ".join(capsys.readouterr().out.split())


def vertices(path: Path) -> Any:
    return np.asarray(trimesh.load(path, process=False).vertices)  # type: ignore[union-attr]


@pytest.mark.usefixtures("avatar")
def test_canonical_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(tmp_path)
    assert [path.name for path in out.iterdir()] == ["canonical.ply"]
    radii = np.linalg.norm(vertices(out / "canonical.ply") - CENTER.numpy(), axis=-1)
    assert np.abs(radii - RADIUS).max() < 0.0005
    assert "canonical.ply" in capsys.readouterr().out


@pytest.mark.usefixtures("avatar")
def test_timesteps_of_the_capture(tmp_path: Path) -> None:
    out = run(tmp_path, "--timesteps", 12, 9)
    assert sorted(path.name for path in out.iterdir()) == ["canonical.ply", "posed_00009.ply", "posed_00012.ply"]
    shift = vertices(out / "posed_00012.ply") - vertices(out / "canonical.ply")
    np.testing.assert_allclose(shift, np.broadcast_to(MOVED.numpy(), shift.shape), atol=2e-6)


@pytest.mark.usefixtures("avatar")
def test_given_parameters_move_the_avatar_but_do_not_change_who_it_is(tmp_path: Path) -> None:
    other = replace(captured(), shape=torch.ones(300))
    other.save_vhap(tmp_path / "other.npz")
    out = run(tmp_path, "--flame-params", tmp_path / "other.npz", "--format", "glb")
    names = ["canonical.glb", "posed_00000.glb", "posed_00001.glb", "posed_00002.glb"]
    assert sorted(path.name for path in out.iterdir()) == names
    canonical, moved = (
        next(iter(trimesh.load(out / name, process=False).geometry.values())).vertices  # type: ignore[union-attr]
        for name in (names[0], names[3])
    )
    np.testing.assert_allclose(moved - canonical, np.broadcast_to(MOVED.numpy(), moved.shape), atol=2e-6)


@pytest.mark.usefixtures("avatar")
def test_any_motion_poses_the_mesh(tmp_path: Path) -> None:
    """A folder of one file per timestep, which only the reader of motion joins to a sequence."""
    captured().save_vhap(tmp_path / "tracked" / "flame_param")
    out = run(tmp_path, "--motion", tmp_path / "tracked", "--timesteps", 2)
    assert sorted(path.name for path in out.iterdir()) == ["canonical.ply", "posed_00002.ply"]
    shift = vertices(out / "posed_00002.ply") - vertices(out / "canonical.ply")
    np.testing.assert_allclose(shift, np.broadcast_to(MOVED.numpy(), shift.shape), atol=2e-6)


def test_an_avatar_without_a_field_is_refused(
    avatar: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avatar.canonical = None
    assert "without the signed distance field" in refused(capsys, tmp_path)
    assert not (tmp_path / "meshes").exists()


@pytest.mark.usefixtures("avatar")
def test_parameters_of_another_rig_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tiny_params(tiny_head_model(num_expression=14))
    other.save_vhap(tmp_path / "more_expressions.npz")
    assert "'expr'" in refused(capsys, tmp_path, "--flame-params", tmp_path / "more_expressions.npz")
    foreign = replace(captured(), static_offset=torch.zeros(99, 3))
    foreign.save_vhap(tmp_path / "foreign.npz")
    captured().save_vhap(tmp_path / "own.npz")
    files = (tmp_path / "own.npz", tmp_path / "foreign.npz")
    assert "99 vertices" in refused(capsys, tmp_path, "--flame-params", *files)
    assert not (tmp_path / "meshes").exists()


@pytest.mark.usefixtures("avatar")
def test_existing_meshes_are_kept_without_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "meshes" / "posed_00009.ply"
    path.parent.mkdir()
    path.write_text("somebody's work")
    assert "--overwrite" in refused(capsys, tmp_path, "--timesteps", 9)
    assert path.read_text() == "somebody's work"
    assert not path.with_name("canonical.ply").exists()
    run(tmp_path, "--timesteps", 9, "--overwrite")
    assert len(vertices(path)) == len(vertices(path.with_name("canonical.ply")))


@pytest.mark.usefixtures("avatar")
def test_moments_that_do_not_exist_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--timesteps 5: the avatar's capture has the timesteps 4 to 12" in refused(
        capsys, tmp_path, "--timesteps", 4, 5
    )
    captured().save_vhap(tmp_path / "rows.npz")
    assert "rows 0 to 2" in refused(capsys, tmp_path, "--flame-params", tmp_path / "rows.npz", "--timesteps", 3)


def test_bad_flags_are_refused_before_anything_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "more than 0" in refused(capsys, tmp_path, "--cell-size", -1)
    assert "nothing.npz" in refused(capsys, tmp_path, "--flame-params", tmp_path / "nothing.npz")
    assert "no such file or folder" in refused(capsys, tmp_path, "--motion", tmp_path / "nothing")
    both = refused(capsys, tmp_path, "--motion", tmp_path / "a.npz", "--flame-params", tmp_path / "b.npz")
    assert "exclude each other" in both
    with pytest.raises(SystemExit):
        main(["mesh", "--load-config", str(tmp_path / "none.yml"), "--output-dir", str(tmp_path)])
    assert "no such file" in capsys.readouterr().out
    (tmp_path / "avatar.npz").touch()
    with pytest.raises(SystemExit):
        main(["mesh", "--load-config", str(tmp_path / "avatar.npz"), "--output-dir", str(tmp_path)])
    assert "no signed distance field" in " ".join(capsys.readouterr().out.split())
