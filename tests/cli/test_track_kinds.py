"""Kinds of input of ``sage-track``: what the next command is."""

from __future__ import annotations

from pathlib import Path

from sage_ns.cli.track_kinds import ALL_FRAMES, kinds
from sage_ns.rig import FlameParams
from tests.tiny_turning import write_tiny_turning


def test_a_turn_that_looks_like_expression_is_trained_on_with_all_frames(tmp_path: Path) -> None:
    folder = write_tiny_turning(tmp_path / "clip", num_turning=6, num_test=0, masks=False)
    assert kinds["clip"].arguments(folder) == ""
    params = FlameParams.load(folder / "flame_param")
    params.jaw_pose[1:, 0] += 0.5
    params.save_vhap(folder / "flame_param")
    assert kinds["clip"].arguments(folder) == ALL_FRAMES
    assert kinds["photo"].arguments(folder) == ""
