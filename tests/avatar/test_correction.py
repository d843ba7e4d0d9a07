"""Surfel correction: surfels that it must not change, and discs on surfaces with known deformations."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.correction import CorrectionSource, SurfelCorrection
from sage_ns.geometry import (
    axis_angle_to_matrix,
    matrix_to_quaternion,
    nearest_triangles,
    quaternion_to_matrix,
    triangle_frames,
)
from sage_ns.raster import Surfels
from sage_ns.rig import HeadModel, Regions, pose_vertices, to_local, to_world
from tests.geometry.test_stretch_curvature import on_cylinder, sheet
from tests.tiny import tiny_head_model, tiny_params

HEAD = tiny_head_model()
POSED = pose_vertices(HEAD, tiny_params(HEAD, num_timesteps=1, size=0.15))[0]
TURN = axis_angle_to_matrix(torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64))
SOURCES = get_args(CorrectionSource)


def sheet_model() -> HeadModel:
    """A flat "head" of 1058 triangles without regions, 4 cm wide."""
    vertices, triangles = sheet()
    weights = torch.zeros(len(vertices), 5)
    weights[:, 0] = 1
    return replace(
        HEAD, v_template=vertices.float(), triangles=triangles, skinning_weights=weights, regions=Regions({})
    )


class Rider:
    """Surfels bound to a head model at its template, in float64, and their correction."""

    def __init__(
        self, model: HeadModel, num: int, source: CorrectionSource, gamma: float = 0.0, off_surface: float = 0.0
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        self.model, self.canonical = model, model.v_template.double()
        self.triangle = torch.randint(len(model.triangles), (num,), generator=generator).sort().values
        barycentric = torch.rand(num, 3, generator=generator, dtype=torch.float64)
        barycentric /= barycentric.sum(-1, keepdim=True)
        means = (self.canonical[model.triangles[self.triangle]] * barycentric[..., None]).sum(1)
        means = means + off_surface * torch.randn(num, 3, generator=generator, dtype=torch.float64)
        frames = triangle_frames(self.canonical, model.triangles)[self.triangle]
        base, normal, away = frames.rotation.unbind(-1)
        spin = 3 * torch.rand(num, 1, generator=generator, dtype=torch.float64)
        first, second = base * spin.cos() + away * spin.sin(), away * spin.cos() - base * spin.sin()
        quaternions = matrix_to_quaternion(torch.stack([second, first, normal], dim=-1))
        scales = 1e-3 * (0.2 + torch.rand(num, 2, generator=generator, dtype=torch.float64))
        self.means, self.local = means, to_local(means, quaternions, scales, frames)
        self.correction = SurfelCorrection(means, self.triangle, model, self.canonical, source, gamma)

    def placed(self, vertices: Tensor) -> Surfels:
        frames = triangle_frames(vertices, self.model.triangles)[self.triangle]
        num = len(self.triangle)
        opacities, colors = torch.ones(num, dtype=torch.float64), torch.ones(num, 3, dtype=torch.float64)
        return Surfels(*to_world(*self.local, frames), opacities, colors)

    def corrected(self, vertices: Tensor) -> Surfels:
        deformation = self.correction.at(vertices, triangle_frames(vertices, self.model.triangles))
        return self.correction.apply(self.placed(vertices), deformation)


def covariances(surfels: Surfels) -> Tensor:
    """Return covariances in world axes, which do not depend on order and sign of the axes of a disc."""
    axes = quaternion_to_matrix(surfels.quaternions)[..., :2] * surfels.scales[:, None]
    return axes @ axes.mT


def assert_drawn_alike(found: Surfels, expected: Surfels, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found.means, expected.means, atol=tolerance, rtol=0)
    size = float(expected.scales.max()) ** 2
    torch.testing.assert_close(covariances(found), covariances(expected), atol=tolerance * size, rtol=0)


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_happens_at_the_canonical_moment(source: CorrectionSource) -> None:
    rider = Rider(HEAD, 300, source, gamma=1.0, off_surface=0.002)
    placed = rider.placed(rider.canonical)
    frames = triangle_frames(rider.canonical, HEAD.triangles)
    assert rider.correction.apply(placed, rider.correction.at(rider.canonical.clone(), frames)) is placed


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("source", SOURCES)
def test_rigid_motion_changes_nothing_and_a_scale_is_applied_once(source: CorrectionSource, scale: float) -> None:
    """The placed surfels have the triangle's k_t / k_0 already."""
    rider = Rider(HEAD, 300, source, gamma=1.0, off_surface=0.002)
    assert rider.correction.corrected.any()
    moved = scale * rider.canonical @ TURN.T + 0.3
    assert_drawn_alike(rider.corrected(moved), rider.placed(moved))
    placed = rider.placed(moved)
    torch.testing.assert_close(placed.scales, scale * rider.placed(rider.canonical).scales)


@pytest.mark.parametrize("source", ["transport", "carried"])
def test_a_uniform_stretch_maps_discs_as_it_maps_the_plane(source: CorrectionSource) -> None:
    rider = Rider(sheet_model(), 400, source)
    gradient = TURN @ torch.tensor([[1.5, 0.3, 0.0], [-0.2, 0.7, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    found = rider.corrected(rider.canonical @ gradient.T)
    canonical = covariances(rider.placed(rider.canonical))
    torch.testing.assert_close(covariances(found), gradient @ canonical @ gradient.T, atol=1e-14, rtol=0)
    if source == "carried":
        torch.testing.assert_close(found.means, rider.means @ gradient.T, atol=1e-9, rtol=0)


def test_paper_reading_gives_each_axis_the_stretch_of_its_rank() -> None:
    rider = Rider(sheet_model(), 2000, "gradient")
    stretched = rider.canonical * torch.tensor([1.5, 0.8, 1.0], dtype=torch.float64)
    found, before = rider.corrected(stretched), rider.placed(rider.canonical)
    corrected = rider.correction.corrected
    assert corrected.float().mean() > 0.5
    ratio = (found.scales / before.scales)[corrected].sort(dim=-1, descending=True).values
    torch.testing.assert_close(ratio, torch.tensor([1.5, 0.8]).to(ratio).expand_as(ratio))
    longer_first = (before.scales[:, 0] > before.scales[:, 1])[corrected]
    factors = (found.scales / before.scales)[corrected]
    assert ((factors[:, 0] > factors[:, 1]) == longer_first).all()
    # Similarity transforms have no direction of stretch.
    rider = Rider(sheet_model(), 2000, "similarity")
    factors = rider.corrected(stretched).scales / rider.placed(stretched).scales
    torch.testing.assert_close(factors[:, 0], factors[:, 1])


@pytest.mark.parametrize("source", ["similarity", "gradient", "transport"])
def test_the_normal_is_preserved(source: CorrectionSource) -> None:
    rider = Rider(HEAD, 300, source, gamma=1.0)
    posed = POSED.double()
    normals = [quaternion_to_matrix(each.quaternions)[..., 2] for each in (rider.corrected(posed), rider.placed(posed))]
    torch.testing.assert_close(*normals, atol=1e-12, rtol=0)


@pytest.mark.parametrize("source", ["transport", "carried"])
def test_rolling_up_shortens_discs_around_the_axis_alone(source: CorrectionSource) -> None:
    model, radius = sheet_model(), 0.01
    model = replace(model, v_template=sheet(num=40, jitter=0.0)[0].float(), triangles=sheet(num=40)[1])
    model = replace(model, skinning_weights=model.skinning_weights[:1].expand(1600, 5))
    rolled = on_cylinder(model.v_template.double(), radius)
    plain, shortened = (Rider(model, 200, source, gamma).corrected(rolled) for gamma in (0.0, 1.0))
    inner = (Rider(model, 200, source).means[:, :2].abs() < 0.015).all(dim=-1)
    directions = quaternion_to_matrix(plain.quaternions)[..., :2]
    # Normal curvature in a direction at angle a to the axis of the cylinder: sin(a)^2 / radius.
    curvature = (1 - directions[:, 1] ** 2) / radius
    expected = 1 / (1 + curvature * plain.scales)
    torch.testing.assert_close((shortened.scales / plain.scales)[inner], expected[inner], atol=0, rtol=0.02)


def test_hair_and_surfels_far_from_their_triangles_are_not_corrected() -> None:
    rider = Rider(HEAD, 2000, "carried", off_surface=0.02)
    frames = triangle_frames(rider.canonical, HEAD.triangles)[rider.triangle]
    far = (rider.means - frames.origin).norm(dim=-1) > frames.scale
    hair = HEAD.regions.triangle_mask("hair", HEAD.triangles)[rider.triangle]
    assert far.any() and hair.any() and (~far & ~hair).any()
    posed = POSED.double()
    found, placed = rider.corrected(posed), rider.placed(posed)
    for name in ("means", "quaternions", "scales"):
        before, after = getattr(placed, name), getattr(found, name)
        assert torch.equal(before[far | hair], after[far | hair])
        changed = (before != after).any(dim=-1)[~far & ~hair]
        assert changed.float().mean() > 0.9


def test_sources_with_neighbours_do_not_correct_isolated_surfels() -> None:
    assert not Rider(HEAD, 5, "gradient").correction.corrected.any()
    assert Rider(HEAD, 5, "transport").correction.corrected.any()


def test_carried_surfels_do_not_tear_at_the_borders_of_triangles() -> None:
    """Surfels along a line over a stretched and bent sheet: steps between neighbours stay even."""
    model = sheet_model()
    line = torch.zeros(4000, 3, dtype=torch.float64)
    line[:, 0] = torch.linspace(-0.015, 0.015, 4000, dtype=torch.float64)
    line[:, 1] = 0.3 * line[:, 0]
    canonical = model.v_template.double()
    bent = canonical.clone()
    bent[:, 0] += 0.2 * canonical[:, 0] * (200 * canonical[:, 1]).sin()
    bent[:, 2] = 0.003 * (250 * canonical[:, 0]).sin()
    triangle = nearest_triangles(line, canonical, model.triangles).triangle
    assert len(triangle.unique()) > 20
    before, after = (triangle_frames(each, model.triangles)[triangle] for each in (canonical, bent))
    quaternion = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(len(line), 4)
    local = to_local(line, quaternion, torch.full((len(line), 2), 1e-3, dtype=torch.float64), before)
    surfels = Surfels(*to_world(*local, after), torch.ones(len(line)).double(), torch.ones(len(line), 3).double())
    correction = SurfelCorrection(line, triangle, model, canonical, "carried")
    found = correction.apply(surfels, correction.at(bent, triangle_frames(bent, model.triangles)))
    for value, limit in ((lambda each: each.means, 2e-5), (lambda each: 1e3 * covariances(each).flatten(1), 2e-5)):
        assert float(value(found).diff(dim=0).norm(dim=-1).max()) < limit
        assert float(value(surfels).diff(dim=0).norm(dim=-1).max()) > 3 * limit


@pytest.mark.parametrize("source", SOURCES)
def test_gradients_reach_placed_surfels(source: CorrectionSource) -> None:
    rider = Rider(HEAD, 200, source, gamma=0.5)
    posed = POSED.double()
    placed = rider.placed(posed)
    leaves = [getattr(placed, name).clone().requires_grad_() for name in ("means", "quaternions", "scales")]
    deformation = rider.correction.at(posed, triangle_frames(posed, HEAD.triangles))
    means, quaternions, scales = leaves
    found = rider.correction.apply(replace(placed, means=means, quaternions=quaternions, scales=scales), deformation)
    generator = torch.Generator().manual_seed(0)
    outputs = [found.means, found.quaternions, found.scales]
    weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in outputs]
    to_means, to_quaternions, to_scales = torch.autograd.grad(outputs, leaves, weights)
    # Constant factors and turns make the result linear in each: its gradient times the input is the result again.
    torch.testing.assert_close((to_scales * leaves[2]).sum(), (weights[2] * found.scales).sum())
    torch.testing.assert_close((to_quaternions * leaves[1]).sum(), (weights[1] * found.quaternions).sum())
    assert to_means.isfinite().all() and (to_means != 0).all()


def test_a_head_with_degenerate_triangles_is_corrected_like_one_without() -> None:
    rider = Rider(HEAD, 200, "carried")
    with_them = replace(HEAD, triangles=torch.cat([HEAD.triangles, torch.tensor([[0, 0, 1], [5, 5, 5]])]))
    correction = SurfelCorrection(rider.means, rider.triangle, with_them, rider.canonical)
    posed = POSED.double()
    found = correction.apply(rider.placed(posed), correction.at(posed, triangle_frames(posed, with_them.triangles)))
    assert_drawn_alike(found, rider.corrected(posed))


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_single_precision_agrees_with_double(gamma: float) -> None:
    """Without curvature single precision is compiled."""
    rider = Rider(HEAD, 300, "carried", gamma, off_surface=0.01)
    posed = POSED.double()
    placed = rider.placed(posed).to(dtype=torch.float32)
    correction = SurfelCorrection(rider.means.float(), rider.triangle, HEAD, HEAD.v_template, "carried", gamma)
    deformation = correction.at(POSED, triangle_frames(POSED, HEAD.triangles))
    found = correction.apply(placed, deformation)
    assert found.means.dtype == torch.float32
    assert_drawn_alike(found.to(dtype=torch.float64), rider.corrected(posed), tolerance=1e-5)
    alone = ~correction.corrected
    assert torch.equal(found.means[alone], placed.means[alone]) and alone.any()


def test_compiled_gradients_agree_with_double() -> None:
    rider = Rider(HEAD, 300, "carried", off_surface=0.01)
    compiled = SurfelCorrection(rider.means.float(), rider.triangle, HEAD, HEAD.v_template)
    gradients = []
    for correction, posed in ((rider.correction, POSED.double()), (compiled, POSED)):
        placed = rider.placed(POSED.double()).to(dtype=posed.dtype)
        leaves = [getattr(placed, name).clone().requires_grad_() for name in ("means", "quaternions", "scales")]
        deformation = correction.at(posed, triangle_frames(posed, HEAD.triangles))
        means, quaternions, scales = leaves
        found = correction.apply(replace(placed, means=means, quaternions=quaternions, scales=scales), deformation)
        generator = torch.Generator().manual_seed(0)
        outputs = (found.means, quaternion_to_matrix(found.quaternions), found.scales)
        weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64).to(each) for each in outputs]
        gradients.append(torch.autograd.grad(outputs, leaves, weights))
    for double, single in zip(*gradients, strict=True):
        torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)
