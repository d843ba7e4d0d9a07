"""Volume rendering of posed rays through a backward warp."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.field.sdf import FieldConfig, FieldSample, SignedDistanceField
from sage_ns.field.volume import RayBuffers, RaySamples, VolumeRenderer
from sage_ns.field.warp.backward import BackwardWarp
from sage_ns.field.warp.rigid import RigidWarp
from tests.field.warp.moves import RADIUS, AffineWarp, Sphere, turned_head


def color(positions: Tensor, sample: FieldSample, directions: Tensor) -> Tensor:
    """Of canonical place and canonical direction."""
    return 0.5 + positions + 0.3 * directions


def renderer(dtype: torch.dtype = torch.float32) -> VolumeRenderer:
    made = VolumeRenderer(num_coarse=32, num_fine=24).to(dtype)
    made.sharpness.variance.data.fill_(0.85)
    return made


def learned() -> SignedDistanceField:
    """A bumpy ball."""
    torch.manual_seed(0)
    config = FieldConfig(num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4)
    field = SignedDistanceField(config, torch.tensor([0.02, -0.01, 0.03]), 0.2)
    with torch.no_grad():
        for parameter in field.encoding.parameters():
            parameter.uniform_(-0.05, 0.05)
    return field


def canonical_rays(count: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Rays from a metre before the head, most of which meet it, and their jitter."""
    generator = torch.Generator().manual_seed(1)
    origins = torch.tensor([0.1, 0.05, 1.0]).expand(count, 3)
    toward = torch.tensor([0.02, -0.01, 0.03]) + 0.06 * torch.randn(count, 3, generator=generator)
    directions = torch.nn.functional.normalize(toward - origins, dim=-1)
    return origins.contiguous(), directions, torch.rand(count, generator=generator)


def render(field: object, rays: tuple[Tensor, Tensor, Tensor], warp: BackwardWarp | None = None) -> RayBuffers:
    return renderer(rays[0].dtype)(field, color, *rays, warp=warp)  # type: ignore[arg-type]


def test_a_rigid_warp_equals_a_camera_that_moves_about_the_head() -> None:
    motion = turned_head(torch.float64)
    origins, directions, jitter = (each.double() for each in canonical_rays())
    field = learned().double()
    expected = render(field, (origins, directions, jitter))
    posed = origins @ motion[:3, :3].mT + motion[:3, 3], directions @ motion[:3, :3].mT, jitter
    found = render(field, posed, RigidWarp(motion))
    assert int((expected.alpha > 0.9).sum()) > 100, "the rays meet the head"
    for name in ("color", "alpha", "depth"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.normal, expected.normal @ motion[:3, :3].mT, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.gradients, expected.gradients, atol=1e-4, rtol=0)


def test_a_head_that_has_not_moved_needs_no_warp() -> None:
    rays, field = canonical_rays(), learned()
    plain, still = render(field, rays), render(field, rays, RigidWarp(torch.eye(4)))
    for name in ("color", "alpha", "depth", "normal"):
        torch.testing.assert_close(getattr(still, name), getattr(plain, name), atol=1e-6, rtol=0)


def test_a_head_out_of_the_canonical_cube_is_found() -> None:
    """The search follows the skull: here it has moved by more than the cube's edge."""
    motion = torch.eye(4)
    motion[0, 3] = 1.0
    origins, directions, jitter = canonical_rays()
    found = render(Sphere(), (origins + motion[:3, 3], directions, jitter), RigidWarp(motion))
    expected = render(Sphere(), (origins, directions, jitter))
    assert int((expected.alpha > 0.9).sum()) > 100
    torch.testing.assert_close(found.depth, expected.depth, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "matrix",
    [
        torch.diag(torch.tensor([1.0, 1.25, 0.8])),
        torch.tensor([[1.0, 0.2, 0.0], [0.0, 1.0, 0.1], [0.1, 0.0, 0.9]]),
    ],
)
def test_a_stretched_sphere_is_an_ellipsoid(matrix: Tensor) -> None:
    """Depth and normal of |A x - c| = r in closed form; the depth is that along the true ray."""
    matrix = matrix.double()
    field = Sphere(torch.float64)
    middle = torch.linalg.solve(matrix, field.center)
    offsets = torch.tensor([[0.0, 0.0], [0.04, 0.0], [0.0, -0.05], [0.03, 0.03]], dtype=torch.float64)
    origins = middle + torch.cat([offsets, torch.full((4, 1), 0.9, dtype=torch.float64)], dim=-1)
    directions = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).expand(4, 3)
    jitter = torch.full((4,), 0.5, dtype=torch.float64)
    found = render(field, (origins, directions, jitter), AffineWarp(matrix))
    # |A (o - m) + s A d|^2 = r^2
    start, speed = (origins - middle) @ matrix.mT, directions @ matrix.mT
    a, b = speed.square().sum(-1), (start * speed).sum(-1)
    depth = (-b - (b.square() - a * (start.square().sum(-1) - RADIUS**2)).sqrt()) / a
    normal = torch.nn.functional.normalize((start + depth[:, None] * speed) @ matrix, dim=-1)
    assert (found.alpha > 0.98).all()
    torch.testing.assert_close((found.depth / found.alpha)[:, 0], depth, atol=3e-4, rtol=0)
    torch.testing.assert_close(torch.nn.functional.normalize(found.normal, dim=-1), normal, atol=0.03, rtol=0)


def test_opacity_follows_the_slope_of_the_warped_distance() -> None:
    """``grad f . J d`` against differences of f(w(o + s d)) in float64."""
    matrix = torch.tensor([[1.1, 0.3, 0.0], [-0.2, 0.9, 0.1], [0.1, 0.0, 1.2]], dtype=torch.float64)
    warp, field = AffineWarp(matrix), Sphere(torch.float64)
    generator = torch.Generator().manual_seed(2)
    points = field.center + 0.1 * torch.randn(40, 3, dtype=torch.float64, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(40, 3, dtype=torch.float64, generator=generator), dim=-1)
    step = 1e-6
    ahead, behind = (field.distance(warp.places(points + sign * step * directions)) for sign in (1, -1))
    slope = ((ahead - behind) / (2 * step)).clamp_max(0.0)[:, None]
    width = 0.002
    samples = RaySamples(torch.zeros(40, 1, dtype=torch.float64), torch.full((40, 1), width, dtype=torch.float64))
    made, warped = renderer(torch.float64), warp(points)
    found = made._alphas(field.evaluate(warped.canonical), warped.carried(directions), samples)
    distance, sharpness = field.distance(warped.canonical)[:, None], made.sharpness()
    before, after = (torch.sigmoid((distance - sign * slope * width / 2) * sharpness) for sign in (1, -1))
    torch.testing.assert_close(found, ((before - after + 1e-5) / (before + 1e-5)).clamp(0, 1), atol=1e-6, rtol=1e-6)


def test_gradients_of_the_eikonal_loss_stay_canonical() -> None:
    found = render(Sphere(), canonical_rays(), AffineWarp(torch.diag(torch.tensor([1.0, 2.0, 0.5]))))
    torch.testing.assert_close(torch.linalg.vector_norm(found.gradients, dim=-1), torch.ones(len(found.gradients)))
    assert torch.isfinite(found.color).all()


def test_the_radiance_sees_canonical_places_and_directions() -> None:
    motion, asked = turned_head(), []

    def spy(positions: Tensor, sample: FieldSample, directions: Tensor) -> Tensor:
        asked.append((positions, directions))
        return positions

    origins, directions, jitter = canonical_rays(5)
    posed = origins @ motion[:3, :3].mT + motion[:3, 3], directions @ motion[:3, :3].mT, jitter
    renderer()(Sphere(), spy, *posed, warp=RigidWarp(motion))  # type: ignore[arg-type]
    positions, seen_along = asked[0]
    torch.testing.assert_close(seen_along, directions.repeat_interleave(24, dim=0), atol=1e-6, rtol=0)
    along = torch.nn.functional.normalize(positions - origins.repeat_interleave(24, dim=0), dim=-1)
    torch.testing.assert_close(along, seen_along, atol=1e-5, rtol=0)


def test_a_field_learns_from_posed_rays() -> None:
    field, made = learned(), renderer()
    motion = turned_head()
    origins, directions, jitter = canonical_rays()
    posed = origins @ motion[:3, :3].mT + motion[:3, 3], directions @ motion[:3, :3].mT, jitter
    gradients = []
    for rays, warp in (((origins, directions, jitter), None), (posed, RigidWarp(motion))):
        field.zero_grad()
        seen = made(field, color, *rays, warp=warp)
        (seen.depth.sum() + seen.color.sum()).backward()
        gradients.append(torch.cat([each.grad.reshape(-1) for each in field.parameters() if each.grad is not None]))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-3 * float(gradients[0].abs().max()), rtol=0)
