"""Volume rendering against a sphere, where everything is known in closed form."""

from __future__ import annotations

import pytest
import torch

from sage_ns.field.sdf import FieldSample
from sage_ns.field.volume import (
    RayBuffers,
    RaySamples,
    Sharpness,
    VolumeRenderer,
    rendering_weights,
    through_cube,
)

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


# ---- against nerfstudio's own functions ------------------------------------------------------------------------------


def some_rays(count: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    """Rays from about the cube, about half of which hit it; some along its axes."""
    generator = torch.Generator().manual_seed(1)
    origins = torch.randn(count, 3, generator=generator)
    toward = Sphere.center + 0.4 * torch.randn(count, 3, generator=generator)
    directions = torch.nn.functional.normalize(toward - origins, dim=-1)
    directions[:3], origins[:3] = -torch.eye(3), Sphere.center + torch.eye(3)
    return origins, directions


def test_rays_enter_and_leave_the_cube_where_nerfstudio_says() -> None:
    from nerfstudio.utils.math import intersect_aabb

    origins, directions = some_rays()
    origins[3:9] = Sphere.center  # from within
    enter, leave = through_cube(origins, directions, Sphere.center, Sphere.half_size)
    box = torch.cat([Sphere.center - Sphere.half_size, Sphere.center + Sphere.half_size])
    slanted = torch.where(directions == 0, 1e-7, directions)
    expected = intersect_aabb(origins, slanted, box, max_bound=10.0)
    hit = enter < leave
    assert 100 < int(hit.sum()) < 400 and bool(hit[:9].all())
    assert torch.equal(hit, expected[0] < expected[1])
    assert torch.equal(enter[hit], expected[0][hit]) and torch.equal(leave[hit], expected[1][hit])


def test_even_samples_are_those_of_nerfstudio() -> None:
    from nerfstudio.cameras.rays import RayBundle
    from nerfstudio.model_components.ray_samplers import UniformSampler

    origins, directions = some_rays()
    near, far = torch.rand(2, len(origins), generator=torch.Generator().manual_seed(2))
    fractions = VolumeRenderer(num_coarse=7, num_fine=5).coarse
    samples = RaySamples.even(fractions, near, near + far)
    bundle = RayBundle(origins, directions, torch.ones_like(near[:, None]))
    bundle.nears, bundle.fars = near[:, None], (near + far)[:, None]
    expected = UniformSampler(7, train_stratified=False)(bundle)
    assert torch.equal(samples.starts, expected.frustums.starts[..., 0])
    assert torch.equal(samples.ends, expected.frustums.ends[..., 0])
    assert torch.equal(samples.middles(origins, directions), expected.frustums.get_positions())
    assert torch.equal((samples.ends - samples.starts)[..., None], expected.deltas)


def test_weights_and_their_gradients_are_those_of_nerfstudio() -> None:
    from nerfstudio.cameras.rays import RaySamples as TheirSamples

    alphas = torch.rand(50, 9, 1, generator=torch.Generator().manual_seed(3))
    alphas[:5, 2], alphas[5:9, 4] = 1.0, 0.0
    value = torch.rand(50, 9, 1, generator=torch.Generator().manual_seed(4))
    found = []
    for weigh in (rendering_weights, lambda a: TheirSamples.get_weights_and_transmittance_from_alphas(a, True)):
        given = alphas.clone().requires_grad_()
        weights = weigh(given)
        (weights * value).sum().backward()
        found.append((weights.detach(), given.grad))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_checkpoints_keep_the_name_and_meaning_of_the_sharpness() -> None:
    from nerfstudio.fields.sdf_field import LearnedVariance

    theirs, ours = LearnedVariance(0.3), Sharpness(0.75)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(), theirs.get_variance())
    assert torch.equal(Sharpness(9.0)(), LearnedVariance(9.0).get_variance()), "bounded alike"
    assert list(VolumeRenderer(4, 4).state_dict()) == ["sharpness.variance"]
