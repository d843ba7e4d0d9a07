"""Distortion over the depths of hits: its definition pair by pair; equal numbers and gradients on all backends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.raster.gsplat_backend import NUM_SQUARED_CHANNELS, pack_channels, rasterize_gsplat, unpack_squares
from sage_ns.raster.hit_distortion import UNIT
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
from tests.raster.test_gsplat_backend import stand_in
from tests.raster.test_numba_backend import SCENES, TOLERANCE, scene


def straight_camera(width: int = 9, height: int = 7) -> PinholeCamera:
    intrinsics = torch.tensor([[20.0, 0.0, width / 2], [0.0, 20.0, height / 2], [0.0, 0.0, 1.0]])
    return PinholeCamera(torch.eye(4), intrinsics, width, height).to(dtype=torch.float64)


def discs(depths: list[float], opacities: list[float], tilt: float = 0.0) -> Surfels:
    """Large discs around the optical axis, turned about the y axis by ``tilt`` [rad]."""
    num = len(depths)
    means = torch.tensor([[0.0, 0.0, z] for z in depths], dtype=torch.float64)
    turn = torch.tensor([[torch.tensor(tilt / 2).cos(), 0.0, torch.tensor(tilt / 2).sin(), 0.0]] * num)
    scales, colors = torch.full((num, 2), 5.0), torch.full((num, 3), 0.5)
    return Surfels(means, turn, scales, torch.tensor(opacities), colors).to(dtype=torch.float64)


def test_layers_a_centimetre_apart_count_as_in_the_centre_form():
    z, o = [2.0, 2.0 + UNIT], [0.5, 0.8]
    found = rasterize(discs(z, o), straight_camera(), "reference", "hit")
    weights = 0.5, 0.5 * 0.8
    expected = 2 * weights[0] * weights[1] * UNIT
    centre = rasterize(discs(z, o), straight_camera(), "reference").distortion[3, 4, 0]
    assert float(centre) == pytest.approx(expected, rel=1e-2)
    assert float(found.distortion[3, 4, 0]) == pytest.approx(expected, rel=2e-2), "z^2 (q_i - q_j) is z_j - z_i nearly"


def test_one_tilted_plane_has_none_where_hits_agree_and_centres_do_not():
    """Two discs of one plane, whose centres are 4 mm apart in depth: each ray meets both at one depth."""
    tilt = 0.4
    plane = discs([2.0, 2.0], [0.6, 0.6], tilt)
    along = torch.tensor([torch.tensor(tilt).cos(), 0.0, -torch.tensor(tilt).sin()], dtype=torch.float64)
    shift = torch.tensor([-0.5, 0.5], dtype=torch.float64)[:, None] * 0.01 * along
    moved = Surfels(plane.means + shift, plane.quaternions, plane.scales, plane.opacities, plane.colors)
    assert float(rasterize(moved, straight_camera(), "reference", "hit").distortion.max()) < 1e-12
    assert float(rasterize(moved, straight_camera(), "reference").distortion[3, 4, 0]) > 5e-4


def test_the_definition_pair_by_pair():
    camera, surfels = turned_camera(11, 9, 12.0), cloud(25, seed=3, scales=(0.05, 0.3))
    buffers = rasterize(surfels, camera, "reference", "hit")
    pairs = pair_by_pair(surfels, camera)
    expected = pairs.reshape(9, 11, 1) * buffers.depth**4 / UNIT
    assert float(expected.max()) > 1e-3
    torch.testing.assert_close(buffers.distortion, expected, rtol=1e-9, atol=1e-12)


def pair_by_pair(surfels: Surfels, camera: PinholeCamera) -> Tensor:
    """sum_ij w_i w_j (1 / z_i - 1 / z_j)^2 of every pixel, from the blending weight and the plane of every surfel."""
    from sage_ns.raster.projection import project_surfels

    weights = torch.stack([_weight(surfels, camera, row) for row in range(len(surfels))], dim=-1)
    planes = project_surfels(surfels, camera).inverse_depth_planes(camera)
    rows, columns = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
    pixels = torch.stack((columns, rows), -1).reshape(-1, 2) + 0.5 - camera.intrinsics[:2, 2]
    inverse = pixels @ planes[:, :2].T + planes[:, 2]
    apart = (inverse[:, :, None] - inverse[:, None]) ** 2
    return (weights[:, :, None] * weights[:, None] * apart).sum((1, 2))


def _weight(surfels: Surfels, camera: PinholeCamera, row: int) -> Tensor:
    """The share of one surfel in every pixel: the picture in which it alone is white."""
    white = torch.zeros_like(surfels.colors)
    white[row] = 1.0
    alone = Surfels(surfels.means, surfels.quaternions, surfels.scales, surfels.opacities, white)
    return rasterize(alone, camera, "reference").color[..., 0].reshape(-1)


def test_gradients_are_those_of_finite_differences():
    camera, surfels = turned_camera(9, 7, 12.0), cloud(8, seed=4, scales=(0.1, 0.3), opacities=(0.2, 0.7))
    weights = cotangents(camera, ("distortion",))
    depth = rasterize(surfels, camera, "reference").depth

    def total(means: Tensor) -> Tensor:
        moved = Surfels(means, surfels.quaternions, surfels.scales, surfels.opacities, surfels.colors)
        drawn = rasterize(moved, camera, "reference", "hit")
        # The rendered depth is a constant of the loss.
        spread = drawn.distortion / drawn.depth.detach().clamp_min(1e-9) ** 4 * depth**4
        return (weights["distortion"] * spread).sum()

    assert torch.autograd.gradcheck(total, surfels.means.clone().requires_grad_(), eps=1e-7, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", SCENES)
def test_the_compiled_kernels_equal_the_reference_in_double(name: str):
    surfels, camera = scene(name)
    surfels, camera = surfels.to(dtype=torch.float32), camera.to(dtype=torch.float32)
    weights = cotangents(camera)
    expected, to_expected = draw_with_gradients(surfels, camera, "reference", torch.float64, weights, distortion="hit")
    found, gradients = draw_with_gradients(surfels, camera, "numba", torch.float32, weights, distortion="hit")
    errors = {key: relative_error(getattr(found, key), getattr(expected, key)) for key in OUTPUTS}
    errors |= {f"d {key}": relative_error(gradients[key], to_expected[key]) for key in INPUTS}
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize("scales", [(0.005, 0.1), (0.002, 0.01)])
def test_the_gradient_of_the_distortion_alone(scales: tuple[float, float]):
    surfels, camera = cloud(150, seed=13, scales=scales).to(dtype=torch.float32), turned_camera()
    camera = camera.to(dtype=torch.float32)
    weights = cotangents(camera, ("distortion",))
    _, expected = draw_with_gradients(surfels, camera, "reference", torch.float64, weights, distortion="hit")
    _, found = draw_with_gradients(surfels, camera, "numba", torch.float32, weights, distortion="hit")
    assert float(expected["means"].norm()) > 0
    errors = {name: relative_error(found[name], expected[name]) for name in INPUTS if name != "colors"}
    assert max(errors.values()) < TOLERANCE, errors
    assert not found["colors"].any()


def test_layers_of_a_millimetre_keep_their_digits():
    """Thin layers a metre away: squares of differences are a millionth of the squares themselves."""
    generator = torch.Generator().manual_seed(0)
    depths = (1.0 + 1e-3 * torch.rand(12, generator=generator)).tolist()
    surfels, camera = discs(depths, [0.2] * 12, tilt=0.3), straight_camera(24, 16)
    weights = cotangents(camera, ("distortion",))
    expected, to_expected = draw_with_gradients(surfels, camera, "reference", torch.float64, weights, distortion="hit")
    found, gradients = draw_with_gradients(surfels, camera, "numba", torch.float32, weights, distortion="hit")
    assert relative_error(found.distortion, expected.distortion) < 2e-3
    assert relative_error(gradients["means"], to_expected["means"]) < 2e-3


def test_all_else_is_drawn_as_without():
    surfels, camera = cloud(300, seed=2).to(dtype=torch.float32), turned_camera().to(dtype=torch.float32)
    others = tuple(name for name in DIFFERENTIABLE if name != "distortion")
    weights = cotangents(camera, others)
    centre, to_centre = draw_with_gradients(surfels, camera, "numba", torch.float32, weights)
    hit, to_hit = draw_with_gradients(surfels, camera, "numba", torch.float32, weights, distortion="hit")
    assert all(torch.equal(getattr(centre, name), getattr(hit, name)) for name in OUTPUTS if name != "distortion")
    assert not torch.equal(centre.distortion, hit.distortion)
    assert all(torch.equal(to_centre[name], to_hit[name]) for name in INPUTS)


def test_blended_squares_are_the_squares_of_the_planes():
    camera, planes = turned_camera(6, 5), torch.rand(4, 3).double()
    channels = pack_channels(torch.rand(4, 3).double(), planes, torch.tensor(0.25).double())
    assert channels.shape == (4, NUM_SQUARED_CHANNELS)
    blended = torch.cat((channels[2], torch.tensor([9.0]))).expand(5, 6, 16)
    x, y = 3.5 - camera.intrinsics[0, 2], 1.5 - camera.intrinsics[1, 2]
    expected = (planes[2, 0] * x + planes[2, 1] * y + planes[2, 2] - 0.25) ** 2
    torch.testing.assert_close(unpack_squares(blended, camera)[1, 3, 0], expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 5e-3)])
def test_gsplat_computes_it_from_extra_channels(dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch):
    camera, surfels = turned_camera(19, 13, 20.0), cloud(40, seed=21, scales=(0.02, 0.2), extent=0.4)
    weights = cotangents(camera)
    expected, to_expected = draw_with_gradients(surfels, camera, "reference", torch.float64, weights, distortion="hit")
    monkeypatch.setattr(
        "tests.raster.scenes.rasterize",
        lambda surfels, camera, _, distortion: rasterize_gsplat(surfels, camera, distortion, stand_in),
    )
    found, gradients = draw_with_gradients(surfels, camera, "gsplat", dtype, weights, distortion="hit")
    for name in OUTPUTS:
        assert relative_error(getattr(found, name), getattr(expected, name)) < tolerance, name
    for name in INPUTS:
        assert relative_error(gradients[name], to_expected[name]) < tolerance, name


@pytest.mark.gpu
@pytest.mark.parametrize("output", DIFFERENTIABLE)
def test_gsplat_itself_on_a_gpu(output: str):
    camera = turned_camera(64, 48, 80.0).to(dtype=torch.float32)
    surfels = cloud(300, seed=22, scales=(0.03, 0.08), opacities=(0.3, 0.9), extent=0.35).to(dtype=torch.float32)
    inside = (rasterize(surfels, camera, "reference").alpha > 0.5).double()
    weights = {name: weight * inside for name, weight in cotangents(camera, (output,)).items()}
    expected, to_expected = draw_with_gradients(surfels, camera, "reference", torch.float64, weights, distortion="hit")
    found, gradients = draw_with_gradients(
        surfels, camera, "gsplat", torch.float32, weights, device="cuda", distortion="hit"
    )
    for name in OUTPUTS:
        assert relative_error(getattr(found, name) * inside, getattr(expected, name) * inside) < 3e-2, name
    for name in INPUTS:
        assert relative_error(gradients[name], to_expected[name]) < 5e-2, name
