from __future__ import annotations

import torch
from torch import Tensor

from sage_ns.geometry.mesh_borders import border_loops
from sage_ns.geometry.signed_distance import close_holes

TETRAHEDRON = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def as_cycle(loop: Tensor) -> list[int]:
    numbers = loop.tolist()
    start = numbers.index(min(numbers))
    return numbers[start:] + numbers[:start]


def test_a_closed_mesh_has_no_border() -> None:
    assert border_loops(TETRAHEDRON) == []
    vertices = torch.rand(4, 3)
    closed = close_holes(vertices, TETRAHEDRON)
    assert torch.equal(closed[0], vertices)
    assert torch.equal(closed[1], TETRAHEDRON)


def test_a_border_runs_as_its_triangles_do() -> None:
    (loop,) = border_loops(TETRAHEDRON[1:])
    assert as_cycle(loop) == [0, 1, 2]  # 0 -> 1 as in triangle (0, 1, 3)


def test_every_hole_of_a_cylinder_and_of_a_second_mesh_is_found() -> None:
    ring = torch.arange(6)
    side = torch.cat(
        [
            torch.stack([ring, (ring + 1) % 6, ring + 6], dim=1),
            torch.stack([(ring + 1) % 6, (ring + 1) % 6 + 6, ring + 6], dim=1),
        ]
    )
    loops = border_loops(torch.cat([side, TETRAHEDRON[1:] + 12]))
    assert [as_cycle(loop) for loop in loops] == [[0, 1, 2, 3, 4, 5], [6, 11, 10, 9, 8, 7], [12, 13, 14]]


def test_borders_that_meet_in_a_vertex_are_separate_loops() -> None:
    bow_tie = torch.tensor([[0, 1, 2], [0, 3, 4]])
    assert sorted(as_cycle(loop) for loop in border_loops(bow_tie)) == [[0, 1, 2], [0, 3, 4]]


def test_edges_of_four_triangles_are_no_border_and_holes_around_them_close() -> None:
    both = torch.cat([TETRAHEDRON, torch.tensor([[0, 4, 1], [0, 1, 5], [1, 4, 5], [4, 0, 5]])])  # share the edge 0-1
    assert border_loops(both) == []
    assert [as_cycle(loop) for loop in border_loops(both[1:])] == [[0, 1, 2]]


def test_triangles_that_name_a_vertex_twice_do_not_disturb() -> None:
    assert border_loops(torch.cat([TETRAHEDRON, torch.tensor([[0, 0, 1], [2, 2, 2]])])) == []


def test_closing_leaves_no_border_and_keeps_the_given_mesh() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    for dropped in range(4):
        triangles = TETRAHEDRON[torch.arange(4) != dropped]
        closed_vertices, closed = close_holes(vertices, triangles)
        assert border_loops(closed) == []
        assert torch.equal(closed[:3], triangles)
        assert torch.equal(closed_vertices[:4], vertices)
        torch.testing.assert_close(closed_vertices[4], vertices[TETRAHEDRON[dropped]].mean(0))
        volume = torch.linalg.det(closed_vertices[closed]).sum() / 6
        torch.testing.assert_close(volume, torch.tensor(1 / 6))  # the fan faces outwards, as the triangle did
