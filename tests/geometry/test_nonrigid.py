"""Splines through landmarks, and surfaces drawn onto others."""

from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.nonrigid import drawn_onto, spline_through
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.vertex_means import vertex_normals
from tests.tiny import tiny_head_model


def test_a_spline_takes_every_landmark_to_its_target() -> None:
    generator = torch.Generator().manual_seed(0)
    sources, targets = torch.randn(2, 12, 3, generator=generator)
    torch.testing.assert_close(spline_through(sources, targets, sources), targets, atol=1e-5, rtol=0)


def test_a_spline_through_affinely_moved_landmarks_is_that_affine_map() -> None:
    generator = torch.Generator().manual_seed(1)
    sources, points = torch.randn(2, 20, 3, generator=generator)
    matrix, shift = torch.randn(3, 3, generator=generator), torch.tensor([1.0, -2.0, 3.0])
    moved = spline_through(sources, sources @ matrix + shift, points)
    torch.testing.assert_close(moved, points @ matrix + shift, atol=1e-4, rtol=1e-4)


def test_a_mesh_drawn_onto_a_larger_one_lies_on_it() -> None:
    model = tiny_head_model()
    larger, triangles = 1.1 * model.v_template + torch.tensor([0.0, 0.005, 0.0]), model.triangles
    surface = TriangleMesh(larger, triangles)

    def nearest(vertices: Tensor) -> tuple[Tensor, Tensor]:
        found = surface.closest(vertices)
        return barycentric_to_points(larger, triangles, found.triangle, found.barycentric), torch.ones(
            len(vertices), dtype=torch.bool
        )

    moved = drawn_onto(model.v_template, triangles, nearest, (10.0, 1.0, 0.1, 0.01, 0.001))
    assert surface.closest(moved).distance.max() < 3e-4
    assert surface.closest(model.v_template).distance.max() > 5e-3
    facing = vertex_normals(moved, triangles) * vertex_normals(model.v_template, triangles)
    assert facing.sum(dim=-1)[triangles.unique()].min() > 0.9  # nothing folded over


def test_vertices_without_a_closest_point_follow_their_neighbours() -> None:
    model = tiny_head_model()
    shift = torch.tensor([0.0, 0.0, 0.02])
    has = torch.arange(model.num_vertices) % 3 > 0

    def nearest(vertices: Tensor) -> tuple[Tensor, Tensor]:
        return model.v_template + shift, has

    moved = drawn_onto(model.v_template, model.triangles, nearest, (1.0,))
    torch.testing.assert_close(moved, model.v_template + shift, atol=2e-4, rtol=0)
