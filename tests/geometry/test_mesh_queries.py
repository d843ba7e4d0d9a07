from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage_ns.geometry import barycentric_to_points, nearest_triangles, sample_triangles, triangle_areas
from tests.tiny import tiny_head_model


def brute_force_distances(points: Tensor, vertices: Tensor, triangles: Tensor) -> Tensor:
    """Distance of every point to every triangle, by Ericson's region test (Real-Time Collision Detection, 5.1.5)."""
    distances = torch.empty(len(points), len(triangles), dtype=torch.float64)
    for f, (a, b, c) in enumerate(vertices[triangles].double()):
        for i, p in enumerate(points.double()):
            distances[i, f] = (p - closest_point(p, a, b, c)).norm()
    return distances


def closest_point(p: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    ab, ac = b - a, c - a
    d1, d2 = ab @ (p - a), ac @ (p - a)
    d3, d4 = ab @ (p - b), ac @ (p - b)
    d5, d6 = ab @ (p - c), ac @ (p - c)
    if d1 <= 0 and d2 <= 0:
        return a
    if d3 >= 0 and d4 <= d3:
        return b
    if d6 >= 0 and d5 <= d6:
        return c
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if vc <= 0 and d1 >= 0 and d3 <= 0:
        return a + d1 / (d1 - d3) * ab
    if vb <= 0 and d2 >= 0 and d6 <= 0:
        return a + d2 / (d2 - d6) * ac
    if va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        return b + (d4 - d3) / ((d4 - d3) + (d5 - d6)) * (c - b)
    return a + (ab * vb + ac * vc) / (va + vb + vc)


@pytest.mark.parametrize("reach", [0.005, 0.05, 1.0])
def test_nearest_triangle_is_the_one_of_brute_force(reach: float) -> None:
    model = tiny_head_model()  # open at the neck, in three pieces
    generator = torch.Generator().manual_seed(1)
    near = model.v_template[torch.randint(model.num_vertices, (40,), generator=generator)]
    points = near + reach * torch.randn(40, 3, generator=generator)
    found = nearest_triangles(points, model.v_template, model.triangles)
    expected = brute_force_distances(points, model.v_template, model.triangles)
    torch.testing.assert_close(found.distance.double(), expected.min(dim=1).values, rtol=1e-5, atol=1e-7)
    chosen = expected.gather(1, found.triangle[:, None])[:, 0]
    torch.testing.assert_close(chosen, expected.min(dim=1).values, rtol=0, atol=1e-7)
    closest = barycentric_to_points(model.v_template, model.triangles, found.triangle, found.barycentric)
    torch.testing.assert_close((points - closest).norm(dim=-1), found.distance, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.barycentric.sum(-1), torch.ones(40))
    assert (found.barycentric >= 0).all()


def test_triangles_of_very_different_size() -> None:
    generator = torch.Generator().manual_seed(2)
    centers = torch.rand(60, 1, 3, generator=generator)
    sizes = 10 ** (-4 * torch.rand(60, 1, 1, generator=generator))
    vertices = (centers + sizes * torch.randn(60, 3, 3, generator=generator)).flatten(0, 1).double()
    triangles = torch.arange(180).reshape(60, 3)
    points = torch.rand(30, 3, generator=generator).double()
    found = nearest_triangles(points, vertices, triangles)
    expected = brute_force_distances(points, vertices, triangles).min(dim=1).values
    torch.testing.assert_close(found.distance, expected, rtol=0, atol=1e-7)


def test_points_on_the_surface_have_distance_zero() -> None:
    model = tiny_head_model()
    triangle = torch.arange(model.num_triangles)
    barycentric = torch.full((model.num_triangles, 3), 1 / 3)
    points = barycentric_to_points(model.v_template, model.triangles, triangle, barycentric)
    found = nearest_triangles(points, model.v_template, model.triangles)
    assert torch.equal(found.triangle, triangle)
    torch.testing.assert_close(found.barycentric, barycentric, rtol=0, atol=1e-4)
    assert found.distance.max() < 1e-7


def test_triangles_without_area_are_left_out() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]])
    triangles = torch.tensor([[0, 1, 2], [0, 1, 3]])
    points = torch.tensor([[1.7, 1, 0], [-1, 0, 0]])
    assert nearest_triangles(points, vertices, triangles).triangle.tolist() == [1, 1]
    with pytest.raises(ValueError, match="area"):
        nearest_triangles(points, vertices, triangles[:1])


def test_bad_queries_are_refused() -> None:
    model = tiny_head_model()
    with pytest.raises(ValueError, match="finite"):
        nearest_triangles(torch.tensor([[0.0, float("nan"), 0]]), model.v_template, model.triangles)
    with pytest.raises(ValueError, match="no triangles"):
        nearest_triangles(torch.zeros(1, 3), model.v_template, model.triangles[:0])
    assert len(nearest_triangles(torch.zeros(0, 3), model.v_template, model.triangles).triangle) == 0


def test_systematic_sampling_is_never_off_by_more_than_one() -> None:
    model = tiny_head_model()
    weights = triangle_areas(model.v_template, model.triangles)
    weights[5] = 0
    drawn = sample_triangles(weights, 1000, torch.Generator().manual_seed(0))
    counts = drawn.bincount(minlength=model.num_triangles)
    expected = 1000 * weights / weights.sum()
    assert counts[5] == 0
    assert ((counts - expected).abs() < 1 + 1e-3).all()
    assert torch.equal(drawn, sample_triangles(weights, 1000, torch.Generator().manual_seed(0)))
    assert torch.equal(drawn, drawn.sort().values)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")], []])
def test_weights_that_cannot_be_drawn_from_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        sample_triangles(torch.tensor(weights), 3)


def test_barycentric_points_of_a_moving_mesh() -> None:
    model = tiny_head_model()
    both = torch.stack([model.v_template, model.v_template + 1])
    barycentric = torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5]])
    points = barycentric_to_points(both, model.triangles, torch.tensor([0, 3]), barycentric)
    torch.testing.assert_close(points[0, 0], model.v_template[model.triangles[0, 0]])
    torch.testing.assert_close(points[0, 1], model.v_template[model.triangles[3, 1:]].mean(0))
    torch.testing.assert_close(points[1], points[0] + 1)
