"""Avatars as splat files: one per moment, in the requested axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage_ns.errors import SageError
from sage_ns.exchange.ply import read_ply
from sage_ns.exchange.splat_export import export_splats
from sage_ns.exchange.splats import splats_of
from tests.exchange.bound_avatars import small_avatar
from tests.tiny import tiny_head_model

AVATAR = small_avatar(tiny_head_model())


def test_one_file_per_moment_turned_for_viewers(tmp_path: Path) -> None:
    poses = AVATAR.motion.motion[:2]
    for axes in ("world", "viewers"):
        paths = [tmp_path / f"{axes}_{row}.ply" for row in range(2)]
        assert export_splats(AVATAR, poses, paths, "2dgs", axes) == 300
    for row in range(2):
        means = splats_of(AVATAR, poses[row]).means.numpy()
        for axes, signs in (("world", (1, 1)), ("viewers", (-1, -1))):
            read = read_ply(tmp_path / f"{axes}_{row}.ply")
            np.testing.assert_array_equal(read["x"], signs[0] * means[:, 0])
            np.testing.assert_array_equal(read["y"], signs[1] * means[:, 1])
            np.testing.assert_array_equal(read["z"], means[:, 2])


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SageError, match="splat format 'spz': choose one of"):
        export_splats(AVATAR, AVATAR.motion.motion[:1], [tmp_path / "a.spz"], "spz")
    assert not list(tmp_path.iterdir())
