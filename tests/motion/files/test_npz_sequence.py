"""An npz with one row per moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.motion.files import load_motion
from sage_ns.rig import HeadModel
from tests.motion.files.written import MODEL, PARAMS, arrays, assert_same_motion, write_npz


def test_gaussian_avatars_file_and_its_folder(tmp_path: Path) -> None:
    PARAMS.save_gaussian_avatars(tmp_path / "flame_param.npz")
    for path in (tmp_path, tmp_path / "flame_param.npz"):
        motion = load_motion(path)
        assert_same_motion(motion.params, PARAMS)
        assert motion.timesteps.tolist() == [0, 1, 2, 3] and motion.sequences.tolist() == [0] * 4


def test_timesteps_and_sequences_of_a_bank(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "bank.npz", **arrays(), timesteps=[5, 6, 5, 6], sequences=[0, 0, 2, 2])
    motion = load_motion(path)
    assert motion.timesteps.tolist() == [5, 6, 5, 6] and motion.sequences.tolist() == [0, 0, 2, 2]


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "motion.npz", **arrays()).rename(tmp_path / "motion.dat")
    assert_same_motion(load_motion(path).params, PARAMS)


def test_surplus_coefficients_that_are_zero_are_cut(tmp_path: Path) -> None:
    wide = np.concatenate([PARAMS.expr.numpy(), np.zeros((4, 5))], axis=1)
    assert_same_motion(load_motion(write_npz(tmp_path / "a.npz", **arrays(expr=wide)), MODEL).params, PARAMS)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jaw_pose": None}, "'jaw_pose': found nothing"),
        ({"neck_pose": np.zeros((3, 3))}, "'neck_pose': found shape [3, 3]"),
        ({"eyes_pose": np.zeros((4, 3))}, "'eyes_pose': found shape [4, 3]"),
        ({"rotation": np.full((4, 3), np.nan)}, "'rotation': found 12 non-finite"),
        ({"sequences": np.zeros(3, dtype=int)}, "'sequences': found shape [3], expected shape [4]"),
        ({"timesteps": np.full(4, 0.5)}, "'timesteps': found type float64, expected integers"),
        ({"expr": np.ones((4, 12))}, "'expr': found 12 coefficients in use, but head model 'tiny' has 10"),
    ],
)
def test_broken_fields_are_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    path = write_npz(tmp_path / "bank.npz", **arrays(**changes))
    with pytest.raises(FlameParamsError) as error:
        load_motion(path, MODEL)
    assert str(path) in str(error.value) and named in str(error.value)


@pytest.mark.parametrize(
    "identity", [{"shape": None}, {"shape": np.ones((4, 300))}, {"static_offset": np.ones((4, 7, 3))}]
)
def test_a_driver_needs_no_identity_and_may_have_one_per_moment(tmp_path: Path, identity: dict[str, Any]) -> None:
    """Also random shapes per moment: `shape` of a driver is never used."""
    if identity.get("shape") is not None:
        identity = {"shape": np.random.default_rng(0).normal(size=(4, 300))}
    path = write_npz(tmp_path / "driver.npz", **arrays(**identity))
    assert_same_motion(load_motion(path).params, PARAMS)
    assert_same_motion(load_motion(path, MODEL).params, PARAMS)


@pytest.mark.parametrize("model", [MODEL, None])
def test_degrees_are_refused_and_single_moments_clamped(tmp_path: Path, model: HeadModel | None) -> None:
    path = write_npz(
        tmp_path / "driver.npz", **arrays(jaw_pose=np.degrees(np.full((4, 3), 0.1))), timesteps=[3, 4, 5, 6]
    )
    with pytest.raises(FlameParamsError, match=r"driver\.npz: timestep 3: 'jaw_pose': found 5\.73 rad; .*degrees"):
        load_motion(path, model)
    lost = 0.1 * np.ones((4, 3))
    lost[1, 0] = 2.0
    motion = load_motion(write_npz(tmp_path / "lost.npz", **arrays(jaw_pose=lost)), model)
    assert float(motion.params.jaw_pose[1, 0]) == pytest.approx(2.0 if model is None else 0.6)
    assert any("Clamped jaw_pose of 1 of 4" in note for note in motion.notes) == (model is not None)


def test_an_npz_of_something_else_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "cameras.npz", intrinsics=np.eye(3), poses=np.eye(4))
    with pytest.raises(CaptureError, match=r"no motion in this file \(found the fields intrinsics, poses\)"):
        load_motion(path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    with pytest.raises(FlameParamsError, match=r"broken.npz: not a readable npz"):
        load_motion(tmp_path / "broken.npz")
