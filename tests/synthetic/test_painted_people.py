"""People who are painted once and seen in many poses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, pose_vertices
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.painted import PaintingPlaces, albedo_at
from sage_ns.synthetic.painted_people import PaintedPeople, _quadratic, unlit_values
from sage_ns.synthetic.random_look import random_look


@pytest.fixture(scope="module")
def people() -> PaintedPeople:
    return PaintedPeople(builtin_head())


def camera(side: int = 48) -> PinholeCamera:
    pose = torch.eye(4)
    pose[2, 3] = 0.9
    return PinholeCamera.from_opengl(pose, 3.0 * side, 3.0 * side, side / 2, side / 2, side, side)


def test_the_vertices_have_the_painters_colours(people: PaintedPeople) -> None:
    head, look = builtin_head(), random_look(7)
    rows = torch.arange(0, head.num_vertices, 50)
    from sage_ns.synthetic.painted import PAINTED_BROWS

    look = replace(look, brows=replace(look.brows, shade=PAINTED_BROWS))
    expected = albedo_at(PaintingPlaces.on(head).joined()[rows].double().numpy(), look) ** (1 / 2.2)
    torch.testing.assert_close(people.paint(7)[rows], torch.from_numpy(expected).float(), atol=1e-4, rtol=1e-4)


def test_a_picture_has_colour_normals_and_coverage(people: PaintedPeople) -> None:
    vertices = builtin_head().v_template
    channels = people.seen(vertices, camera(), people.paint(7)).channels
    color, normal, cover = unlit_values(channels)
    found = project(vertices, camera())
    assert float(cover[found.row[found.inside], found.column[found.inside]].mean()) > 0.9
    whole = cover[..., 0] == 1
    assert float((normal[whole].norm(dim=-1) - 1).abs().mean()) < 0.1
    assert float(normal[whole][:, 2].min()) > -0.2  # what is seen faces the camera
    outside = cover[..., 0] == 0
    assert not color[outside].any() and float(normal[outside].abs().max()) < 0.01
    assert 0.1 < float(color[whole].mean()) < 0.9


def test_another_pose_needs_no_painting(people: PaintedPeople) -> None:
    head, paint = builtin_head(), people.paint(7)
    turned = replace(FlameParams.neutral(head), rotation=torch.tensor([[0.0, 0.6, 0.0]]))
    first, second, again = (
        people.seen(vertices, camera(), paint).channels
        for vertices in (head.v_template, pose_vertices(head, turned)[0], head.v_template)
    )
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_quadratic_functions_are_interpolated_exactly() -> None:
    """Values at the corners and at the middles of the opposite sides determine a quadratic function."""

    def function(weights: torch.Tensor) -> torch.Tensor:
        x, y = weights[:, 0], weights[:, 1]
        return 1 + 2 * x - y + 3 * x * y - x**2

    nodes = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    inside = torch.rand(20, 3)
    inside = inside / inside.sum(dim=1, keepdim=True)
    torch.testing.assert_close(_quadratic(inside) @ function(nodes), function(inside))
