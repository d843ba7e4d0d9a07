"""Eyelids as expression directions: what they move, what they keep, and files that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import FlameParamsError, HeadModelError
from sage_ns.motion.files import load_motion
from sage_ns.motion.limits import MotionLimits
from sage_ns.motion.transfer import absolute_transfer, relative_transfer
from sage_ns.rig import FlameParams, load_head_model, pose_vertices, save_head_model
from sage_ns.rig.eyelids import EYELID_FILES, has_eyelids, load_eyelids, with_eyelid_motion, with_eyelids
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model(num_expression=6)
LEFT, RIGHT = (42 + 6 * side + 1 for side in (0, 1))
"""A vertex of each eyeball stands for a lid."""


def write_eyelids(folder: Path) -> Path:
    """Files of metrical-tracker's kind for the tiny head: one vertex of each side moves down by a centimetre."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, vertex in zip(EYELID_FILES, (LEFT, RIGHT), strict=True):
        offsets = np.zeros((MODEL.num_vertices, 3))
        offsets[vertex, 1] = -0.01
        np.save(folder / name, offsets)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_eyelids(tmp_path / "blendshapes")


def test_each_eyelid_moves_its_own_vertices(folder: Path) -> None:
    model = with_eyelids(MODEL, load_eyelids(folder, MODEL.num_vertices))
    assert has_eyelids(model) and not has_eyelids(MODEL) and model.num_expression == 8
    # metrical-tracker adds the eyelids after skinning, where neck and global rotation are zero
    zero = torch.zeros(3, 3)
    plain = replace(tiny_params(MODEL), rotation=zero, neck_pose=zero, eyes_pose=torch.zeros(3, 6), translation=zero)
    lids = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.25, 0.5]])
    moved = pose_vertices(model, replace(plain, expr=with_eyelid_motion(plain.expr, lids, model)))
    shift = moved - pose_vertices(MODEL, plain)
    expected = torch.zeros(3, MODEL.num_vertices, 3)
    expected[:, LEFT, 1], expected[:, RIGHT, 1] = -0.01 * lids[:, 0], -0.01 * lids[:, 1]
    torch.testing.assert_close(shift, expected, atol=1e-6, rtol=0)


def test_a_batch_dimension_is_dropped(folder: Path) -> None:
    expected = load_eyelids(folder, MODEL.num_vertices)
    np.save(folder / "r_eyelid.npy", np.load(folder / "r_eyelid.npy")[None])
    assert torch.equal(load_eyelids(folder, MODEL.num_vertices), expected)


def test_the_model_is_restored_with_its_eyelids(folder: Path, tmp_path: Path) -> None:
    model = with_eyelids(MODEL, load_eyelids(folder, MODEL.num_vertices))
    save_head_model(model, tmp_path / "head_model.npz")
    restored = load_head_model(tmp_path / "head_model.npz")
    assert has_eyelids(restored) and torch.equal(restored.expression_basis, model.expression_basis)
    named = with_eyelids(replace(MODEL, expression_names=tuple("abcdef")), load_eyelids(folder, MODEL.num_vertices))
    assert named.expression_names[-2:] == ("eyelid_left", "eyelid_right")
    with pytest.raises(HeadModelError, match="has eyelids already"):
        with_eyelids(restored, load_eyelids(folder, MODEL.num_vertices))


def test_motion_of_other_sources_leaves_the_eyelids_open(folder: Path, tmp_path: Path) -> None:
    model = with_eyelids(MODEL, load_eyelids(folder, MODEL.num_vertices))
    driver = tiny_params(MODEL, num_timesteps=4)
    driver.save_vhap(tmp_path / "driver.npz")
    fitted = load_motion(tmp_path / "driver.npz", model).params
    torch.testing.assert_close(fitted.expr[:, :6], driver.expr)
    assert torch.equal(fitted.expr[:, 6:], torch.zeros(4, 2))
    avatar = FlameParams.neutral(model)
    avatar = replace(avatar, expr=with_eyelid_motion(torch.ones(1, 6), torch.tensor([[0.5, 0.25]]), model))
    assert torch.equal(absolute_transfer(fitted, avatar).expr, fitted.expr)
    relative = relative_transfer(fitted, fitted[0], avatar)
    assert torch.equal(relative.expr[:, 6:], torch.tensor([[0.5, 0.25]]).expand(4, 2))


def test_blinks_do_not_reach_a_rig_without_eyelids_unnoticed(folder: Path, tmp_path: Path) -> None:
    model = with_eyelids(MODEL, load_eyelids(folder, MODEL.num_vertices))
    plain = tiny_params(MODEL, num_timesteps=2)
    closed = replace(plain, expr=with_eyelid_motion(plain.expr, torch.tensor([[0.0, 0.0], [1.0, 1.0]]), model))
    closed.save_vhap(tmp_path / "closed.npz")
    with pytest.raises(FlameParamsError, match=r"found 8 coefficients in use, but head model 'tiny' has 6"):
        load_motion(tmp_path / "closed.npz", MODEL)
    closed[0].save_vhap(tmp_path / "open.npz")
    assert load_motion(tmp_path / "open.npz", MODEL).params.expr.shape == (1, 6)


def test_coefficients_of_a_larger_model_are_refused(folder: Path) -> None:
    model = with_eyelids(MODEL, load_eyelids(folder, MODEL.num_vertices))
    lids = torch.ones(2, 2)
    assert torch.equal(
        with_eyelid_motion(torch.ones(2, 4), lids, model)[0], torch.tensor([1.0] * 4 + [0.0] * 2 + [1.0] * 2)
    )
    assert with_eyelid_motion(torch.zeros(2, 9), lids, model).shape == (2, 8)
    with pytest.raises(FlameParamsError, match=r"9 coefficients in use, but head model 'tiny with eyelids' has 6"):
        with_eyelid_motion(torch.ones(2, 9), lids, model)


def test_eyelids_have_limits_of_their_own(folder: Path) -> None:
    limits = MotionLimits.of(with_eyelids(MODEL, load_eyelids(folder, MODEL.num_vertices)))
    torch.testing.assert_close(limits.high[-3:], torch.tensor([6.0, 1.3, 1.3]))
    torch.testing.assert_close(limits.low[-3:], torch.tensor([-6.0, -0.3, -0.3]))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (np.zeros((5023, 3)), "found shape [5023, 3]"),
        (np.zeros((54, 2)), "found shape [54, 2]"),
        (np.full((54, 3), np.nan), "162 non-finite values"),
        (np.zeros((54, 3)), "a largest displacement of 0 mm"),
        (np.full((54, 3), 5.0), "in metres"),
        (np.array([{}]), "Python objects"),
        (np.full((54, 3), "x"), "expected numbers"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}", "not a readable npy file"),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_eyelids(folder: Path, content: np.ndarray | bytes | None, named: str) -> None:
    path = folder / "r_eyelid.npy"
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(HeadModelError) as error:
        load_eyelids(folder, MODEL.num_vertices)
    assert "r_eyelid.npy" in str(error.value) and named in str(error.value)


def test_a_header_that_claims_more_than_the_file_is_refused(folder: Path) -> None:
    path = folder / "l_eyelid.npy"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(54, 3)", b"(54, 9)"))
    with pytest.raises(HeadModelError, match=r"l_eyelid.npy: .*found shape \[54, 9\]"):
        load_eyelids(folder, MODEL.num_vertices)
