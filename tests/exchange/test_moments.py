"""The choice of exported moments: rows of a driver's motion, or timesteps of the avatar's own capture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.errors import FlameParamsError, OptionError, SageError
from sage_ns.exchange.moments import choose_moments
from sage_ns.motion.face.arkit import JAW_OPEN
from sage_ns.rig import FlameParams
from sage_ns.system.array_fields import write_npz
from tests.exchange.bound_avatars import small_avatar, some_motion
from tests.motion.files.written import live_link_face
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
AVATAR = small_avatar(HEAD)
TIMESTEPS = AVATAR.motion.timesteps.tolist()


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    some_motion(HEAD, 3).save_vhap(tmp_path / "driver.npz")
    return tmp_path / "driver.npz"


def test_timesteps_of_the_capture_in_ascending_order() -> None:
    chosen = choose_moments((TIMESTEPS[3], TIMESTEPS[1], TIMESTEPS[3]), None)
    assert chosen.chosen == (TIMESTEPS[1], TIMESTEPS[3])
    assert torch.equal(chosen.motion(AVATAR), AVATAR.motion.motion[[1, 3]])
    assert choose_moments((), None).motion(AVATAR).shape == (0, AVATAR.motion.num_coefficients)
    with pytest.raises(OptionError, match=f"the avatar's capture has the timesteps {min(TIMESTEPS)} to"):
        choose_moments((max(TIMESTEPS) + 1,), None).motion(AVATAR)


def test_rows_of_a_motion(driver: Path) -> None:
    expected = AVATAR.fit(some_motion(HEAD, 3))
    assert torch.equal(choose_moments((), driver).motion(AVATAR), expected)
    assert torch.equal(choose_moments((2,), driver).motion(AVATAR), expected[2:])
    with pytest.raises(OptionError, match=r"timesteps=3: .*driver\.npz has the rows 0 to 2"):
        choose_moments((3,), driver)


def test_parameter_files_follow_each_other(driver: Path) -> None:
    chosen = choose_moments((1, 4), None, (driver, driver))
    expected = AVATAR.fit(some_motion(HEAD, 3))
    assert torch.equal(chosen.motion(AVATAR), expected[[1, 1]])
    with pytest.raises(SageError, match="exclude each other"):
        choose_moments((), driver, (driver,))


def test_motion_beyond_the_limits_is_clamped_with_a_note(tmp_path: Path) -> None:
    wide = some_motion(HEAD, 3)
    wide.jaw_pose[1, 0] = 2.0
    wide.save_vhap(tmp_path / "wide.npz")
    for chosen in (choose_moments((), tmp_path / "wide.npz"), choose_moments((), None, (tmp_path / "wide.npz",))):
        notes: list[str] = []
        moved = chosen.motion(AVATAR, notes.append)
        assert moved[:, FlameParams.JAW][:, 0].max() == pytest.approx(0.6)
        assert ["wide.npz: Clamped jaw_pose of 1 of 3" in note for note in notes] == [True]


def test_degrees_are_refused_before_an_avatar_is_needed(tmp_path: Path) -> None:
    motion = some_motion(HEAD, 3)
    replace(motion, neck_pose=torch.full((3, 3), 10.0)).save_vhap(tmp_path / "degrees.npz")
    for motion_file, others in ((tmp_path / "degrees.npz", ()), (None, (tmp_path / "degrees.npz",))):
        with pytest.raises(
            FlameParamsError, match=r"degrees\.npz: .*'neck_pose': found 10 rad; these look like degrees"
        ):
            choose_moments((), motion_file, others)


def test_parameter_files_need_no_shape_and_recordings_use_the_rig(tmp_path: Path) -> None:
    arrays = {name: value for name, value in some_motion(HEAD, 3).arrays().items() if name != "shape"}
    write_npz(tmp_path / "plain.npz", arrays)
    expected = AVATAR.fit(some_motion(HEAD, 3))
    assert torch.equal(choose_moments((), None, (tmp_path / "plain.npz",)).motion(AVATAR), expected)
    recording = live_link_face(tmp_path / "take.csv", [{}, {"jawOpen": 1.0}])
    moved = choose_moments((1,), recording, rig=lambda: AVATAR.rig.head_model).motion(AVATAR)
    assert float(moved[0, FlameParams.JAW][0]) == pytest.approx(JAW_OPEN)


def test_motion_of_another_mesh_is_refused(tmp_path: Path) -> None:
    foreign = replace(some_motion(HEAD, 1), static_offset=torch.zeros(99, 3))
    foreign.save_vhap(tmp_path / "foreign.npz")
    with pytest.raises(FlameParamsError, match=r"foreign\.npz: .*99 vertices"):
        choose_moments((), None, (tmp_path / "foreign.npz",)).motion(AVATAR)
