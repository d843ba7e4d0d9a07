"""No file that a command takes runs code: payloads in head models, motion, banks, avatars and splats leave no trace.

Those in a run's config and in checkpoints are in ``tests/plugin``.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.mouth import load_mouth_prior
from sage_ns.errors import SageError
from sage_ns.exchange.ply import read_ply
from sage_ns.motion.bank import DrivingBank
from sage_ns.motion.files import load_motion
from sage_ns.plugin.snapshot import SnapshotDataParserConfig
from sage_ns.rig import load_head_model, save_head_model
from sage_ns.rig.head_model import load_masks
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_avatar import tiny_avatar


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    return Payload(tmp_path / "trace")


def in_npz(source: Path, field: str, payload: Payload) -> Path:
    """Write a copy of an npz file with a payload in place of an array."""
    with np.load(source) as stored:
        arrays = dict(stored)
    arrays[field] = np.array([payload], dtype=object)
    np.savez(source, **arrays)
    return source


def avatar_file(folder: Path) -> Path:
    tiny_avatar(tiny_head_model(), 20).save(folder / "avatar.npz")
    return folder / "avatar.npz"


def head_model_file(folder: Path) -> Path:
    save_head_model(tiny_head_model(), folder / "head_model.npz")
    return folder / "head_model.npz"


def motion_file(folder: Path) -> Path:
    np.savez(folder / "motion.npz", **tiny_params(tiny_head_model()).arrays())
    return folder / "motion.npz"


def bank(path: Path) -> DrivingBank:
    model = tiny_head_model()
    return DrivingBank.from_sources([path], tiny_params(model).motion_vector()[0], model)


@pytest.mark.parametrize(
    ("write", "field", "read"),
    [
        (avatar_file, "surfels.means", Avatar.load),
        (avatar_file, "settled", Avatar.load),
        (avatar_file, "look.wrinkles", Avatar.load),
        (head_model_file, "v_template", load_head_model),
        (head_model_file, "region_names", load_head_model),
        (motion_file, "expr", load_motion),
        (motion_file, "rotation", bank),
    ],
)
def test_nothing_in_an_npz_runs(
    write: Callable[[Path], Path], field: str, read: Callable[[Path], object], tmp_path: Path, payload: Payload
) -> None:
    path = in_npz(write(tmp_path), field, payload)
    with pytest.raises(SageError) as raised:
        read(path)
    assert path.name in str(raised.value) and field in str(raised.value)
    assert not payload.trace.exists()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("avatar.npz", Avatar.load),
        ("prior.npz", load_mouth_prior),
        ("motion.npz", load_motion),
        ("motion.pkl", load_motion),
        ("motion.csv", load_motion),
        ("bank.npz", bank),
        ("head.pkl", load_head_model),
        ("head.npz", load_head_model),
        ("masks.pkl", lambda path: load_masks(path, 10)),
        ("splats.ply", read_ply),
        ("capture.npz", lambda path: SnapshotDataParserConfig(data=path).setup().get_dataparser_outputs("train")),
    ],
)
@pytest.mark.parametrize("dump", [pickle.dumps, lambda payload: b"ply\n" + pickle.dumps(payload)])
def test_no_pickle_runs_under_any_name(
    name: str, read: Callable[[Path], object], dump: Callable[[Any], bytes], tmp_path: Path, payload: Payload
) -> None:
    (tmp_path / name).write_bytes(dump({"expr": payload}))
    with pytest.raises(SageError) as raised:
        read(tmp_path / name)
    assert name in str(raised.value)
    assert not payload.trace.exists()


def test_no_torch_file_runs_as_motion(tmp_path: Path, payload: Payload) -> None:
    (tmp_path / "checkpoint").mkdir()
    torch.save({"flame": payload}, tmp_path / "checkpoint" / "00000.frame")
    with pytest.raises(SageError):
        load_motion(tmp_path / "checkpoint")
    assert not payload.trace.exists()
