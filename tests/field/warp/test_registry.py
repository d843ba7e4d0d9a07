"""Warps by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage_ns.errors import FieldError, OptionError
from sage_ns.field.warp.mononphm import MonoNphmWarp
from sage_ns.field.warp.registry import KINDS, PosedMoment, WarpFiles, warp_maker
from sage_ns.field.warp.rig import RigWarp
from sage_ns.field.warp.rigid import RigidWarp
from sage_ns.geometry.triangles import triangle_frames
from tests.field.warp.mononphm_made import made_up_layers, write_checkpoint, write_tracking
from tests.tiny import tiny_head_model


def moment(timestep: int | None = 3) -> PosedMoment:
    head_model = tiny_head_model()
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    return PosedMoment(frames, frames, torch.eye(4), timestep, 0)


def files(folder: Path) -> WarpFiles:
    return WarpFiles(write_checkpoint(folder / "c.tar", made_up_layers()), write_tracking(folder / "person"))


def test_every_kind_makes_its_warp(tmp_path: Path) -> None:
    expected = {"rigid": RigidWarp, "rig": RigWarp, "mononphm": MonoNphmWarp}
    assert set(KINDS) == set(expected)
    points = 0.1 * torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    given = files(tmp_path)
    for name, kind in expected.items():
        warp = warp_maker(name, given)(moment())
        assert isinstance(warp, kind)
        warped = warp(points)
        torch.testing.assert_close(warped.canonical, warp.places(points))
        assert warped.jacobian.shape == (9, 3, 3) and bool(warped.jacobian.isfinite().all())


def test_other_names_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="field_warp=skull: choose one of rigid, rig, mononphm"):
        warp_maker("skull")
    with pytest.raises(OptionError, match=r"mononphm_checkpoint=None, mononphm_tracking=None: .* needs both"):
        warp_maker("mononphm")
    maker = warp_maker("mononphm", files(tmp_path))
    with pytest.raises(FieldError, match="person: a picture without a timestep"):
        maker(moment(None))
    with pytest.raises(FieldError, match="person: timestep 4 of the capture"):
        maker(moment(4))
