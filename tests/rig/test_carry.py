"""Points carried by the rig."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.geometry import axis_angle_to_matrix, triangle_frames
from sage_ns.rig import pose_vertices
from sage_ns.rig.carry import CarriedPoints
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
CANONICAL = MODEL.v_template
POSED = pose_vertices(MODEL, tiny_params(MODEL, num_timesteps=1, size=0.15))[0]


def points_around(num: int, off_surface: float) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    triangle = torch.randint(len(MODEL.triangles), (num,), generator=generator)
    barycentric = torch.rand(num, 3, generator=generator)
    on_surface = (
        CANONICAL[MODEL.triangles[triangle]] * (barycentric / barycentric.sum(-1, keepdim=True))[..., None]
    ).sum(1)
    return on_surface + off_surface * torch.randn(num, 3, generator=generator)


def test_stays_where_it_is_in_the_canonical_pose() -> None:
    points = points_around(200, 0.01)
    carried = CarriedPoints(points, CANONICAL, MODEL.triangles).at(CANONICAL)
    torch.testing.assert_close(carried.points, points, atol=1e-6, rtol=0)
    torch.testing.assert_close(carried.rotations, torch.eye(3).expand(200, 3, 3), atol=1e-5, rtol=0)


def test_follows_a_rigid_motion_exactly() -> None:
    points = points_around(200, 0.03).double()
    vertices = CANONICAL.double()
    turn = axis_angle_to_matrix(torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64))
    shift = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64)
    carried = CarriedPoints(points, vertices, MODEL.triangles).at(vertices @ turn.T + shift)
    torch.testing.assert_close(carried.points, points @ turn.T + shift, atol=1e-9, rtol=0)
    vectors = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(carried.turned(vectors), vectors @ turn.T, atol=1e-9, rtol=0)


def test_vertices_of_the_rig_land_on_the_posed_rig() -> None:
    carried = CarriedPoints(CANONICAL, CANONICAL, MODEL.triangles).at(POSED)
    used = MODEL.triangles.unique()
    torch.testing.assert_close(carried.points[used], POSED[used], atol=1e-6, rtol=0)


def test_rotations_are_rotations_under_any_pose() -> None:
    carried = CarriedPoints(points_around(200, 0.01), CANONICAL, MODEL.triangles).at(POSED)
    torch.testing.assert_close(
        carried.rotations @ carried.rotations.mT, torch.eye(3).expand(200, 3, 3), atol=1e-5, rtol=0
    )
    assert torch.linalg.det(carried.rotations).min() > 0.99


def test_does_not_tear_at_the_borders_of_triangles() -> None:
    """A closed line around the head, some millimetres off it, stays a line where its triangles bend and shear."""
    angle = torch.linspace(0, 2 * torch.pi, 4001)
    line = torch.stack([0.084 * angle.sin(), torch.full_like(angle, -0.04), 0.094 * angle.cos()], dim=-1)
    carry = CarriedPoints(line, CANONICAL, MODEL.triangles)
    assert len(carry.triangle.unique()) > 10
    assert carry.offset.norm(dim=-1).median() > 0.005
    bent = POSED + 0.01 * torch.sin(60 * POSED[:, [1, 2, 0]])
    carried = carry.at(bent)
    spacing = line.diff(dim=0).norm(dim=-1).max()
    assert carried.points.diff(dim=0).norm(dim=-1).max() < 4 * spacing
    assert carried.rotations.diff(dim=0).abs().max() < 0.05
    own_triangle = (
        triangle_frames(bent, MODEL.triangles).rotation @ triangle_frames(CANONICAL, MODEL.triangles).rotation.mT
    )
    assert own_triangle[carry.triangle].diff(dim=0).abs().max() > 0.3  # the frames of the own triangles jump


def test_triangles_without_area_do_no_harm() -> None:
    triangles = torch.cat([MODEL.triangles, torch.tensor([[0, 0, 1], [5, 5, 5]])])
    points = points_around(100, 0.01)
    with_them = CarriedPoints(points, CANONICAL, triangles).at(POSED).points
    without = CarriedPoints(points, CANONICAL, MODEL.triangles).at(POSED).points
    torch.testing.assert_close(with_them, without)
