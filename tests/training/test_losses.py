from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sage_ns.raster import Buffers
from sage_ns.training import losses


def random_image(seed: int, channels: int = 3) -> Tensor:
    return torch.rand(16, 20, channels, generator=torch.Generator().manual_seed(seed))


def buffers(**given: Any) -> Buffers:
    """Buffers of 2 x 2 pixels, all zero but for what is given."""
    channels = {"color": 3, "alpha": 1, "depth": 1, "depth_median": 1, "normal": 3, "normal_from_depth": 3}
    shown: dict[str, Any] = {name: torch.zeros(2, 2, count) for name, count in (channels | {"distortion": 1}).items()}
    return Buffers(**(shown | given))


def gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_()
    (result,) = torch.autograd.grad(loss(at), at)
    return result


def test_l1_is_the_mean_difference() -> None:
    image = random_image(0)
    assert losses.l1(image, image) == 0
    assert float(losses.l1(image + 0.25, image)) == pytest.approx(0.25)
    ramp = torch.zeros(16, 20, 3)
    ramp[:8] = 0.5
    assert float(losses.l1(ramp, torch.zeros_like(ramp))) == pytest.approx(0.25)


def test_squared_counts_what_stands_out_more() -> None:
    image = random_image(0)
    assert losses.squared(image, image) == 0
    assert float(losses.squared(image + 0.25, image)) == pytest.approx(0.25**2)


def test_dissimilarity_is_zero_for_equal_images_and_grows() -> None:
    image = random_image(1)
    assert float(losses.dissimilarity(image, image)) == pytest.approx(0.0, abs=1e-6)
    small, large = (float(losses.dissimilarity(image + s * random_image(2), image)) for s in (0.05, 0.3))
    assert 0 < small < large < 2


def test_depth_distortion_is_the_mean_in_metres() -> None:
    given = torch.tensor([[0.0, 0.001], [0.002, 0.005]])[..., None]
    assert float(losses.depth_distortion(buffers(distortion=given))) == pytest.approx(0.002)
    assert losses.depth_distortion(buffers()) == 0


@pytest.mark.parametrize("degrees", [0, 30, 90, 180])
def test_normal_consistency_of_one_surfel_per_pixel(degrees: float) -> None:
    angle, weight = math.radians(degrees), 0.7
    rendered = weight * torch.tensor([0.0, 0.0, 1.0]).expand(2, 2, 3)
    of_depth = torch.tensor([math.sin(angle), 0.0, math.cos(angle)]).expand(2, 2, 3)
    given = buffers(alpha=torch.full((2, 2, 1), weight), normal=rendered, normal_from_depth=of_depth)
    assert float(losses.normal_consistency(given)) == pytest.approx(weight * (1 - math.cos(angle)), abs=1e-6)


def test_silhouette_is_the_mean_coverage_error() -> None:
    mask = (random_image(3, 1) > 0.5).float()
    assert losses.silhouette(mask, mask) == 0
    assert float(losses.silhouette(1 - mask, mask)) == pytest.approx(1.0)
    assert float(losses.silhouette(torch.full_like(mask, 0.5), mask)) == pytest.approx(0.5)


def test_position_hinge_lets_surfels_move_within_reach() -> None:
    means = torch.tensor([[0.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 3.0]])
    reach = torch.tensor([1.0, 1.0, 1.0, 4.0])
    assert float(losses.position_hinge(means, reach)) == pytest.approx(2.0 / 4)
    pull = gradient(lambda given: losses.position_hinge(given, reach), means)
    assert torch.equal(pull[[0, 3]], torch.zeros(2, 3)), "no pull within reach, none at the centre either"
    assert torch.allclose(pull[2], torch.tensor([0.0, 0.0, 0.25]))


def test_scale_hinge_is_the_norm_of_the_excess() -> None:
    scales = torch.tensor([[0.1, 0.6], [0.9, 1.0], [0.2, 1.6]])
    expected = (0 + math.hypot(0.3, 0.4) + 1.0) / 3
    assert float(losses.scale_hinge(scales.log(), 0.6)) == pytest.approx(expected, abs=1e-4)
    pull = gradient(lambda given: losses.scale_hinge(given, 0.6), scales.log())
    assert torch.equal(pull[0], torch.zeros(2)) and (pull[1] > 0).all()
    assert pull[2, 0] == 0 and pull[2, 1] > 0
    still = losses.scale_hinge(torch.full((5, 2), -3.0), 0.6)
    assert float(still) == pytest.approx(0.0, abs=1e-9)


def test_surfels_on_the_zero_level_along_its_normal_cost_nothing() -> None:
    distance, opaque = torch.tensor([0.0, 0.002, -0.004]), torch.ones(3)
    assert float(losses.surface_distance(distance, opaque)) == pytest.approx(0.002)
    assert float(losses.surface_distance(distance, torch.tensor([1.0, 1.0, 0.0]))) == pytest.approx(0.002 / 3)
    normals = torch.nn.functional.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert float(losses.normal_alignment(normals, 3.0 * normals, torch.ones(5))) == pytest.approx(0.0, abs=1e-6)
    assert float(losses.normal_alignment(normals, -0.5 * normals, torch.ones(5))) == pytest.approx(0.0, abs=1e-6), (
        "either side"
    )
    x, y = torch.eye(3)[:1], torch.eye(3)[1:2]
    assert float(losses.normal_alignment(x, y, torch.ones(1))) == pytest.approx(1.0)
    assert float(losses.normal_alignment(x, x + y, torch.full((1,), 1.0))) == pytest.approx(1 - 0.5**0.5)


def test_the_field_runs_along_the_tracked_mesh_outside_out() -> None:
    up = torch.tensor([[0.0, 1.0, 0.0]])
    assert float(losses.tracked_normal(up, 0.3 * up)) == pytest.approx(0.0)
    assert float(losses.tracked_normal(up, -up)) == pytest.approx(2.0), "inside out is as wrong as can be"


def test_a_field_with_slope_one_is_a_distance() -> None:
    gradients = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.0, 0.0, 3.0]])
    assert float(losses.eikonal(gradients)) == pytest.approx(4.0 / 3.0)
    assert float(losses.smoothness(gradients, gradients)) == 0.0
    assert float(losses.smoothness(gradients[:1], gradients[1:2])) == pytest.approx((1 + 0.36 + 0.64) ** 0.5)


def test_field_depth_and_normal_count_only_weighted_rays() -> None:
    weight = torch.tensor([1.0, 1.0, 0.0])
    depth, target = torch.tensor([1.001, 1.02, 9.0]), torch.tensor([1.0, 1.0, 1.0])
    within, beyond = 0.001**2 / (2 * 0.002), 0.02 - 0.001
    assert float(losses.field_depth(depth, target, weight)) == pytest.approx((within + beyond) / 2, rel=1e-3)
    normal = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    facing = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    assert float(losses.field_normal(normal, facing, weight)) == pytest.approx((0 + 2 + 1) / 2)
    nothing = torch.zeros(3)
    assert float(losses.field_depth(depth, target, nothing)) == 0.0
    assert float(losses.field_normal(normal, facing, nothing)) == 0.0


def test_field_color_and_flatness_are_means() -> None:
    assert float(losses.field_color(torch.full((4, 3), 0.75), torch.full((4, 3), 0.25))) == pytest.approx(0.5)
    assert float(losses.flatness(torch.tensor([0.0, 0.5, 1.0]))) == pytest.approx(0.5)


def test_appearance_is_the_mean_difference_of_the_rays_with_a_target() -> None:
    shown = torch.tensor([[0.2, 0.4, 0.6], [0.9, 1.0, 0.8]], requires_grad=True)
    expected = torch.tensor([[0.5, 0.4, 0.6], [0.7, 1.0, 0.9]])
    loss = losses.appearance(shown, expected, torch.ones(2, dtype=torch.bool))
    assert float(loss.detach()) == pytest.approx((0.3 + 0.2 + 0.1) / 6)
    loss.backward()
    assert shown.grad is not None
    assert torch.allclose(shown.grad, torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, -1.0]]) / 6)


def test_appearance_leaves_out_rays_that_are_not_valid() -> None:
    shown = torch.tensor([[0.2, 0.4, 0.6], [0.9, 1.0, 0.8]], requires_grad=True)
    expected = torch.tensor([[0.5, 0.4, 0.6], [float("nan")] * 3])
    loss = losses.appearance(shown, expected, torch.tensor([True, False]))
    assert float(loss.detach()) == pytest.approx(0.3 / 3)
    loss.backward()
    assert shown.grad is not None and torch.allclose(shown.grad, torch.tensor([[-1.0, 0.0, 0.0], [0.0] * 3]) / 3)
    nothing = losses.appearance(shown, expected, torch.zeros(2, dtype=torch.bool))
    assert float(nothing.detach()) == 0.0


def test_appearance_without_rays_is_zero_and_can_be_differentiated() -> None:
    image = random_image(5).requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    loss = losses.appearance(image.reshape(-1, 3)[none], torch.zeros(0, 3), torch.zeros(0, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0 and image.grad is not None and not image.grad.any()


@pytest.mark.parametrize(
    "loss",
    [
        lambda image: losses.l1(image, image.detach()),
        lambda image: losses.dissimilarity(image, image.detach()),
        lambda image: losses.dissimilarity(0 * image, torch.zeros_like(image)),
        lambda image: losses.silhouette(image[..., :1], image[..., :1].detach()),
        lambda image: losses.position_hinge(0 * image.reshape(-1, 3), torch.ones(320)),
        lambda image: losses.scale_hinge(-50 * image[..., :2].reshape(-1, 2), 0.6),
        lambda image: losses.scale_hinge(0 * image[..., :2].reshape(-1, 2), 1.0),
        lambda image: losses.surface_distance(0 * image.reshape(-1), torch.ones(960)),
        lambda image: losses.normal_alignment(image.reshape(-1, 3).detach(), 0 * image.reshape(-1, 3), torch.ones(320)),
        lambda image: losses.eikonal(0 * image.reshape(-1, 3)),
        lambda image: losses.smoothness(image.reshape(-1, 3), image.reshape(-1, 3).detach()),
    ],
)
def test_gradients_are_finite_where_a_loss_is_zero(loss: Callable[[Tensor], Tensor]) -> None:
    assert torch.isfinite(gradient(loss, random_image(4))).all()
