"""Volume rendering against a sphere, where everything is known in closed form."""

from __future__ import annotations

import pytest
import torch

from sage_ns.field.sdf import FieldSample
from sage_ns.field.volume import RayBuffers, VolumeRenderer

RADIUS = 0.1


class Sphere:
    """A field whose zero level is a sphere about a point; stands in for the learned one."""

    center = torch.tensor([0.02, -0.01, 0.03])
    half_size = torch.tensor(0.2)

    def distance(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(x - self.center, dim=-1) - RADIUS

    def evaluate(self, x: torch.Tensor, gradient: bool | str = False) -> FieldSample:
        return FieldSample(
            self.distance(x),
            torch.nn.functional.normalize(x - self.center, dim=-1),
            torch.zeros(len(x), 0),
            torch.zeros(len(x), 0),
        )


def position_as_color(positions: torch.Tensor, sample: FieldSample, directions: torch.Tensor) -> torch.Tensor:
    return (positions - Sphere.center) / RADIUS / 2 + 0.5


def seen(
    offsets: torch.Tensor,
    jitter: float = 0.5,
    num_fine: int = 24,
    reach: tuple[float, float] | None = None,
) -> RayBuffers:
    """Rays along -z at some offsets from the axis through the sphere's centre, from a metre away."""
    torch.manual_seed(0)
    renderer = VolumeRenderer(num_coarse=32, num_fine=num_fine)
    renderer.sharpness.variance.data.fill_(0.85)
    origins = Sphere.center + torch.cat([offsets, torch.ones(len(offsets), 1)], dim=-1)
    directions = torch.tensor([0.0, 0.0, -1.0]).expand(len(offsets), 3)
    ends = None if reach is None else tuple(torch.full((len(offsets),), end) for end in reach)
    jitters = torch.full((len(offsets),), jitter)
    return renderer(Sphere(), position_as_color, origins, directions, jitters, reach=ends)  # type: ignore[arg-type]


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_rays_stop_at_the_sphere(jitter: float) -> None:
    offsets = torch.tensor([[0.0, 0.0], [0.05, 0.0], [0.0, -0.08]])
    buffers = seen(offsets, jitter)
    height = (RADIUS**2 - offsets.square().sum(-1)).sqrt()
    assert (buffers.alpha > 0.98).all()
    depth = (buffers.depth / buffers.alpha)[:, 0]
    assert torch.allclose(depth, 1.0 - height, atol=2e-4)
    normal = torch.cat([offsets, height[:, None]], dim=-1) / RADIUS
    assert torch.allclose(torch.nn.functional.normalize(buffers.normal, dim=-1), normal, atol=0.03)
    assert torch.allclose(buffers.color / buffers.alpha, normal / 2 + 0.5, atol=0.03)


def test_rays_that_miss_see_nothing() -> None:
    buffers = seen(torch.tensor([[0.15, 0.0], [0.0, 0.5], [3.0, 0.0]]))
    assert (buffers.alpha < 0.01).all()
    assert torch.isfinite(buffers.depth).all() and torch.isfinite(buffers.normal).all()


def test_a_ray_along_an_axis_of_the_cube_is_finite() -> None:
    buffers = seen(torch.tensor([[0.2, 0.0], [-0.2, 0.2]]))
    for value in (buffers.color, buffers.alpha, buffers.depth, buffers.normal):
        assert torch.isfinite(value).all()


def test_the_same_jitter_gives_the_same_picture() -> None:
    offsets = torch.tensor([[0.01, 0.02]])
    assert torch.equal(seen(offsets, 0.2).depth, seen(offsets, 0.2).depth)
    assert not torch.equal(seen(offsets, 0.2).gradients, seen(offsets, 0.7).gradients)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_a_surface_within_reach_is_found_more_finely(jitter: float) -> None:
    offsets = torch.tensor([[0.0, 0.0], [0.05, 0.0], [0.0, -0.06]])
    expected = 1.0 - (RADIUS**2 - offsets.square().sum(-1)).sqrt()
    buffers = seen(offsets, jitter, reach=(0.89, 0.93))
    assert (buffers.alpha > 0.98).all()
    assert torch.allclose((buffers.depth / buffers.alpha)[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("reach", [(0.5, 0.85), (1.15, 1.19), (2.0, 2.2), (0.9, 0.9)])
def test_a_surface_out_of_reach_is_not_seen(reach: tuple[float, float]) -> None:
    """Before the sphere (front side at 0.9 m), behind it, beyond its cube, and where there is no way at all."""
    buffers = seen(torch.tensor([[0.0, 0.0]]), reach=reach)
    assert buffers.alpha < 0.01
    assert torch.isfinite(buffers.depth).all() and torch.isfinite(buffers.normal).all()


def test_a_reach_as_long_as_the_cube_changes_nothing() -> None:
    offsets = torch.tensor([[0.0, 0.0], [0.07, 0.02]])
    assert torch.equal(seen(offsets, reach=(0.0, 10.0)).depth, seen(offsets).depth)


def test_no_rays_see_nothing() -> None:
    buffers = seen(torch.zeros(0, 2), reach=(0.8, 1.0))
    assert buffers.color.shape == buffers.normal.shape == buffers.gradients.shape == (0, 3)
    assert buffers.alpha.shape == buffers.depth.shape == (0, 1)
