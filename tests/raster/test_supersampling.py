"""Drawing at a multiple of the resolution: the same view, finer, with smaller discs."""

from __future__ import annotations

import torch

from sage_ns.raster import Surfels, rasterize
from sage_ns.raster.supersampling import SMALL_DISC, averaged, enlarged
from tests.raster.scenes import cloud, turned_camera


def test_an_enlarged_camera_sees_the_same_with_more_pixels() -> None:
    camera = turned_camera()
    fine = enlarged(camera, 3)
    assert (fine.width, fine.height) == (3 * camera.width, 3 * camera.height)
    point = camera.T_camera_world[:3, :3] @ torch.tensor([0.1, -0.2, 0.3]).double() + camera.T_camera_world[:3, 3]
    at, finer = ((each.intrinsics @ point)[:2] / point[2] for each in (camera, fine))
    torch.testing.assert_close(finer, 3 * at)
    assert enlarged(camera, 1) is camera


def test_what_is_averaged_hardly_grows_by_low_pass_discs() -> None:
    """A surfel smaller than a pixel covers as much as it is large, not as much as the disc would have it."""
    camera = turned_camera(64, 48, 60.0).to(dtype=torch.float32)
    surfels = cloud(1, opacities=(0.9, 0.9)).to(dtype=torch.float32)
    small = Surfels(torch.zeros(1, 3), surfels.quaternions, torch.full((1, 2), 1e-5), surfels.opacities, surfels.colors)

    def covered(factor: int) -> float:
        return float(averaged(rasterize(small, enlarged(camera, factor)).alpha, factor).sum())

    # A Gaussian disc's area is 2 pi / low-pass, in drawn pixels; few of these sample it.
    expected = 0.9 * 2 * torch.pi / SMALL_DISC / 4**2
    assert 0.5 * expected < covered(4) < 1.5 * expected
    assert covered(4) < 0.1 * covered(1)
