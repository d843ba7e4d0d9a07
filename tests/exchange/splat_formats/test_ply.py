"""Splats as PLY: the properties of 3DGS and 2DGS in their order, and the same picture from the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from torch import Tensor

from sage_ns.exchange.ply import read_ply
from sage_ns.exchange.splat_formats import writer_of
from sage_ns.exchange.splats import Splats, splats_of
from sage_ns.geometry.spherical_harmonics import sh_colors
from sage_ns.raster import Surfels
from tests.exchange.bound_avatars import picture, psnr, small_avatar
from tests.tiny import tiny_head_model

REST = [f"f_rest_{index}" for index in range(45)]
GEOMETRY = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *REST, "opacity", "scale_0", "scale_1"]
ROTATION = ["rot_0", "rot_1", "rot_2", "rot_3"]
AVATAR = small_avatar(tiny_head_model(), sh_degree=2)


@pytest.fixture(scope="module")
def splats() -> Splats:
    return splats_of(AVATAR, AVATAR.motion.motion[2])


@pytest.mark.parametrize(
    ("kind", "names", "comments"),
    [
        ("2dgs", [*GEOMETRY, *ROTATION], ["SplatRenderMode: 2dgs"]),
        ("3dgs", [*GEOMETRY, "scale_2", *ROTATION], []),
    ],
)
def test_properties_are_those_of_the_original_programs(
    splats: Splats, tmp_path: Path, kind: str, names: list[str], comments: list[str]
) -> None:
    writer_of(kind).write(tmp_path / "a.ply", splats)
    file = plyfile.PlyData.read(tmp_path / "a.ply")
    assert [element.name for element in file.elements] == ["vertex"] and file.comments == comments
    assert [(p.name, p.val_dtype) for p in file["vertex"].properties] == [(name, "f4") for name in names]
    vertex = file["vertex"]
    # Channel by channel, from degree 1; zeros beyond the avatar's degree 2.
    for channel in range(3):
        for index in range(15):
            expected = splats.sh[:, 1 + index, channel].numpy() if index < 8 else np.zeros(len(splats.means))
            np.testing.assert_array_equal(vertex[f"f_rest_{15 * channel + index}"], expected)
    np.testing.assert_array_equal(vertex["nx"], 0)
    np.testing.assert_allclose(np.exp(vertex["scale_1"]), splats.log_scales[:, 1].exp().numpy(), rtol=1e-6)
    if kind == "3dgs":
        assert (vertex["scale_2"] < np.minimum(vertex["scale_0"], vertex["scale_1"]) - 4).all()


def from_file(path: Path, eye: Tensor) -> Surfels:
    """Surfels as 2DGS' renderer computes them: exponentials and sigmoids applied, colours for the view directions."""
    vertex = read_ply(path)

    def columns(*names: str) -> Tensor:
        return torch.from_numpy(np.stack([vertex[name] for name in names], axis=-1).copy())

    means = columns("x", "y", "z")
    rest = columns(*REST).reshape(-1, 3, 15).transpose(1, 2)
    sh = torch.cat([columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None], rest], dim=1)
    scales = columns("scale_0", "scale_1").exp()
    return Surfels(means, columns(*ROTATION), scales, columns("opacity")[:, 0].sigmoid(), sh_colors(sh, means, eye))


def test_the_file_gives_the_same_picture(splats: Splats, tmp_path: Path) -> None:
    camera, motion = AVATAR.front_camera(64, 80), AVATAR.motion.motion[2]
    writer_of("2dgs").write(tmp_path / "world.ply", splats)
    drawn = AVATAR.render(motion, camera)
    assert drawn.std() > 0.1, "something is shown"
    assert psnr(picture(from_file(tmp_path / "world.ply", camera.center), camera), drawn) > 60
