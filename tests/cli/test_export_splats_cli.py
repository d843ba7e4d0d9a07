"""``sage-export splats`` on an avatar file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygltflib
import pytest

from sage_ns.cli.export import main
from sage_ns.exchange.ply import read_ply
from sage_ns.rig import FlameParams
from tests.exchange.bound_avatars import small_avatar, some_motion
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
AVATAR = small_avatar(HEAD)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "avatar.npz"
    AVATAR.save(path)
    return path


def run(file: Path, out: Path, *flags: object) -> list[str]:
    main(["splats", "--load-config", str(file), "--output-dir", str(out), *map(str, flags)])
    return sorted(path.name for path in out.iterdir())


def refused(capsys: pytest.CaptureFixture[str], file: Path, out: Path, *flags: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(file, out, *flags)
    assert stopped.value.code == 1
    return " ".join(capsys.readouterr().out.split())


def means(path: Path) -> np.ndarray:
    properties = read_ply(path)
    return np.stack([properties[name] for name in "xyz"], axis=-1)


def test_at_rest_the_head_is_upright_in_viewers_whose_y_points_down(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, tmp_path / "viewers") == ["canonical.ply"]
    assert "300 splats (3dgs)" in capsys.readouterr().out
    assert "scale_2" in read_ply(tmp_path / "viewers" / "canonical.ply")
    assert run(file, tmp_path / "world", "--axes", "world", "--format", "2dgs") == ["canonical.ply"]
    assert "scale_2" not in read_ply(tmp_path / "world" / "canonical.ply")
    world = means(tmp_path / "world" / "canonical.ply")
    np.testing.assert_array_equal(means(tmp_path / "viewers" / "canonical.ply"), world * [-1, -1, 1])
    low, high = AVATAR.rig.vertices(AVATAR.motion.canonical()).numpy().min(0), np.float32(0.2)
    assert (world > low - high).all() and (world < high).all()


def test_timesteps_of_the_capture_as_gltf(file: Path, tmp_path: Path) -> None:
    assert run(file, tmp_path, "--format", "gltf", "--timesteps", 9, 2) == ["posed_00002.glb", "posed_00009.glb"]
    document = pygltflib.GLTF2().load(str(tmp_path / "posed_00009.glb"))
    assert document is not None and document.accessors[0].count == 300


def test_another_persons_motion(file: Path, tmp_path: Path) -> None:
    some_motion(HEAD, 3).save_vhap(tmp_path / "tracked" / "flame_param")
    flags = ("--axes", "world", "--motion", tmp_path / "tracked")
    assert run(file, tmp_path / "all", *flags) == [f"posed_{row:05d}.ply" for row in range(3)]
    assert run(file, tmp_path / "one", *flags, "--timesteps", 1) == ["posed_00001.ply"]
    one = means(tmp_path / "one" / "posed_00001.ply")
    np.testing.assert_array_equal(one, means(tmp_path / "all" / "posed_00001.ply"))
    assert np.abs(one - means(tmp_path / "all" / "posed_00002.ply")).max() > 0.001


def test_bad_options_are_refused_and_nothing_is_written(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "none.npz: no such file" in refused(capsys, tmp_path / "none.npz", out)
    assert "has the timesteps 2 to 9" in refused(capsys, file, out, "--timesteps", 4)
    assert "no such file or folder" in refused(capsys, file, out, "--motion", tmp_path / "none")
    some_motion(HEAD, 3).save_vhap(tmp_path / "own.npz")
    assert "rows 0 to 2" in refused(capsys, file, out, "--motion", tmp_path / "own.npz", "--timesteps", 3)
    some_motion(tiny_head_model(num_expression=14), 3).save_vhap(tmp_path / "other.npz")
    message = refused(capsys, file, out, "--motion", tmp_path / "other.npz")
    assert "other.npz: 'expr': found 14 coefficients in use" in message
    assert not out.exists()


def test_existing_files_stay_without_overwrite(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "posed_00009.ply"
    path.write_text("somebody's work")
    assert "--overwrite" in refused(capsys, file, tmp_path, "--timesteps", 2, 9)
    assert path.read_text() == "somebody's work" and not path.with_name("posed_00002.ply").exists()
    run(file, tmp_path, "--timesteps", 9, "--overwrite")
    assert len(means(path)) == 300


def test_the_identity_of_a_motion_is_ignored(file: Path, tmp_path: Path) -> None:
    motion = some_motion(HEAD, 1)
    motion.save_vhap(tmp_path / "a.npz")
    motion.with_identity(FlameParams.neutral(HEAD)).save_vhap(tmp_path / "b.npz")
    for name in ("a", "b"):
        run(file, tmp_path / name, "--motion", tmp_path / f"{name}.npz")
    first, second = (means(tmp_path / name / "posed_00000.ply") for name in ("a", "b"))
    np.testing.assert_array_equal(first, second)
