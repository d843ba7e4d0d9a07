"""``sage-import gaussian-avatars``, from the files that ``sage-export`` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.cli.import_avatar import main
from sage_ns.exchange.gaussian_avatars import save_gaussian_avatar
from sage_ns.exchange.ply import read_ply, write_ply
from sage_ns.rig import save_head_model
from sage_ns.synthetic.head import builtin_head
from tests.exchange.bound_avatars import psnr, small_avatar, some_motion
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
AVATAR = small_avatar(HEAD)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with point cloud, parameters and head model."""
    save_gaussian_avatar(AVATAR, HEAD, AVATAR.motion.motion, tmp_path)
    save_head_model(HEAD, tmp_path / "head_model.npz")
    return tmp_path


def run(files: Path, *flags: object) -> None:
    given = (files / "point_cloud.ply", "--head-model", files / "head_model.npz", "--output", files / "avatar.npz")
    main(["gaussian-avatars", *map(str, (*given, *flags))])


def refused(capsys: pytest.CaptureFixture[str], files: Path, *flags: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(files, *flags)
    assert stopped.value.code == 1
    assert not (files / "avatar.npz").exists()
    return " ".join(capsys.readouterr().out.split())


def test_an_exported_avatar_comes_back_as_a_file_that_draws_the_same(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(files)
    assert "300 surfels, 5 timesteps" in capsys.readouterr().out
    avatar = Avatar.load(files / "avatar.npz")
    camera, motion = AVATAR.front_camera(64, 80), AVATAR.motion.motion[3]
    again = avatar.draw(camera, motion).composite(torch.ones(3))
    assert psnr(again, AVATAR.draw(camera, motion, avatar.look).composite(torch.ones(3))) > 60


def test_other_parameters_than_those_beside_it(files: Path) -> None:
    some_motion(HEAD, 2).save_vhap(files / "other.npz")
    run(files, "--flame-param", files / "other.npz")
    avatar = Avatar.load(files / "avatar.npz")
    torch.testing.assert_close(avatar.motion.motion, some_motion(HEAD, 2).motion_vector())


def test_without_parameters_a_note_names_the_mean_head(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "flame_param.npz").unlink()
    run(files)
    assert "mean head, at rest" in capsys.readouterr().out


def test_a_mouth_can_be_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = builtin_head(2)
    made = small_avatar(head, num_surfels=50)
    save_gaussian_avatar(made, head, made.motion.motion, tmp_path)
    save_head_model(head, tmp_path / "head_model.npz")
    run(tmp_path, "--mouth")
    assert "50 surfels" in capsys.readouterr().out
    avatar = Avatar.load(tmp_path / "avatar.npz")
    assert avatar.mouth is not None and avatar.look.mouth and avatar.interior.any()
    with torch.no_grad():
        placed = avatar.place(torch.tensor([0.0, 0.0, 1.0]), avatar.motion.canonical())
    assert len(placed) == 50 + avatar.mouth.surfels.num_surfels


def test_bad_files_and_flags_are_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ends in .npz" in refused(capsys, files, "--output", files / "avatar.ply")
    assert "none.npz: no such file" in refused(capsys, files, "--head-model", files / "none.npz")
    assert "none.npz: no such file" in refused(capsys, files, "--flame-param", files / "none.npz")
    properties = read_ply(files / "point_cloud.ply")
    del properties["binding_0"]
    write_ply(files / "point_cloud.ply", properties)
    assert "point_cloud.ply: 'binding_0'" in refused(capsys, files)


def test_an_existing_file_is_kept_without_overwrite(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "avatar.npz").write_text("somebody's work")
    with pytest.raises(SystemExit):
        run(files)
    assert "--overwrite" in capsys.readouterr().out and (files / "avatar.npz").read_text() == "somebody's work"
    run(files, "--overwrite")
    assert Avatar.load(files / "avatar.npz").surfels.num_surfels == 300
