"""Export folders: single sequences, unions, and their training moments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_ns.errors import SageError
from sage_ns.motion.files import load_motion
from sage_ns.rig import FlameParams
from tests.motion.files.written import MODEL, PARAMS, assert_same_motion
from tests.tiny_capture import write_tiny_capture


def test_a_single_sequence(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "person", num_timesteps=4)
    motion = load_motion(folder, MODEL)
    assert_same_motion(motion.params, FlameParams.load(folder / "flame_param"))
    assert motion.timesteps.tolist() == [0, 1, 2, 3] and motion.sequences.tolist() == [0] * 4
    assert motion.params.static_offset is None and not motion.params.shape.any()
    assert motion.source == folder and motion.fps is None


def test_the_training_part(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "person", num_timesteps=4)
    assert load_motion(folder, split="train").timesteps.tolist() == [0, 1, 2]


def test_lam_writes_one_transforms_file(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "clip", num_timesteps=3)
    for path in folder.glob("transforms_*.json"):
        path.unlink()
    assert load_motion(folder).params.num_timesteps == 3


def test_a_union_is_as_many_sequences_as_it_has_folders(tmp_path: Path) -> None:
    for name, rows in (("a", slice(0, 2)), ("b", slice(2, 4))):
        PARAMS[rows].save_vhap(tmp_path / name / "flame_param")
    frames = [
        {"timestep_index": t, "flame_param_path": f"../{'ab'[t // 2]}/flame_param/{t % 2:05d}.npz"}
        for t in (3, 2, 1, 0)
    ]
    union = tmp_path / "UNION"
    union.mkdir()
    for split, chosen in (("train", frames[2:]), ("test", frames[:2])):
        (union / f"transforms_{split}.json").write_text(json.dumps({"frames": chosen}))
    motion = load_motion(union)
    assert_same_motion(motion.params, PARAMS)
    assert motion.sequences.tolist() == [0, 0, 1, 1] and motion.timesteps.tolist() == [0, 1, 2, 3]
    assert load_motion(union, split="train").timesteps.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([], "list no timesteps for the split 'all'"),
        ([{"file_path": "a.png"}], r"transforms_train.json, frame 0: no 'timestep_index'.*INSTA"),
        ([{"timestep_index": 0}], "frame 0: no 'flame_param_path'"),
        ([{"timestep_index": 0, "flame_param_path": "gone.npz"}], "gone.npz: no such file"),
    ],
)
def test_transforms_without_motion_are_refused(tmp_path: Path, frames: list[dict], complaint: str) -> None:
    (tmp_path / "transforms_train.json").write_text(json.dumps({"frames": frames}))
    with pytest.raises(SageError, match=complaint):
        load_motion(tmp_path)
