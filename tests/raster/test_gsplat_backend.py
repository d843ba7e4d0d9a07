"""The CUDA backend: its own arithmetic against the reference on any machine, gsplat itself where there is a GPU."""

from __future__ import annotations

import pytest
import torch

from sage_ns.raster import rasterize
from sage_ns.raster.constants import TRANSMITTANCE_MIN
from sage_ns.raster.gsplat_backend import NUM_CHANNELS, pack_channels, rasterize_gsplat, unpack_channels
from sage_ns.raster.projection import project_surfels
from sage_ns.raster.reference import _alphas
from sage_ns.raster.types import PinholeCamera, Surfels
from tests.raster.scenes import (
    DIFFERENTIABLE,
    INPUTS,
    OUTPUTS,
    cloud,
    cotangents,
    draw_with_gradients,
    relative_error,
    turned_camera,
)

SUPPORTED_CHANNELS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512)


def stand_in(means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane, **options):
    """`gsplat.rasterization_2dgs` in its documented conventions, dense and in plain torch."""
    assert options == {"packed": False, "render_mode": "RGB+D", "distloss": True}
    assert torch.all(scales[:, 2] == 1.0)
    camera = PinholeCamera(viewmats[0], Ks[0], width, height)
    surfels = Surfels(means, quats, scales[:, :2], opacities, colors[:, :3])
    projected = project_surfels(surfels, camera)
    assert near_plane == 0.01
    channels = torch.cat((colors, projected.means[:, 2:]), -1)
    assert channels.shape[-1] in SUPPORTED_CHANNELS, "the kernel would see uninitialised memory as depth"
    order = torch.argsort(projected.means[:, 2].detach(), stable=True)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack((columns, rows), -1).reshape(-1, 2).to(means) + 0.5
    alphas = _alphas(pixels, surfels, projected, order, camera)
    alphas = torch.where(torch.cumprod(1 - alphas, 1) > TRANSMITTANCE_MIN, alphas, 0.0)
    light = torch.cumprod(torch.cat((torch.ones_like(alphas[:, :1]), 1 - alphas), 1), 1)[:, :-1]
    weights = alphas * light
    last = channels[order, -1]
    pairs = weights[:, :, None] * weights[:, None] * (last[:, None] - last).abs()
    median = torch.zeros(len(pixels)).to(means)
    for pixel in range(len(pixels)):
        drawn = torch.nonzero((alphas[pixel] > 0) & (light[pixel] > 0.5))
        median[pixel] = last[drawn[-1, 0]].detach() if len(drawn) else 0.0

    def image(values):
        return values.reshape(1, height, width, -1)

    normal = image(weights @ projected.normals_world[order])
    blended = image(weights @ channels[order])
    return blended, image(weights.sum(1)), normal, None, image(pairs.sum((1, 2))), image(median), {}


def test_unpacking_returns_the_packed_colour_and_inverse_depth():
    camera = turned_camera(6, 5)
    colors, planes = torch.rand(4, 3).double(), torch.rand(4, 3).double()
    channels = pack_channels(colors, planes)
    assert channels.shape == (4, NUM_CHANNELS)
    assert NUM_CHANNELS + 1 in SUPPORTED_CHANNELS
    blended = torch.cat((channels[2], torch.tensor([9.0]))).expand(5, 6, 8)
    color, inverse = unpack_channels(blended, camera)
    torch.testing.assert_close(color, colors[2].expand(5, 6, 3))
    x, y = 3.5 - camera.intrinsics[0, 2], 1.5 - camera.intrinsics[1, 2]
    torch.testing.assert_close(inverse[1, 3, 0], planes[2, 0] * x + planes[2, 1] * y + planes[2, 2])


@pytest.mark.parametrize("extent", [0.4, 1.5])
def test_buffers_and_gradients_equal_the_reference_around_a_stand_in(extent: float, monkeypatch: pytest.MonkeyPatch):
    camera, surfels = turned_camera(19, 13, 20.0), cloud(40, seed=21, scales=(0.02, 0.2), extent=extent)
    weights = cotangents(camera)
    expected, expected_gradients = draw_with_gradients(surfels, camera, "reference", torch.float64, weights)
    monkeypatch.setattr(
        "tests.raster.scenes.rasterize",
        lambda surfels, camera, _, distortion: rasterize_gsplat(surfels, camera, distortion, stand_in),
    )
    found, gradients = draw_with_gradients(surfels, camera, "gsplat", torch.float64, weights)
    for name in OUTPUTS:
        assert relative_error(getattr(found, name), getattr(expected, name)) < 1e-8, name
    for name in INPUTS:
        assert relative_error(gradients[name], expected_gradients[name]) < 1e-8, name


@pytest.mark.gpu
@pytest.mark.parametrize("output", DIFFERENTIABLE)
def test_gsplat_draws_what_the_reference_draws(output: str):
    camera = turned_camera(64, 48, 80.0).to(dtype=torch.float32)
    surfels = cloud(300, seed=22, scales=(0.03, 0.08), opacities=(0.3, 0.9), extent=0.35).to(dtype=torch.float32)
    # gsplat cuts faint rims at the borders of its tiles, where the definition does not: look inside the silhouette.
    inside = (rasterize(surfels, camera, "reference").alpha > 0.5).double()
    weights = {name: weight * inside for name, weight in cotangents(camera, (output,)).items()}
    expected, expected_gradients = draw_with_gradients(surfels, camera, "reference", torch.float64, weights)
    found, gradients = draw_with_gradients(surfels, camera, "gsplat", torch.float32, weights, device="cuda")
    for name in OUTPUTS:
        assert relative_error(getattr(found, name) * inside, getattr(expected, name) * inside) < 3e-2, name
    for name in INPUTS:
        assert relative_error(gradients[name], expected_gradients[name]) < 5e-2, name
