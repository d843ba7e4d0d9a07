"""metrical-tracker's checkpoints: the same motion as from other formats, and files that are not checkpoints."""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.errors import CaptureError, SageError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.motion.files import load_motion
from tests.motion.files.written import MODEL, PARAMS


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


@pytest.mark.parametrize("given", ["", "checkpoint", "checkpoint/00001.frame"])
def test_metrical_tracker(tmp_path: Path, given: str) -> None:
    folder = write_checkpoints(tmp_path / "actor", *(checkpoint(t) for t in range(4)))
    motion = load_motion(folder / given, MODEL)
    zero = torch.zeros(4, 3)
    still = replace(PARAMS, rotation=zero, neck_pose=zero, translation=zero)
    expected = still[:1] if given.endswith(".frame") else still
    torch.testing.assert_close(motion.params.motion_vector(), expected.motion_vector(), atol=1e-6, rtol=1e-5)
    assert motion.timesteps.tolist() == [1, 2, 3, 4][: motion.params.num_timesteps] and motion.notes == ()


def test_eyelids_that_get_lost_are_noted(tmp_path: Path) -> None:
    closed = checkpoint(1, eyelids=np.array([[0.9, 0.8]]))
    motion = load_motion(write_checkpoints(tmp_path / "actor", checkpoint(0), closed))
    assert "eyelids at 1 of 2" in motion.notes[0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (checkpoint(0, exp=None), "'flame.exp': found nothing"),
        (checkpoint(0, jaw=np.zeros((1, 3))), "'flame.jaw': found shape [1, 3]"),
        (checkpoint(0, jaw=np.zeros((1, 6))), "not a 6D rotation"),
        (checkpoint(0, eyes=np.full((1, 12), np.inf)), "'flame.eyes': found 12 non-finite"),
        ({"camera": {}}, "'flame': found NoneType"),
    ],
)
def test_broken_checkpoints(tmp_path: Path, content: dict[str, Any], named: str) -> None:
    folder = write_checkpoints(tmp_path / "actor", content)
    with pytest.raises(CaptureError) as error:
        load_motion(folder)
    assert "00001.frame" in str(error.value) and named in str(error.value)


def test_checkpoints_of_different_trackings(tmp_path: Path) -> None:
    other = checkpoint(1, exp=np.zeros((1, 50), dtype=np.float32))
    with pytest.raises(CaptureError, match=r"00002.frame: 'flame.exp' has 50 coefficients"):
        load_motion(write_checkpoints(tmp_path / "actor", checkpoint(0), other))


def test_a_checkpoint_is_never_executed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "00000.frame"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"flame": Harm()}))
    with pytest.raises(SageError, match=r"00000.frame: refused to load"):
        load_motion(path)
    assert not (tmp_path / "harm").exists()


def test_files_that_only_look_like_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "00000.frame"
    path.write_bytes(b"text")
    with pytest.raises(CaptureError, match=r"00000.frame: not a checkpoint"):
        load_motion(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(CaptureError, match=r"00000.frame: no 'data.pkl'"):
        load_motion(path)
