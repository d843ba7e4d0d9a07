"""Rays transformed from the posed rig to the canonical one, and their hits on its triangles."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.geometry.mesh_queries import first_triangles
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.geometry.triangles import triangle_frames, triangle_normals
from sage_ns.rig.warp import meeting_points, to_canonical
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
CANONICAL = HEAD.v_template.double()
TRIANGLES = HEAD.triangles


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1.0, 1.7, 0.6])
def test_a_moved_and_scaled_mesh_gives_back_the_canonical_ray(size: float) -> None:
    turn = axis_angle_to_matrix(torch.tensor([0.4, -1.1, 0.3], dtype=torch.float64))
    shift = torch.tensor([0.1, -0.2, 0.5], dtype=torch.float64)
    posed = triangle_frames(size * CANONICAL @ turn.T + shift, TRIANGLES)
    origins, directions = random(len(TRIANGLES), 3), random(len(TRIANGLES), 3, seed=1)
    back = to_canonical(
        size * origins @ turn.T + shift, directions @ turn.T, posed, triangle_frames(CANONICAL, TRIANGLES)
    )
    torch.testing.assert_close(back[0], origins, rtol=0, atol=1e-8)
    torch.testing.assert_close(back[1], directions, rtol=0, atol=1e-8)


def test_a_ray_follows_its_own_triangle_however_the_mesh_deforms() -> None:
    deformed = CANONICAL + 0.01 * random(*CANONICAL.shape)
    canonical, posed = triangle_frames(CANONICAL, TRIANGLES), triangle_frames(deformed, TRIANGLES)
    height = posed.scale * random(len(TRIANGLES), seed=1)
    origins, directions = to_canonical(
        posed.origin + height[:, None] * posed.normal, -2.5 * posed.normal, posed, canonical
    )
    above = canonical.origin + (height * canonical.scale / posed.scale)[:, None] * canonical.normal
    torch.testing.assert_close(origins, above, rtol=0, atol=1e-12)
    torch.testing.assert_close(directions, -2.5 * canonical.normal, rtol=0, atol=1e-12)


def test_distances_along_a_ray_shrink_as_its_triangle_has_grown() -> None:
    canonical = triangle_frames(CANONICAL, TRIANGLES)
    posed = triangle_frames(CANONICAL * torch.tensor([1.3, 0.9, 1.1], dtype=torch.float64), TRIANGLES)
    origins, directions = random(len(TRIANGLES), 3), F.normalize(random(len(TRIANGLES), 3, seed=1), dim=-1)
    start, gaze = to_canonical(origins, directions, posed, canonical)
    later, _ = to_canonical(origins + 0.7 * directions, directions, posed, canonical)
    torch.testing.assert_close(later, start + 0.7 * (canonical.scale / posed.scale)[:, None] * gaze)
    torch.testing.assert_close(gaze.norm(dim=-1), torch.ones(len(TRIANGLES), dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rays_meet_the_plane_of_their_triangle(dtype: torch.dtype) -> None:
    """The plane y = 2 + x / 2, in closed form; distances are in lengths of the direction."""
    vertices = torch.tensor([[0.0, 2.0, 0.0], [2.0, 3.0, 0.0], [0.0, 2.0, 1.0]], dtype=dtype)
    origins = torch.tensor([[0.0, 0.0, 7.0], [4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, 4.0, 0.0]], dtype=dtype)
    directions = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 3.0], [0.0, 1.0, 1.0], [4.0, 1.0, 0.0]], dtype=dtype)
    expected = [2.0, 8.0, -2.5, 2.0]
    found = meeting_points(origins, directions, vertices, torch.tensor([[0, 1, 2]]), torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=dtype))


def test_rays_along_a_plane_and_triangles_without_area_give_zero() -> None:
    vertices = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    triangles, origins = torch.tensor([[0, 1, 2], [0, 1, 1]]), torch.zeros(2, 3)
    directions = torch.tensor([[0.3, -0.8, 0.0], [0.0, 0.0, 1.0]])
    assert meeting_points(origins, directions, vertices, triangles, torch.tensor([0, 1])).tolist() == [0.0, 0.0]


def test_the_points_lie_on_the_triangles_of_the_ray_cast() -> None:
    origins = 0.5 * F.normalize(random(300, 3), dim=-1)
    directions = -3.0 * origins + 0.1 * random(300, 3, seed=1)
    hits = first_triangles(CANONICAL, TRIANGLES, origins, directions)
    met = hits >= 0
    assert met.sum() > 100
    distance = meeting_points(origins[met], directions[met], CANONICAL, TRIANGLES, hits[met])
    points = origins[met] + distance[:, None] * directions[met]
    corners = CANONICAL[TRIANGLES[hits[met]]]
    normals = triangle_normals(CANONICAL, TRIANGLES)[hits[met]]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, second] - corners[:, first]
        side = (torch.linalg.cross(edge, points - corners[:, first]) * normals).sum(dim=-1)
        assert (side > -1e-8).all(), "on the inner side of every edge"
