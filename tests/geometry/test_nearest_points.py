"""The compiled search against the definition."""

from __future__ import annotations

import pytest
import torch

from sage_ns.geometry.nearest_points import NearestPoints


def cloud(count: int, size: float, seed: int) -> torch.Tensor:
    """Points on a sphere, as those of a head lie on a surface, and denser on one side."""
    points = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return size * (points + torch.tensor([0.0, 0.0, 0.7]) * (points[:, :1] > 0)) + torch.tensor([0.3, -0.2, 1.0])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("num_points", [4, 300, 5000])
def test_the_nearest_are_found(num_points: int, count: int) -> None:
    points = cloud(num_points, 0.1, 0)
    generator = torch.Generator().manual_seed(1)
    near = points[torch.randint(num_points, (900,), generator=generator)]
    near = near + 0.02 * torch.randn(900, 3, generator=generator)
    places = torch.cat([near, 2 * torch.rand(300, 3, generator=generator), points[:4]])
    search = NearestPoints(points, count, 0.03)
    found, expected = search(places), search.by_all_distances(places)
    assert torch.equal(found.index, expected.index)
    torch.testing.assert_close(found.distance, expected.distance, atol=1e-6, rtol=0)
    assert bool(torch.isinf(found.distance).any()) and bool(torch.isfinite(found.distance).any())


def test_what_is_out_of_reach_is_not_found() -> None:
    search = NearestPoints(torch.eye(3), 2, 0.03)
    found = search(torch.tensor([[1.0, 0.029, 0.0], [1.0, 0.031, 0.0], [-100.0, 5.0, 1e6]]))
    assert found.index.tolist() == [[0, 0]] * 3
    assert torch.isfinite(found.distance).tolist() == [[True, False], [False, False], [False, False]]


def test_float64_places_and_none_at_all() -> None:
    search = NearestPoints(cloud(20, 0.1, 0).double(), 3, 0.03)
    assert search(torch.zeros(2, 3, dtype=torch.float64)).distance.dtype == torch.float64
    assert search(torch.zeros(0, 3)).index.shape == search.by_all_distances(torch.zeros(0, 3)).index.shape == (0, 3)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 points, expected at least 3"):
        NearestPoints(torch.zeros(2, 3), 3, 0.03)
