"""The warps of a training: by its settings, kept by motion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.errors import OptionError
from sage_ns.field.warp.registry import PosedMoment
from sage_ns.field.warp.rig import RigWarp
from sage_ns.field.warp.rigid import RigidWarp
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.training.config import LearnerConfig
from sage_ns.training.field_warps import FieldWarps
from tests.tiny import tiny_head_model


def moment() -> PosedMoment:
    head_model = tiny_head_model()
    frames = triangle_frames(head_model.v_template, head_model.triangles)
    return PosedMoment(frames, frames, torch.eye(4))


def test_settings_name_the_warp() -> None:
    for config, kind in ((LearnerConfig(field_warp="rigid"), RigidWarp), (LearnerConfig(field_warp="rig"), RigWarp)):
        warps = FieldWarps.of(config)
        assert warps is not None and isinstance(warps.at(torch.zeros(4), moment()), kind)
    assert FieldWarps.of(LearnerConfig()) is None
    with pytest.raises(OptionError, match="needs both"):
        FieldWarps.of(LearnerConfig(field_warp="mononphm"))


def test_warps_are_kept_by_motion_until_the_canonical_moment_changes() -> None:
    warps = FieldWarps.of(LearnerConfig(field_warp="rig"))
    assert warps is not None
    first, motion = moment(), torch.tensor([0.1, 0.2])
    kept = warps.at(motion, first)
    assert warps.at(motion.clone(), first) is kept
    assert warps.at(motion + 1, first) is not kept
    assert warps.at(motion, first) is kept
    refined = replace(first, canonical=moment().canonical)
    again = warps.at(motion, refined)
    assert again is not kept and warps.at(motion, refined) is again
    warps.clear()
    assert warps.at(motion, refined) is not again


def test_no_gradient_reaches_the_motion() -> None:
    warps = FieldWarps.of(LearnerConfig(field_warp="rig"))
    assert warps is not None
    posed, motion = moment(), torch.tensor([0.1, 0.2], requires_grad=True)
    posed = replace(posed, skull=posed.skull.requires_grad_())
    warped = warps.at(motion, posed)(torch.zeros(5, 3))
    assert not warped.canonical.requires_grad and not warped.jacobian.requires_grad
    assert warps.at(motion, posed) is warps.at(motion.detach(), posed)
