"""An avatar without a training, as a run that nerfstudio's commands take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.errors import SageError
from sage_ns.plugin.playback_run import write_playback_run
from sage_ns.plugin.runs import load_model, open_avatar
from sage_ns.synthetic.head import builtin_head
from tests.tiny_avatar import tiny_avatar


def test_a_run_of_an_avatar_draws_the_same_pixels(tmp_path: Path) -> None:
    avatar = tiny_avatar(builtin_head(2))
    avatar.look = replace(avatar.look, surfel_size=1.0)
    config = write_playback_run(avatar, tmp_path / "runs" / "someone" / "surfels" / "view")
    model = load_model(config)
    camera, motion = avatar.front_camera(40, 60), avatar.motion.motion[2]
    assert torch.equal(model.avatar.render(motion, camera), avatar.render(motion, camera))
    assert model.avatar.look == avatar.look and model.avatar.mouth is not None


def test_an_avatar_is_found_in_a_file_or_a_run(tmp_path: Path) -> None:
    avatar = tiny_avatar(builtin_head(2), 50)
    avatar.save(tmp_path / "avatar.npz")
    assert torch.equal(open_avatar(tmp_path / "avatar.npz").surfels.means.cpu(), avatar.surfels.means)
    with pytest.raises(SageError, match="no such file"):
        open_avatar(tmp_path / "config.yml")
