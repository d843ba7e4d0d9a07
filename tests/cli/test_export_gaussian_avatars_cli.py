"""``sage-export gaussian-avatars`` on an avatar file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.cli.export import main
from sage_ns.exchange.ply import read_ply
from sage_ns.rig import FlameParams, save_head_model
from tests.exchange.bound_avatars import small_avatar, some_motion
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
AVATAR = small_avatar(HEAD)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the avatar and its head model."""
    folder = tmp_path_factory.mktemp("avatar")
    AVATAR.save(folder / "avatar.npz")
    save_head_model(HEAD, folder / "head_model.npz")
    return folder


def run(files: Path, out: Path, *flags: object) -> None:
    head_model = ("--head-model", files / "head_model.npz")
    given = ("--load-config", files / "avatar.npz", "--output-dir", out, *head_model, *flags)
    main(["gaussian-avatars", *map(str, given)])


def test_the_canonical_moment_then_the_capture(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(files, tmp_path)
    assert "300 splats" in capsys.readouterr().out
    assert len(read_ply(tmp_path / "point_cloud.ply")["binding_0"]) == 300
    motion = AVATAR.fit(FlameParams.load(tmp_path / "flame_param.npz"))
    torch.testing.assert_close(motion, torch.cat([AVATAR.motion.canonical()[None], AVATAR.motion.motion]))


def test_the_canonical_moment_then_rows_of_another_motion(files: Path, tmp_path: Path) -> None:
    other = some_motion(HEAD, 3)
    other.save_vhap(tmp_path / "other.npz")
    run(files, tmp_path, "--motion", tmp_path / "other.npz", "--timesteps", 2)
    motion = AVATAR.fit(FlameParams.load(tmp_path / "flame_param.npz"))
    expected = torch.stack([AVATAR.motion.canonical(), AVATAR.fit(other)[2]])
    torch.testing.assert_close(motion, expected)


def test_another_head_model_is_refused(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_head_model(tiny_head_model(seed=3), tmp_path / "other.npz")
    with pytest.raises(SystemExit):
        run(files, tmp_path / "out", "--head-model", tmp_path / "other.npz")
    assert "'expression_basis' is not that of 'tiny'" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "out").exists()


def test_existing_files_stay_without_overwrite(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flame_param.npz"
    path.write_text("somebody's work")
    with pytest.raises(SystemExit):
        run(files, tmp_path)
    assert "--overwrite" in capsys.readouterr().out
    assert path.read_text() == "somebody's work" and not path.with_name("point_cloud.ply").exists()
    run(files, tmp_path, "--overwrite")
    assert np.load(path)["expr"].shape == (5, 100)
