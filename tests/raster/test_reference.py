"""The reference rasteriser against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sage_ns.errors import RasterError
from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.raster.constants import ALPHA_MAX
from tests.raster.scenes import OUTPUTS, cloud, cotangents, draw_with_gradients, turned_camera


def straight_camera(width: int = 33, height: int = 25, focal: float = 40.0) -> PinholeCamera:
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return PinholeCamera(torch.eye(4, dtype=torch.float64), intrinsics, width, height)


def discs(depths: list[float], opacities: list[float], scale: float = 0.05) -> Surfels:
    """Discs on the optical axis that face the camera (their own normals point away from it)."""
    num = len(depths)
    return Surfels(
        means=torch.tensor([[0.0, 0.0, z] for z in depths], dtype=torch.float64),
        quaternions=torch.tensor([[1.0, 0, 0, 0]] * num, dtype=torch.float64),
        scales=torch.full((num, 2), scale, dtype=torch.float64),
        opacities=torch.tensor(opacities, dtype=torch.float64),
        colors=torch.eye(3, dtype=torch.float64)[[i % 3 for i in range(num)]],
    )


def test_a_disc_is_a_gaussian_of_its_projected_size():
    buffers = rasterize(discs([2.0], [0.8], scale=0.2), straight_camera(), "reference")
    columns = torch.arange(33).double() + 0.5 - 16.5
    rows = torch.arange(25).double() + 0.5 - 12.5
    squared = columns**2 + rows[:, None] ** 2
    expected = 0.8 * torch.exp(-0.5 * squared / 4.0**2)
    expected = torch.where(expected < 1 / 255, 0.0, expected)
    torch.testing.assert_close(buffers.alpha[..., 0], expected)
    torch.testing.assert_close(buffers.color[..., 0], expected)
    assert torch.all(buffers.depth[buffers.alpha > 0] == 2.0)
    torch.testing.assert_close(buffers.normal[12, 16], torch.tensor([0.0, 0.0, -0.8], dtype=torch.float64))


def test_a_tiny_disc_is_low_pass_filtered():
    buffers = rasterize(discs([2.0], [0.8], scale=1e-6), straight_camera(), "reference")
    assert float(buffers.alpha[12, 16]) == pytest.approx(0.8)
    assert float(buffers.alpha[12, 17]) == pytest.approx(0.8 * math.exp(-1.0))
    buffers = rasterize(discs([2.0], [0.8], scale=1e-6), replace(straight_camera(), low_pass=8.0), "reference")
    assert float(buffers.alpha[12, 17]) == pytest.approx(0.8 * math.exp(-4.0))


def test_blending_of_two_discs():
    z, o = [1.0, 1.5], [0.4, 0.5]
    buffers = rasterize(discs(z[::-1], o[::-1]), straight_camera(), "reference")
    color, alpha, depth, median, normal, _, distortion = (getattr(buffers, name)[12, 16] for name in OUTPUTS)
    front, back = 0.4, 0.6 * 0.5
    assert float(alpha) == pytest.approx(front + back)
    torch.testing.assert_close(color, torch.tensor([back, front, 0.0], dtype=torch.float64))
    assert float(depth) == pytest.approx((front + back) / (front / 1.0 + back / 1.5))
    assert float(median) == 1.5
    assert float(normal[2]) == pytest.approx(-(front + back))
    assert float(distortion) == pytest.approx(2 * front * back * 0.5)


def test_opacity_is_clamped_and_an_opaque_stack_stops_early():
    buffers = rasterize(discs([1.0, 1.1, 1.2], [1.0, 1.0, 1.0]), straight_camera(), "reference")
    # The second disc would leave 1e-6 of the light: it is not drawn, nor is what lies behind it.
    assert float(buffers.alpha[12, 16]) == pytest.approx(ALPHA_MAX)
    torch.testing.assert_close(buffers.color[12, 16], torch.tensor([ALPHA_MAX, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize("degrees", [0.0, 45.0, 75.0])
def test_depth_and_normal_of_a_tilted_plane_are_exact(degrees: float):
    camera = straight_camera()
    half = math.radians(degrees) / 2
    tilt = torch.tensor([math.cos(half), math.sin(half), 0, 0], dtype=torch.float64)
    normal = torch.tensor([0, -math.sin(2 * half), math.cos(2 * half)], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    along = (torch.rand(300, 2, generator=generator, dtype=torch.float64) - 0.5) * 0.4
    tangent = torch.linalg.cross(normal, torch.tensor([1.0, 0, 0], dtype=torch.float64))
    means = torch.tensor([0, 0, 1.0]) + along[:, :1] * torch.tensor([1.0, 0, 0]) + along[:, 1:] * tangent
    flat = discs([1.0] * 300, [0.6] * 300, 0.03)
    surfels = Surfels(means, tilt.repeat(300, 1), flat.scales, flat.opacities, flat.colors)
    buffers = rasterize(surfels, camera, "reference")

    rays = torch.stack(
        torch.meshgrid((torch.arange(33).double() - 16) / 40.0, (torch.arange(25).double() - 12) / 40.0, indexing="xy"),
        -1,
    )
    toward = torch.cat((rays, torch.ones(25, 33, 1)), -1) @ normal
    expected = normal[2] / toward
    drawn = buffers.alpha[..., 0] > 0
    assert drawn.float().mean() > 0.1
    torch.testing.assert_close(buffers.depth[..., 0][drawn], expected[drawn], rtol=1e-10, atol=0)
    facing = -normal
    torch.testing.assert_close(buffers.normal[drawn], buffers.alpha[drawn] * facing, rtol=1e-9, atol=1e-9)
    surface = buffers.normal_from_depth.norm(dim=-1) > 0
    assert surface.float().mean() > 0.05
    torch.testing.assert_close(buffers.normal_from_depth[surface], facing.expand(int(surface.sum()), 3))


def test_normals_are_in_world_space_and_face_the_camera():
    camera = turned_camera()
    buffers = rasterize(cloud(1, opacities=(0.9, 0.9), scales=(0.2, 0.2), extent=0.0), camera, "reference")
    drawn = buffers.alpha[..., 0] > 0
    toward_camera = camera.center
    assert torch.all(buffers.normal[drawn] @ toward_camera > 0)
    torch.testing.assert_close(buffers.normal[drawn].norm(dim=-1), buffers.alpha[drawn][:, 0])


def test_surfels_behind_the_camera_or_near_it_are_not_drawn():
    surfels = discs([-1.0, 0.009, 0.5], [0.9, 0.9, 0.5])
    buffers = rasterize(surfels, straight_camera(), "reference")
    assert float(buffers.alpha.max()) == pytest.approx(0.5)


def test_an_empty_scene_is_all_zeros():
    buffers = rasterize(cloud(0), turned_camera(), "reference")
    assert all(not getattr(buffers, name).any() for name in OUTPUTS)
    background = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    torch.testing.assert_close(buffers.composite(background), background.expand(29, 37, 3))


def test_gradients_equal_finite_differences():
    camera = turned_camera(9, 7, 12.0)
    # Opacities away from the steps at 1/255 and 0.999: finite differences must not straddle them.
    surfels = cloud(4, seed=3, scales=(0.4, 0.8), opacities=(0.3, 0.7), extent=0.2)
    weights = cotangents(camera)
    _, gradients = draw_with_gradients(surfels, camera, "reference", torch.float64, weights)

    def loss(moved: Surfels) -> float:
        drawn = rasterize(moved, camera, "reference").__dict__
        return float(sum((drawn[name] * weight).sum() for name, weight in weights.items()))

    generator = torch.Generator().manual_seed(1)
    for name, gradient in gradients.items():
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        values = surfels.__dict__ | {name: getattr(surfels, name) + 1e-6 * direction}
        opposite = surfels.__dict__ | {name: getattr(surfels, name) - 1e-6 * direction}
        numerical = (loss(Surfels(**values)) - loss(Surfels(**opposite))) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(numerical, rel=1e-5), name


def test_opengl_cameras_are_converted_once():
    camera_to_world = torch.eye(4)
    camera_to_world[:3, 3] = torch.tensor([0.1, 0.2, 1.0])
    camera = PinholeCamera.from_opengl(camera_to_world[:3], 50.0, 60.0, 16.0, 12.0, 32, 24)
    torch.testing.assert_close(camera.center, torch.tensor([0.1, 0.2, 1.0]))
    # A point in front of (OpenGL: -z), to the right of and above the camera lands right of and above its centre.
    point = camera.intrinsics @ (camera.T_camera_world @ torch.tensor([0.2, 0.4, 0.0, 1.0]))[:3]
    torch.testing.assert_close(point / point[2], torch.tensor([16 + 50 * 0.1, 12 - 60 * 0.2, 1.0]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scales", torch.zeros(3, 4, dtype=torch.float64), "scales has shape"),
        ("opacities", torch.zeros(3, 1, dtype=torch.float64), "opacities has shape"),
        ("colors", torch.zeros(3, 3), "one floating-point type"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_surfels_are_refused(field: str, value: torch.Tensor, message: str):
    with pytest.raises(RasterError, match=message):
        rasterize(Surfels(**cloud(3).__dict__ | {field: value}), turned_camera())


@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_backends_are_refused():
    with pytest.raises(RasterError, match="unknown backend"):
        rasterize(cloud(3), turned_camera(), "metal")  # type: ignore[arg-type]
    with pytest.raises(RasterError, match="float32"):
        rasterize(cloud(3), turned_camera(), "numba")
    with pytest.raises(RasterError, match="cuda"):
        rasterize(cloud(3).to(dtype=torch.float32), turned_camera(), "gsplat")
    with pytest.raises(RasterError, match="at least 1"):
        PinholeCamera(torch.eye(4), torch.eye(3), 0, 4)
