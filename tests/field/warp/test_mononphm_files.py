"""A user's MonoNPHM checkpoint and tracking: what is read, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.errors import FieldError
from sage_ns.field.warp.mononphm_files import read_network, read_tracking
from tests.field.warp.mononphm_made import EXP, GEO, made_up_layers, write_checkpoint, write_tracking


def test_a_checkpoint_gives_its_network(tmp_path: Path) -> None:
    layers = made_up_layers()
    network = read_network(write_checkpoint(tmp_path / "checkpoint_epoch_2500.tar", layers))
    assert torch.equal(network.weights[3], layers["defDeepSDF.lin3.weight"])
    assert network.num_inputs == 3 + GEO + EXP
    assert len(network.weights[-1]) == 3, "without the hyper-coordinates"


@pytest.mark.parametrize("stage", [1, 2])
def test_frames_have_their_own_expression(tmp_path: Path, stage: int) -> None:
    """In stage 2 every frame's file holds all expressions."""
    network = read_network(write_checkpoint(tmp_path / "c.tar", made_up_layers()))
    tracking = read_tracking(write_tracking(tmp_path / "stage" / "person", stage), network)
    assert sorted(tracking.frames) == [0, 3, 7]
    for row, number in enumerate((0, 3, 7)):
        frame = tracking[number]
        assert frame.code[GEO:].tolist() == pytest.approx([row / 10] * EXP)
        torch.testing.assert_close(frame.code[:GEO], torch.linspace(-1, 1, GEO))
        assert frame.rotation.shape == (3, 3) and frame.translation.shape == (3,)
        assert float(frame.scale) == pytest.approx(0.9 + 0.1 * row)
    with pytest.raises(FieldError, match=r"person: timestep 5 .*found 3 frames, 00000 to 00007, expected .* 00005"):
        tracking[5]


class Evil:
    def __reduce__(self) -> tuple[Callable, tuple]:
        return print, ("run",)


def without(name: str) -> dict[str, Any]:
    return {key: each for key, each in made_up_layers().items() if key != f"defDeepSDF.{name}"}


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "code": ({"ex_decoder": made_up_layers(), "x": Evil()}, "holds more than tensors and numbers"),
    "no decoder": ({"epoch": 1}, "'ex_decoder': found no state dict"),
    "a list": ({"ex_decoder": [1, 2]}, "'ex_decoder': found no state dict"),
    "no layer": ({"ex_decoder": without("lin4.weight")}, r"'defDeepSDF\.lin4\.weight': found nothing"),
    "no bias": ({"ex_decoder": without("lin6.bias")}, r"'defDeepSDF\.lin6\.bias': found nothing"),
    "a vector": (
        {"ex_decoder": {**made_up_layers(), "defDeepSDF.lin2.weight": torch.zeros(8)}},
        r"'defDeepSDF\.lin2\.weight': found shape \[8\]",
    ),
    "other width": (
        {"ex_decoder": {**made_up_layers(), "defDeepSDF.lin3.weight": torch.zeros(8, 9)}},
        "'ex_decoder'.*layer 3: found",
    ),
    "not finite": (
        {"ex_decoder": {**made_up_layers(), "defDeepSDF.lin1.bias": torch.full((8,), torch.nan)}},
        r"'defDeepSDF\.lin1\.bias': found 8 non-finite values",
    ),
    "huge": (
        {"ex_decoder": {**made_up_layers(), "defDeepSDF.lin1.bias": torch.full((8,), 1e9)}},
        r"'defDeepSDF\.lin1\.bias': found numbers up to 1e\+09",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_other_checkpoints_are_refused_by_name(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "c.tar"
    torch.save(content, path)
    with pytest.raises(FieldError, match=rf"c\.tar.*{message}"):
        read_network(path)


def test_missing_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"none\.tar.*no such file"):
        read_network(tmp_path / "none.tar")
    (tmp_path / "text.tar").write_text("hello")
    with pytest.raises(FieldError, match=r"text\.tar"):
        read_network(tmp_path / "text.tar")


def replaced(name: str, array: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, array)


TRACKING: dict[str, tuple[Callable[[Path], object], str]] = {
    "no frames": (lambda folder: [shutil.rmtree(each) for each in folder.glob("0*")], "found no folders of frames"),
    "no folder": (shutil.rmtree, "cannot be read"),
    "no identity": (lambda folder: (folder / "z_geo.npy").unlink(), r"00000/z_geo\.npy.*no such file"),
    "no rotation": (lambda folder: (folder / "00003/rot.npy").unlink(), r"00003/rot\.npy.*no such file"),
    "mirrored": (replaced("00003/rot.npy", -np.eye(3)), r"00003/rot\.npy: found .* expected a rotation"),
    "not a rotation": (replaced("00000/rot.npy", np.ones(3)), r"00000/rot\.npy: found 3 numbers, expected 9"),
    "not finite": (replaced("00007/trans.npy", np.array([0, np.nan, 0])), r"00007/trans\.npy.*non-finite"),
    "no scale": (replaced("00007/scale.npy", np.zeros(1)), r"00007/scale\.npy: found 0, expected a scale"),
    "other codebook": (replaced("00003/z_exp.npy", np.zeros((2, EXP))), r"00003/z_exp\.npy: found 2 expressions"),
    "other model": (replaced("00000/z_exp.npy", np.zeros((3, EXP + 1))), "found 6 identity codes and 5 expression"),
    "scalar": (replaced("00000/z_exp.npy", np.array(1.0)), r"00000/z_exp\.npy: found shape \[\]"),
    "objects": (replaced("00000/rot.npy", np.array([None] * 9)), r"00000/rot\.npy: found Python objects"),
    "text": (lambda folder: (folder / "00000/trans.npy").write_text("0 0 0"), r"00000/trans\.npy: not a readable"),
}


@pytest.mark.parametrize("name", TRACKING)
def test_broken_tracking_is_refused_by_name(tmp_path: Path, name: str) -> None:
    damage, message = TRACKING[name]
    network = read_network(write_checkpoint(tmp_path / "c.tar", made_up_layers()))
    folder = write_tracking(tmp_path / "person")
    damage(folder)
    with pytest.raises(FieldError, match=rf"person.*{message}"):
        read_tracking(folder, network)
