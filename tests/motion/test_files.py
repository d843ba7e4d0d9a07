"""Driving motion: every format gives the same numbers, and what is no motion is refused by name."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.errors import CaptureError, FlameParamsError, SageError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.motion.files import load_motion
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import write_tiny_capture

MODEL = tiny_head_model()
PARAMS = tiny_params(MODEL, 4)


def assert_same_motion(found: FlameParams, expected: FlameParams) -> None:
    torch.testing.assert_close(found.motion_vector(), expected.motion_vector())


def arrays(params: FlameParams = PARAMS, **changes: Any) -> dict[str, Any]:
    names = ("shape", "expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation")
    given = {name: getattr(params, name).numpy() for name in names} | changes
    return {name: value for name, value in given.items() if value is not None}


def write_npz(path: Path, **content: Any) -> Path:
    np.savez(path, **content)
    return path


def six(axis_angle: torch.Tensor) -> np.ndarray:
    """The first two rows of the rotation matrix, as PyTorch3D flattens them."""
    return axis_angle_to_matrix(axis_angle)[..., :2, :].flatten(-2).numpy()


def checkpoint(timestep: int, **changes: Any) -> dict[str, Any]:
    flame = {
        "exp": PARAMS.expr[timestep : timestep + 1].numpy(),
        "shape": np.ones((1, 300), dtype=np.float32),
        "jaw": six(PARAMS.jaw_pose[timestep : timestep + 1]),
        "eyes": six(PARAMS.eyes_pose[timestep].reshape(2, 3)).reshape(1, 12),
        "eyelids": np.zeros((1, 2), dtype=np.float32),
        **changes,
    }
    flame = {name: value for name, value in flame.items() if value is not None}
    return {"flame": flame, "frame_id": f"{timestep:05d}", "img_size": np.array([512, 512]), "global_step": 7}


def write_checkpoints(folder: Path, *contents: dict[str, Any]) -> Path:
    (folder / "checkpoint").mkdir(parents=True)
    for index, content in enumerate(contents):
        torch.save(content, folder / "checkpoint" / f"{index + 1:05d}.frame")
    return folder


class TestFormats:
    def test_vhap_export(self, tmp_path: Path) -> None:
        folder = write_tiny_capture(tmp_path / "person", num_timesteps=4)
        motion = load_motion(folder, MODEL)
        assert_same_motion(motion.params, FlameParams.load(folder / "flame_param"))
        assert motion.timesteps.tolist() == [0, 1, 2, 3] and motion.sequences.tolist() == [0] * 4
        assert motion.params.static_offset is None and not motion.params.shape.any()

    def test_the_training_part_of_an_export(self, tmp_path: Path) -> None:
        folder = write_tiny_capture(tmp_path / "person", num_timesteps=4)
        assert load_motion(folder, split="train").timesteps.tolist() == [0, 1, 2]

    def test_lam_export_has_one_transforms_file(self, tmp_path: Path) -> None:
        folder = write_tiny_capture(tmp_path / "clip", num_timesteps=3)
        for path in folder.glob("transforms_*.json"):
            path.unlink()
        assert load_motion(folder).params.num_timesteps == 3

    def test_parameter_folders_without_transforms(self, tmp_path: Path) -> None:
        PARAMS.save_vhap(tmp_path / "clip" / "flame_param")
        PARAMS[0].save_vhap(tmp_path / "clip" / "canonical_flame_param.npz")
        for folder in (tmp_path / "clip", tmp_path / "clip" / "flame_param"):
            assert_same_motion(load_motion(folder).params, PARAMS)

    def test_union_is_as_many_sequences_as_it_has_folders(self, tmp_path: Path) -> None:
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

    def test_gaussian_avatars_file_and_its_folder(self, tmp_path: Path) -> None:
        PARAMS.save_gaussian_avatars(tmp_path / "flame_param.npz")
        for path in (tmp_path, tmp_path / "flame_param.npz"):
            assert_same_motion(load_motion(path).params, PARAMS)

    def test_tracker_output_is_centred_and_cut_to_what_was_tracked(self, tmp_path: Path) -> None:
        extra = {"timestep_id": np.array(list("abcd")), "tex_extra": np.zeros((3, 2, 2)), "n_processed_frames": 3}
        path = write_npz(tmp_path / "tracked_flame_params_30.npz", **arrays(), **extra)
        write_npz(tmp_path / "tracked_flame_params_9.npz", **arrays(PARAMS[:1]), timestep_id=np.array(["a"]))
        motion = load_motion(path)
        expected = PARAMS[:3]
        centred = expected.translation - expected.translation.mean(0)
        assert_same_motion(motion.params, replace(expected, translation=centred))
        assert "1 timesteps were never tracked" in motion.notes[0]
        assert load_motion(tmp_path).params.num_timesteps == 3, "the last epoch counts"

    @pytest.mark.parametrize("given", ["", "checkpoint", "checkpoint/00001.frame"])
    def test_metrical_tracker(self, tmp_path: Path, given: str) -> None:
        folder = write_checkpoints(tmp_path / "actor", *(checkpoint(t) for t in range(4)))
        motion = load_motion(folder / given, MODEL)
        zero = torch.zeros(4, 3)
        still = replace(PARAMS, rotation=zero, neck_pose=zero, translation=zero)
        expected = still[:1] if given.endswith(".frame") else still
        torch.testing.assert_close(motion.params.motion_vector(), expected.motion_vector(), atol=1e-6, rtol=1e-5)
        assert motion.timesteps.tolist() == [1, 2, 3, 4][: motion.params.num_timesteps] and motion.notes == ()

    def test_eyelids_that_get_lost_are_noted(self, tmp_path: Path) -> None:
        closed = checkpoint(1, eyelids=np.array([[0.9, 0.8]]))
        motion = load_motion(write_checkpoints(tmp_path / "actor", checkpoint(0), closed))
        assert "eyelids at 1 of 2" in motion.notes[0]


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"jaw_pose": None}, "'jaw_pose': found nothing"),
            ({"neck_pose": np.zeros((3, 3))}, "'neck_pose': found shape [3, 3]"),
            ({"eyes_pose": np.zeros((4, 3))}, "'eyes_pose': found shape [4, 3]"),
            ({"rotation": np.full((4, 3), np.nan)}, "'rotation': found 12 non-finite"),
            ({"sequences": np.zeros(3, dtype=int)}, "'sequences': found shape [3]"),
            ({"n_processed_frames": 9}, "'n_processed_frames': found 9"),
            ({"expr": np.ones((4, 12))}, "'expr': found 12 coefficients in use, but head model 'tiny' has 10"),
        ],
    )
    def test_broken_sequences(self, tmp_path: Path, changes: dict[str, Any], named: str) -> None:
        path = write_npz(tmp_path / "bank.npz", **arrays(**changes))
        with pytest.raises(FlameParamsError) as error:
            load_motion(path, MODEL)
        assert str(path) in str(error.value) and named in str(error.value)

    def test_surplus_coefficients_that_are_zero_are_cut(self, tmp_path: Path) -> None:
        wide = np.concatenate([PARAMS.expr.numpy(), np.zeros((4, 5))], axis=1)
        assert_same_motion(load_motion(write_npz(tmp_path / "a.npz", **arrays(expr=wide)), MODEL).params, PARAMS)

    def test_folders(self, tmp_path: Path) -> None:
        with pytest.raises(CaptureError, match=r"no such file or folder"):
            load_motion(tmp_path / "nowhere")
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(CaptureError, match=r"no motion in this folder \(found notes.txt\)"):
            load_motion(tmp_path)
        with pytest.raises(CaptureError, match=r"unknown kind '.txt'"):
            load_motion(tmp_path / "notes.txt")
        PARAMS[0].save_vhap(tmp_path / "a" / "00000.npz")
        narrow = replace(PARAMS, expr=PARAMS.expr[:, :4])
        narrow[1].save_vhap(tmp_path / "a" / "00001.npz")
        with pytest.raises(FlameParamsError, match=r"00001.npz: 'expr' has 4 coefficients"):
            load_motion(tmp_path / "a")
        PARAMS.save_vhap(tmp_path / "b" / "all.npz")
        with pytest.raises(CaptureError, match=r"all.npz: holds 4 timesteps"):
            load_motion(tmp_path / "b")

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (checkpoint(0, exp=None), "'flame.exp': found nothing"),
            (checkpoint(0, jaw=np.zeros((1, 3))), "'flame.jaw': found shape [1, 3]"),
            (checkpoint(0, jaw=np.zeros((1, 6))), "no 6D rotation"),
            (checkpoint(0, eyes=np.full((1, 12), np.inf)), "'flame.eyes': found 12 non-finite"),
            ({"camera": {}}, "'flame': found NoneType"),
        ],
    )
    def test_broken_checkpoints(self, tmp_path: Path, content: dict[str, Any], named: str) -> None:
        folder = write_checkpoints(tmp_path / "actor", content)
        with pytest.raises(CaptureError) as error:
            load_motion(folder)
        assert "00001.frame" in str(error.value) and named in str(error.value)

    def test_checkpoints_of_different_trackings(self, tmp_path: Path) -> None:
        other = checkpoint(1, exp=np.zeros((1, 50), dtype=np.float32))
        with pytest.raises(CaptureError, match=r"00002.frame: 'flame.exp' has 50 coefficients"):
            load_motion(write_checkpoints(tmp_path / "actor", checkpoint(0), other))

    def test_a_checkpoint_is_never_executed(self, tmp_path: Path) -> None:
        class Harm:
            def __reduce__(self) -> tuple:
                return os.mkdir, (str(tmp_path / "harm"),)

        path = tmp_path / "00000.frame"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"flame": Harm()}))
        with pytest.raises(SageError, match=r"00000.frame: refused to load"):
            load_motion(path)
        assert not (tmp_path / "harm").exists()

    def test_files_that_only_look_like_checkpoints(self, tmp_path: Path) -> None:
        path = tmp_path / "00000.frame"
        path.write_bytes(b"text")
        with pytest.raises(CaptureError, match=r"00000.frame: not a checkpoint"):
            load_motion(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme", "")
        with pytest.raises(CaptureError, match=r"00000.frame: no 'data.pkl'"):
            load_motion(path)
