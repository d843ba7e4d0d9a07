"""Folders with one npz per moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.motion.files import load_motion
from tests.motion.files.written import PARAMS, assert_same_motion, write_npz


def test_the_folder_or_the_one_around_it(tmp_path: Path) -> None:
    PARAMS.save_vhap(tmp_path / "clip" / "flame_param")
    PARAMS[0].save_vhap(tmp_path / "clip" / "canonical_flame_param.npz")
    for folder in (tmp_path / "clip", tmp_path / "clip" / "flame_param"):
        motion = load_motion(folder)
        assert_same_motion(motion.params, PARAMS)
        assert motion.timesteps.tolist() == [0, 1, 2, 3] and motion.sequences.tolist() == [0] * 4


def test_numbers_in_names_are_timesteps_and_give_the_order(tmp_path: Path) -> None:
    for row, name in enumerate(("7", "9", "10", "100")):
        PARAMS[row].save_vhap(tmp_path / f"{name}.npz")
    motion = load_motion(tmp_path)
    assert_same_motion(motion.params, PARAMS)
    assert motion.timesteps.tolist() == [7, 9, 10, 100]


def test_other_npz_files_make_no_motion(tmp_path: Path) -> None:
    write_npz(tmp_path / "cameras.npz", intrinsics=np.eye(3))
    with pytest.raises(CaptureError, match=r"no motion in this folder \(found cameras.npz\)"):
        load_motion(tmp_path)


def test_files_of_different_rigs_are_refused(tmp_path: Path) -> None:
    PARAMS[0].save_vhap(tmp_path / "00000.npz")
    replace(PARAMS, expr=PARAMS.expr[:, :4])[1].save_vhap(tmp_path / "00001.npz")
    with pytest.raises(FlameParamsError, match=r"00001.npz: 'expr' has 4 coefficients"):
        load_motion(tmp_path)


def test_a_file_of_several_moments_is_refused(tmp_path: Path) -> None:
    PARAMS.save_vhap(tmp_path / "all.npz")
    with pytest.raises(CaptureError, match=r"all.npz: holds 4 timesteps.*give that file"):
        load_motion(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "00000.npz").write_bytes(b"PK no zip")
    with pytest.raises(FlameParamsError, match=r"00000.npz: not a readable npz"):
        load_motion(tmp_path)
