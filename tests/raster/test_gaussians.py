"""3D Gaussians: a closed form, the reference, discs that face the camera, and gsplat's conventions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.raster.constants import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN
from sage_ns.raster.gaussians import as_gaussians, facing_discs, project_gaussians
from sage_ns.raster.gsplat_gaussians import rasterize_gaussians_gsplat
from tests.raster.scenes import INPUTS, cloud, cotangents, draw_with_gradients, relative_error, turned_camera

COMPARED = ("color", "alpha", "depth", "normal_from_depth")


def gaussians(num: int, seed: int = 0, **options: tuple[float, float]) -> Surfels:
    """Random 3D Gaussians around the origin, float64."""
    flat = cloud(num, seed, **options)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed + 1)
    third = 0.01 + 0.09 * torch.rand(num, 1, generator=generator, dtype=torch.float64)
    return replace(flat, scales=torch.cat((flat.scales, third), dim=-1))


def straight_camera(focal: tuple[float, float] = (50.0, 60.0)) -> PinholeCamera:
    pose = torch.eye(4, dtype=torch.float64)
    pose[2, 3] = 2.0
    intrinsics = torch.tensor([[focal[0], 0.0, 20.5], [0.0, focal[1], 15.5], [0.0, 0.0, 1.0]])
    return PinholeCamera(pose, intrinsics.double(), 41, 31)


def one(scales: tuple[float, float, float], opacity: float = 0.8) -> Surfels:
    """One white Gaussian at the origin."""
    return Surfels(
        torch.zeros(1, 3).double(),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double(),
        torch.tensor([scales]).double(),
        torch.tensor([opacity]).double(),
        torch.ones(1, 3).double(),
    )


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_gaussian_on_the_axis_is_the_closed_form(backend: str) -> None:
    sizes, depth, focal = (0.08, 0.05, 0.3), 2.0, (50.0, 60.0)
    dtype = torch.float64 if backend == "reference" else torch.float32
    drawn = rasterize(one(sizes).to(dtype=dtype), straight_camera(focal).to(dtype=dtype), backend)  # type: ignore[arg-type]
    x = torch.arange(41).double() - 20.0
    y = torch.arange(31).double()[:, None] - 15.0
    spread = [(f * s / depth) ** 2 + 0.3 for f, s in zip(focal, sizes, strict=False)]
    expected = 0.8 * torch.exp(-0.5 * (x**2 / spread[0] + y**2 / spread[1]))
    expected[expected < ALPHA_MIN] = 0.0
    torch.testing.assert_close(drawn.alpha[..., 0].double(), expected, rtol=1e-5, atol=1e-6)
    # The extent along the axis has no effect, and the depth is that of the centre.
    torch.testing.assert_close(drawn.depth[drawn.alpha > 0], torch.full_like(drawn.depth[drawn.alpha > 0], depth))
    assert float(drawn.distortion.abs().max()) == 0.0


def test_facing_discs_look_as_the_gaussians_in_float64() -> None:
    """The discs through the reference of discs, without its low-pass filter, against the reference of Gaussians."""
    camera, scene = turned_camera(), gaussians(30, seed=3)
    projected = project_gaussians(scene, camera)
    discs = facing_discs(scene, projected, camera)
    drawn = rasterize(discs, replace(camera, low_pass=1e6), "reference")
    expected = rasterize(scene, camera, "reference")
    for name in ("color", "alpha", "depth"):
        torch.testing.assert_close(getattr(drawn, name), getattr(expected, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scales", [(0.01, 0.1), (0.001, 0.004)])
def test_the_cpu_draws_as_the_reference_with_the_same_gradients(scales: tuple[float, float]) -> None:
    camera, scene = turned_camera(), gaussians(60, seed=7, scales=scales)
    weights = cotangents(camera, ("color", "alpha", "depth"))
    expected, expected_gradients = draw_with_gradients(scene, camera, "reference", torch.float64, weights)
    drawn, gradients = draw_with_gradients(scene, camera, "numba", torch.float32, weights)
    for name in COMPARED:
        assert relative_error(getattr(drawn, name), getattr(expected, name)) < 2e-4, name
    for name in INPUTS:
        assert relative_error(gradients[name], expected_gradients[name]) < 5e-3, name


def test_gradients_of_projected_centres_are_those_of_the_reference() -> None:
    camera, scene = turned_camera(), gaussians(40, seed=9)
    weights = cotangents(camera, ("color", "alpha"))
    found = {}
    for backend, dtype in (("reference", torch.float64), ("numba", torch.float32)):
        moving = scene.to(dtype=dtype)
        moving = replace(moving, means=moving.means.clone().requires_grad_())
        drawn = rasterize(moving, camera.to(dtype=dtype), backend)  # type: ignore[arg-type]
        assert drawn.footprints is not None
        drawn.footprints.pixels.register_hook(lambda gradient, name=backend: found.update({name: gradient.double()}))
        sum((getattr(drawn, name) * weight.to(dtype)).sum() for name, weight in weights.items()).backward()  # type: ignore[union-attr]
    assert relative_error(found["numba"], found["reference"]) < 2e-3


def test_the_gradient_of_a_projected_centre_is_the_change_when_the_picture_shifts() -> None:
    """d loss / d pixel, by moving the principal point: all centres shift by the same number of pixels."""
    camera, scene = straight_camera(), gaussians(12, seed=2, extent=0.2)  # type: ignore[arg-type]
    weight = cotangents(camera, ("color",))["color"]

    def loss(shift: float, watch: list | None = None) -> torch.Tensor:
        intrinsics = camera.intrinsics.clone()
        intrinsics[0, 2] += shift
        moving = replace(scene, means=scene.means.clone().requires_grad_())
        drawn = rasterize(moving, replace(camera, intrinsics=intrinsics), "reference")
        if watch is not None:
            assert drawn.footprints is not None
            drawn.footprints.pixels.register_hook(watch.append)
        return (drawn.color * weight).sum()

    watch: list[torch.Tensor] = []
    loss(0.0, watch).backward()
    step = 1e-5
    numeric = (loss(step) - loss(-step)) / (2 * step)
    assert float(watch[0][:, 0].sum()) == pytest.approx(numeric.item(), rel=1e-4)


def test_reference_gradients_are_those_of_finite_differences() -> None:
    camera = turned_camera(9, 7, 10.0)
    scene = gaussians(4, seed=5, scales=(0.1, 0.3), opacities=(0.3, 0.6))
    inputs = tuple(getattr(scene, name).clone().requires_grad_() for name in INPUTS)

    def draw(*tensors: torch.Tensor) -> torch.Tensor:
        return rasterize(Surfels(*tensors), camera, "reference").color

    assert torch.autograd.gradcheck(draw, inputs, eps=1e-6, atol=1e-4)


def test_gaussians_behind_the_camera_or_out_of_view_are_not_drawn_and_get_no_gradient() -> None:
    scene = one((0.1, 0.1, 0.1)).to(dtype=torch.float32)
    for place in ([0.0, 0.0, -3.0], [9.0, 0.0, 0.0]):
        means = torch.tensor([place]).requires_grad_()
        drawn = rasterize(replace(scene, means=means), straight_camera().to(dtype=torch.float32))
        assert drawn.footprints is not None and not drawn.footprints.visible.any()
        assert float(drawn.alpha.abs().max()) == 0.0
        drawn.color.sum().backward()
        assert means.grad is not None and float(means.grad.abs().max()) == 0.0


def test_round_gaussians_have_finite_gradients() -> None:
    scene = one((0.05, 0.05, 0.05)).to(dtype=torch.float32)
    tensors = [getattr(scene, name).clone().requires_grad_() for name in INPUTS]
    camera = straight_camera((50.0, 50.0)).to(dtype=torch.float32)
    rasterize(Surfels(*tensors), camera).color.square().sum().backward()
    assert all(tensor.grad is not None and bool(tensor.grad.isfinite().all()) for tensor in tensors)
    assert tensors[2].grad is not None and float(tensors[2].grad[0, 0]) > 0.0


def test_a_thin_gaussian_looks_like_the_disc() -> None:
    camera, flat = turned_camera(80, 60, 90.0), cloud(40, seed=4, scales=(0.04, 0.08))
    flat = replace(flat, quaternions=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double().expand(40, 4))
    camera = replace(straight_camera((90.0, 90.0)), width=41, height=31, low_pass=1e6)
    thin = as_gaussians(flat)
    assert not thin.are_flat and as_gaussians(thin) is thin
    drawn, expected = rasterize(thin, camera, "reference"), rasterize(flat, camera, "reference")
    # Discs parallel to the picture: all that differs is the low-pass filter.
    assert float((drawn.alpha - expected.alpha).abs().mean()) < 0.02


def stand_in(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **options):
    """`gsplat.rasterization` in its documented conventions, dense and in plain torch."""
    assert options == {"near_plane": 0.01, "eps2d": 0.3, "packed": False, "render_mode": "RGB"}
    camera = PinholeCamera(viewmats[0], Ks[0], width, height)
    projected = project_gaussians(Surfels(means, quats, scales, opacities, colors[:, :3]), camera)
    centers = projected.pixels[None]
    order = torch.argsort(projected.depths.detach(), stable=True)
    order = order[projected.visible[order]]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack((columns, rows), -1).reshape(-1, 1, 2).to(means) + 0.5
    xx, xy, yy = projected.covariances[order].unbind(-1)
    inverse = torch.linalg.inv(torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2))
    offset = pixels - centers[0, order]
    distance = torch.einsum("pni,nij,pnj->pn", offset, inverse, offset)
    alphas = (opacities[order] * torch.exp(-0.5 * distance)).clamp(max=ALPHA_MAX)
    alphas = torch.where(alphas < ALPHA_MIN, 0.0, alphas)
    light = torch.cumprod(1 - alphas, 1)
    alphas = torch.where(light > TRANSMITTANCE_MIN, alphas, 0.0)
    before = torch.cumprod(torch.cat((torch.ones_like(alphas[:, :1]), 1 - alphas), 1), 1)[:, :-1]
    weights = alphas * before

    def image(values):
        return values.reshape(1, height, width, -1)

    meta = {"means2d": centers, "radii": projected.visible[None].int()}
    return image(weights @ colors[order]), image(weights.sum(1)), meta


def test_buffers_and_gradients_equal_the_reference_around_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, scene = turned_camera(19, 13, 20.0), gaussians(30, seed=21)
    weights = cotangents(camera, ("color", "alpha", "depth"))
    expected, expected_gradients = draw_with_gradients(scene, camera, "reference", torch.float64, weights)
    monkeypatch.setattr(
        "tests.raster.scenes.rasterize", lambda scene, camera, *_: rasterize_gaussians_gsplat(scene, camera, stand_in)
    )
    drawn, gradients = draw_with_gradients(scene, camera, "gsplat", torch.float64, weights)
    for name in COMPARED:
        torch.testing.assert_close(getattr(drawn, name), getattr(expected, name), rtol=1e-8, atol=1e-8)
    for name in INPUTS:
        torch.testing.assert_close(gradients[name], expected_gradients[name], rtol=1e-6, atol=1e-8)
    assert drawn.footprints is not None and expected.footprints is not None
    assert torch.equal(drawn.footprints.visible, expected.footprints.visible)


@pytest.mark.gpu
def test_gsplat_draws_as_the_reference_with_the_same_gradients() -> None:
    camera, scene = turned_camera(64, 48, 60.0), gaussians(200, seed=6)
    weights = cotangents(camera, ("color", "alpha", "depth"))
    expected, expected_gradients = draw_with_gradients(scene, camera, "reference", torch.float64, weights)
    drawn, gradients = draw_with_gradients(scene, camera, "gsplat", torch.float32, weights, "cuda")
    for name in ("color", "alpha"):
        assert float((getattr(drawn, name).double().cpu() - getattr(expected, name)).abs().mean()) < 1e-3, name
    for name in INPUTS:
        assert relative_error(gradients[name].cpu(), expected_gradients[name]) < 0.05, name
    assert math.isfinite(float(drawn.depth.sum()))
