"""VHAP's tracker before the export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sage_ns.errors import FlameParamsError
from sage_ns.motion.files import load_motion
from tests.motion.files.written import PARAMS, arrays, assert_same_motion, write_npz


def test_translation_is_centred_and_untracked_rows_are_cut(tmp_path: Path) -> None:
    extra = {"timestep_id": np.array(list("abcd")), "tex_extra": np.zeros((3, 2, 2)), "n_processed_frames": 3}
    path = write_npz(tmp_path / "tracked_flame_params_30.npz", **arrays(), **extra)
    write_npz(tmp_path / "tracked_flame_params_9.npz", **arrays(PARAMS[:1]), timestep_id=np.array(["a"]))
    motion = load_motion(path)
    expected = PARAMS[:3]
    centred = expected.translation - expected.translation.mean(0)
    assert_same_motion(motion.params, replace(expected, translation=centred))
    assert "1 timesteps were never tracked" in motion.notes[0]
    assert load_motion(tmp_path).params.num_timesteps == 3, "the last epoch counts"


@pytest.mark.parametrize(
    ("name", "extra"),
    [("tracked_flame_params_30", {}), ("mine", {"timestep_id": np.array(list("abcd"))})],
    ids=["name", "field"],
)
def test_the_file_name_or_a_field_suffices(tmp_path: Path, name: str, extra: dict[str, np.ndarray]) -> None:
    motion = load_motion(write_npz(tmp_path / f"{name}.npz", **arrays(), **extra))
    assert motion.params.translation.mean(dim=0).abs().max() < 1e-6 and motion.notes == ()


@pytest.mark.parametrize("num", [0, 9])
def test_more_tracked_moments_than_rows_are_refused(tmp_path: Path, num: int) -> None:
    path = write_npz(tmp_path / "a.npz", **arrays(), n_processed_frames=num)
    with pytest.raises(FlameParamsError, match=rf"a.npz: 'n_processed_frames': found {num}, expected 1..4"):
        load_motion(path)
