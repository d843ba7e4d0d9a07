"""The field's surface as a mesh: the field of a sphere must give that sphere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import trimesh
from torch import Tensor

from sage_ns.avatar.appearance_network import Appearance
from sage_ns.avatar.field_surface import SurfaceMesh, extract_surface, render_surface, sampled_near_surface
from sage_ns.errors import SageError
from sage_ns.raster import PinholeCamera
from tests.avatar.sphere_field import CENTER, RADIUS, SphereField, reddish_above

CELL = 0.004


def sphere(**options: Any) -> SurfaceMesh:
    return extract_surface(SphereField(**options), reddish_above, CELL)  # type: ignore[arg-type]


def test_radius_normals_and_colours_of_a_sphere() -> None:
    mesh = sphere()
    offset = mesh.vertices - CENTER
    assert (offset.norm(dim=-1) - RADIUS).abs().max() < CELL / 10
    torch.testing.assert_close(mesh.normals, offset / offset.norm(dim=-1, keepdim=True), atol=1e-5, rtol=0)
    upper, lower = offset[:, 1] > 1e-5, offset[:, 1] < -1e-5
    torch.testing.assert_close(mesh.colors[upper].mean(0), torch.tensor([0.9, 0.5, 0.5]))
    torch.testing.assert_close(mesh.colors[lower].mean(0), torch.tensor([0.5, 0.5, 0.5]))


def test_closed_faces_outwards_and_has_one_part() -> None:
    mesh = sphere()
    read = trimesh.Trimesh(mesh.vertices.numpy(), mesh.triangles.numpy(), process=False)
    assert read.is_watertight
    assert read.body_count == 1
    assert read.volume == pytest.approx(4 / 3 * torch.pi * RADIUS**3, rel=0.01)


def test_colours_are_those_seen_along_the_inward_normal() -> None:
    def front_lit(position: Tensor, gradient: Tensor, feature: Tensor) -> Appearance:
        sh = torch.zeros(len(position), 4, 3)
        sh[:, 2] = 1.0  # 0.489 z of the direction of view
        return Appearance(sh, torch.zeros(len(position)))

    mesh = extract_surface(SphereField(), front_lit, CELL)  # type: ignore[arg-type]
    expected = (0.5 - 0.4886025 * mesh.normals[:, 2]).clamp(0, 1)
    torch.testing.assert_close(mesh.colors[:, 1], expected, atol=1e-5, rtol=0)


def test_evaluates_the_field_only_near_its_surface() -> None:
    field = SphereField()
    values = sampled_near_surface(field.distance, CENTER - 0.1, CENTER + 0.1, 0.001)
    assert field.num_asked < 0.3 * values.numel()
    index = (values.abs() < 0.001).nonzero()
    exact = (index * 0.001 - 0.1).norm(dim=-1)
    near_large = exact < 0.06
    torch.testing.assert_close(values[tuple(index[near_large].T)], exact[near_large] - RADIUS, atol=1e-6, rtol=0)


def test_finds_the_same_surface_of_a_field_that_is_too_steep() -> None:
    torch.testing.assert_close(sphere(steepness=1.9).vertices, sphere().vertices, atol=1e-6, rtol=0)


def test_searches_within_bounds() -> None:
    bounds = torch.stack([CENTER - 0.06, CENTER + torch.tensor([0.06, 0.0, 0.06])])
    mesh = extract_surface(SphereField(), reddish_above, CELL, bounds)  # type: ignore[arg-type]
    assert mesh.vertices[:, 1].max() < CENTER[1] + 8 * CELL
    assert mesh.vertices[:, 1].min() == pytest.approx(float(CENTER[1]) - RADIUS, abs=CELL / 10)


def test_refuses_a_field_without_surface_and_a_lattice_that_is_too_large() -> None:
    with pytest.raises(SageError, match="no surface"):
        extract_surface(SphereField(), reddish_above, CELL, torch.stack([CENTER - 0.01, CENTER + 0.01]))  # type: ignore[arg-type]
    with pytest.raises(SageError, match="larger cell size"):
        extract_surface(SphereField(), reddish_above, 1e-5)  # type: ignore[arg-type]


def test_a_camera_sees_the_sphere_where_it_is() -> None:
    intrinsics = torch.tensor([[100.0, 0, 20], [0, 100, 15], [0, 0, 1]])
    T_camera_world = torch.eye(4)
    T_camera_world[:3, :3] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    T_camera_world[:3, 3] = torch.tensor([-CENTER[0], CENTER[1], CENTER[2] + 0.4])
    camera = PinholeCamera(T_camera_world, intrinsics, 40, 30)
    view = render_surface(sphere(), camera)
    assert view.hit.shape == (30, 40, 1)
    # silhouette: sin of the half angle is radius / distance
    across = int(view.hit[15, :, 0].sum())
    assert across == pytest.approx(2 * 100 * RADIUS / (0.4**2 - RADIUS**2) ** 0.5, abs=1.5)
    row, column = 15, 20
    assert float(view.depth[row, column]) == pytest.approx(0.4 - RADIUS, abs=CELL / 5)
    assert float(view.normal[row, column, 2]) > 0.99
    assert view.color[6, 20, 0] > 0.85  # above, where it is red
    assert view.color[24, 20, 0] == pytest.approx(0.5, abs=1e-5)
    assert not view.hit[0, 0]
    assert view.triangle[0, 0] == -1
    assert (view.depth[~view.hit] == 0).all() and (view.normal[~view.hit[..., 0]] == 0).all()
