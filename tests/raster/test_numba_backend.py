"""The compiled rasteriser against the reference in float64: every buffer, every gradient, and determinism."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.raster import PinholeCamera, Surfels, constants, rasterize
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

TOLERANCE = 1e-3


def facing_away(surfels: Surfels, camera: PinholeCamera, cosine: float) -> Surfels:
    """The same surfels turned so that normal and central ray have the given cosine."""
    toward = torch.nn.functional.normalize(surfels.means - camera.center, dim=-1)
    helper = torch.linalg.cross(toward, torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64).expand_as(toward))
    across = torch.nn.functional.normalize(helper, dim=-1)
    normal = cosine * toward + (1 - cosine**2) ** 0.5 * across
    rotation = torch.stack((torch.linalg.cross(across, toward), torch.zeros_like(normal), normal), -1)
    rotation[..., 1] = torch.linalg.cross(normal, rotation[..., 0])
    from sage_ns.geometry import matrix_to_quaternion

    return replace(surfels, quaternions=matrix_to_quaternion(rotation))


def scene(name: str) -> tuple[Surfels, PinholeCamera]:
    camera = turned_camera()
    scenes = {
        "random": lambda: (cloud(60), camera),
        "many": lambda: (cloud(600, seed=1, scales=(0.005, 0.03)), camera),
        "sub-pixel": lambda: (cloud(300, seed=2, scales=(0.0002, 0.005)), camera),
        "sub-pixel, small discs": lambda: (
            cloud(300, seed=2, scales=(0.0002, 0.005)),
            replace(camera, low_pass=8.0),
        ),
        "large": lambda: (cloud(30, seed=3, scales=(0.2, 0.5)), camera),
        "tilted": lambda: (facing_away(cloud(80, seed=4), camera, 0.4), camera),
        "grazing": lambda: (facing_away(cloud(80, seed=5), camera, 0.03), camera),
        "nearly edge-on": lambda: (facing_away(cloud(80, seed=6), camera, 0.003), camera),
        "opaque stack": lambda: (cloud(400, seed=7, scales=(0.05, 0.3), opacities=(0.9, 1.0)), camera),
        "around the camera": lambda: (cloud(200, seed=8, scales=(0.02, 0.1), extent=2.0), camera),
        "off-screen": lambda: (replace(cloud(40, seed=9), means=cloud(40, seed=9).means + 3.0), camera),
        "one pixel": lambda: (cloud(20, seed=10), turned_camera(1, 1, 4.0)),
        "one tile": lambda: (cloud(20, seed=10), turned_camera(8, 8, 9.0)),
        "wide": lambda: (cloud(50, seed=12), turned_camera(65, 3, 30.0)),
        "empty": lambda: (cloud(0), camera),
    }
    return scenes[name]()


SCENES = (
    "random", "many", "sub-pixel", "sub-pixel, small discs", "large", "tilted", "grazing", "nearly edge-on",
    "opaque stack", "around the camera", "off-screen", "one pixel", "one tile", "wide", "empty",
)  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_buffers_and_gradients_equal_the_reference(name: str):
    surfels, camera = scene(name)
    weights = cotangents(camera)
    # The same float32 numbers go into both, so that only the arithmetic differs.
    surfels = surfels.to(dtype=torch.float32)
    camera = camera.to(dtype=torch.float32)
    expected, expected_gradients = draw_with_gradients(surfels, camera, "reference", torch.float64, weights)
    found, gradients = draw_with_gradients(surfels, camera, "numba", torch.float32, weights)
    errors = {key: relative_error(getattr(found, key), getattr(expected, key)) for key in OUTPUTS}
    errors |= {f"d {key}": relative_error(gradients[key], expected_gradients[key]) for key in INPUTS}
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize("output", DIFFERENTIABLE)
def test_the_gradient_of_each_buffer_alone(output: str):
    surfels, camera = cloud(120, seed=13, scales=(0.005, 0.1)).to(dtype=torch.float32), turned_camera()
    camera = camera.to(dtype=torch.float32)
    weights = cotangents(camera, (output,))
    _, expected = draw_with_gradients(surfels, camera, "reference", torch.float64, weights)
    _, found = draw_with_gradients(surfels, camera, "numba", torch.float32, weights)
    errors = {name: relative_error(found[name], expected[name]) for name in INPUTS}
    assert max(errors.values()) < TOLERANCE, errors


def test_results_do_not_depend_on_the_number_of_threads():
    surfels, camera = cloud(5000, seed=14, scales=(0.002, 0.03)).to(dtype=torch.float32), turned_camera(93, 70, 110.0)
    weights = cotangents(camera)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(draw_with_gradients(surfels, camera, "numba", torch.float32, weights))
    finally:
        torch.set_num_threads(before)
    (one, one_gradients), (two, two_gradients) = results
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in OUTPUTS)
    assert all(torch.equal(one_gradients[name], two_gradients[name]) for name in INPUTS)


def test_two_pictures_may_be_drawn_before_the_first_backward_pass():
    surfels, camera = cloud(200, seed=15).to(dtype=torch.float32), turned_camera()
    leaf = surfels.means.clone().requires_grad_()
    pictures = [
        rasterize(replace(surfels, means=leaf), replace(camera, T_camera_world=pose.float()))
        for pose in (camera.T_camera_world, turned_camera().T_camera_world.roll(1, 0)[[1, 2, 0, 3]])
    ]
    separate = [torch.autograd.grad(picture.color.sum(), leaf, retain_graph=True)[0] for picture in pictures]
    together = torch.autograd.grad(sum(picture.color.sum() for picture in pictures), leaf)[0]  # type: ignore[arg-type]
    torch.testing.assert_close(together, separate[0] + separate[1])


def test_an_edge_on_surfel_has_finite_gradients():
    camera = turned_camera()
    surfels = facing_away(cloud(40, seed=17), camera, 0.0).to(dtype=torch.float32)
    drawn, gradients = draw_with_gradients(surfels, camera, "numba", torch.float32, cotangents(camera))
    assert drawn.alpha.max() > 0.1
    assert all(torch.isfinite(image).all() for image in (getattr(drawn, name) for name in OUTPUTS))
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_not_a_number_is_not_drawn():
    surfels = cloud(50, seed=16).to(dtype=torch.float32)
    for name in ("means", "quaternions", "scales", "opacities"):
        broken = getattr(surfels, name).clone()
        broken[3] = float("nan")
        drawn = rasterize(replace(surfels, **{name: broken}), turned_camera(), "numba")
        assert all(torch.isfinite(image).all() for image in (getattr(drawn, name) for name in OUTPUTS)), name


def test_kernels_hold_the_constants_of_the_definition():
    from sage_ns.raster import _numba_blend, _numba_blend_backward, _numba_project

    for module in (_numba_project, _numba_blend, _numba_blend_backward):
        for name, value in vars(module).items():
            if name.isupper() and hasattr(constants, name):
                assert float(value) == pytest.approx(getattr(constants, name), rel=1e-6), (module.__name__, name)
    assert float(_numba_project.ALPHA_MAX_INVERSE) == pytest.approx(1 / constants.ALPHA_MIN)
    assert _numba_blend.RECORD == _numba_blend_backward.RECORD == _numba_project.RECORD
    assert _numba_blend_backward.SUMS == _numba_project.SUMS
