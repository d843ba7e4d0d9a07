from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage_ns.geometry import TriangleMesh, triangle_normals
from sage_ns.geometry.signed_distance import Solid, signed_distances
from sage_ns.rig.flame_params import FlameParams
from sage_ns.rig.head_model import HeadModel, load_head_model
from sage_ns.rig.regions import EYEBALLS
from sage_ns.rig.skinning import pose_vertices
from sage_ns.synthetic.head import builtin_head

Mesh = tuple[Tensor, Tensor]


def revolved(profile: Tensor, sectors: int) -> Mesh:
    """Turn a profile of (radius, height) about the y axis; it starts and ends on the axis, the solid to its right."""
    turn = 2 * math.pi * torch.arange(sectors, dtype=torch.float64) / sectors
    radius, height = profile[1:-1, 0, None], profile[1:-1, 1, None]
    rings = torch.stack([radius * turn.sin(), height.expand(-1, sectors), radius * turn.cos()], dim=-1)
    poles = torch.stack([torch.zeros(2).double(), profile[[0, -1], 1], torch.zeros(2).double()], dim=-1)
    here = torch.arange(sectors)
    following = here.roll(-1)
    num = len(profile) - 2
    first, last = torch.full_like(here, num * sectors), torch.full_like(here, num * sectors + 1)
    end = (num - 1) * sectors
    triangles = [torch.stack([here, following, first], 1), torch.stack([end + following, end + here, last], 1)]
    for row in range(num - 1):
        upper, lower = row * sectors, (row + 1) * sectors
        triangles.append(torch.stack([upper + here, lower + here, lower + following], 1))
        triangles.append(torch.stack([upper + here, lower + following, upper + following], 1))
    return torch.cat([rings.reshape(-1, 3), poles]), torch.cat(triangles)


def arc(radius: float, start: float, stop: float, num: int) -> Tensor:
    """Points of a circle about the origin, angles in degrees from the y axis."""
    angle = torch.deg2rad(torch.linspace(start, stop, num, dtype=torch.float64))
    return radius * torch.stack([angle.sin(), angle.cos()], dim=-1)


def sphere(radius: float = 1.0, center: tuple[float, float, float] = (0.0, 0.0, 0.0), rings: int = 24) -> Mesh:
    vertices, triangles = revolved(arc(radius, 0, 180, rings + 1), 2 * rings)
    return vertices + torch.tensor(center, dtype=torch.float64), triangles


def joined(*meshes: Mesh) -> Mesh:
    triangles, offset = [], 0
    for vertices, faces in meshes:
        triangles.append(faces + offset)
        offset += len(vertices)
    return torch.cat([vertices for vertices, _ in meshes]), torch.cat(triangles)


def random_points(num: int, reach: float, seed: int = 0) -> Tensor:
    return reach * torch.randn(num, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inside(points: Tensor, vertices: Tensor, triangles: Tensor) -> Tensor:
    return TriangleMesh(vertices, triangles, solid=True).contains(points)


def exact_winding_numbers(points: Tensor, vertices: Tensor, triangles: Tensor) -> Tensor:
    """Sum of all solid angles (van Oosterom and Strackee 1983) in units of the full sphere."""
    a, b, c = (vertices[triangles[:, k]] - points[:, None] for k in range(3))
    la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
    volume = (a * torch.linalg.cross(b, c)).sum(-1)
    other = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return 2 * torch.atan2(volume, other).sum(-1) / (4 * math.pi)


def test_inside_is_where_solid_angles_exceed_half_a_sphere() -> None:
    vertices, triangles = joined(sphere(), sphere(0.7, (0.6, 0, 0), rings=12))
    triangles = triangles[vertices[triangles].mean(1)[:, 1] < 0.8]
    points = random_points(300, 1.0)
    found = inside(points, vertices, triangles)
    expected = exact_winding_numbers(points, vertices, triangles)
    clear = (expected - 0.5).abs() > 0.05
    assert torch.equal(found[clear], expected[clear] > 0.5)
    assert clear.double().mean() > 0.9 and expected.max() > 1.5


def test_no_points_have_no_distances() -> None:
    assert signed_distances(torch.zeros(0, 3), *sphere(rings=6)).shape == (0,)


def test_the_winding_number_decides_ties_between_pocket_and_outer_surface() -> None:
    bottle = revolved(torch.cat([arc(0.5, 180, 12, 25), arc(1, 6, 180, 33)]), 48)
    solid = Solid(*bottle)
    above = torch.tensor([[0.0, 1.0, 0.0]]).double() + 0.3 * random_points(2000, 1.0)
    outside = above[above.norm(dim=-1) > 1.01]
    assert (solid.signed_distances(outside) > 0).all()


def test_distance_to_a_sphere() -> None:
    vertices, triangles = sphere()
    points = random_points(500, 0.8)
    # The mesh lies within 1 - cos(half an edge's angle) of the sphere.
    torch.testing.assert_close(
        signed_distances(points, vertices, triangles), points.norm(dim=-1) - 1, atol=6e-3, rtol=0
    )
    assert signed_distances(points.float(), vertices, triangles).dtype == torch.float32


def test_a_sphere_with_holes_is_closed_flat() -> None:
    vertices, triangles = sphere()
    height = vertices[triangles][..., 1]
    opened = triangles[(height.amax(1) < 0.51) & (height.amin(1) > -0.51)]
    levels = vertices[opened][..., 1]
    points = torch.tensor([[0.0, 0, 0], [0.1, 0.6, 0], [0, -2, 0.05], [0.05, 0.4, 0]], dtype=torch.float64)
    top, bottom = float(levels.max()), float(levels.min())
    expected = torch.tensor([-top, 0.6 - top, bottom + 2, 0.4 - top], dtype=torch.float64)
    torch.testing.assert_close(signed_distances(points, vertices, opened), expected, atol=1e-7, rtol=0)


def test_a_shell_inside_makes_no_surface() -> None:
    outer = sphere()
    mesh = joined(outer, sphere(0.4, (0.2, 0, 0), rings=12))
    points = random_points(300, 0.6)
    torch.testing.assert_close(signed_distances(points, *mesh), signed_distances(points, *outer))


def test_overlapping_shells_are_one_solid() -> None:
    centers = torch.tensor([[-0.6, 0, 0], [0.6, 0, 0]], dtype=torch.float64)
    mesh = joined(sphere(center=(-0.6, 0, 0)), sphere(center=(0.6, 0, 0)))
    found = signed_distances(random_points(400, 1.0), *mesh)
    apart = torch.cdist(random_points(400, 1.0), centers) - 1
    outside = apart.amin(1) > 0
    torch.testing.assert_close(found[outside], apart.amin(1)[outside], atol=6e-3, rtol=0)
    assert (found[~outside & (apart.amin(1) < -6e-3)] < 0).all()
    middle = signed_distances(torch.zeros(1, 3, dtype=torch.float64), *mesh)
    # Where the spheres cross, triangles are cut to 1/300 of the diagonal.
    torch.testing.assert_close(middle, torch.tensor([-0.8], dtype=torch.float64), atol=0.02, rtol=0)


def test_pieces_of_the_outer_surface_lie_on_it() -> None:
    mesh = joined(sphere(center=(-0.6, 0, 0), rings=8), sphere(center=(0.6, 0, 0), rings=8))
    solid = Solid(*mesh)
    centers = solid.vertices[solid.triangles].mean(1)
    assert solid.signed_distances(centers).abs().max() < 1e-6
    above = centers + 1e-3 * triangle_normals(solid.vertices, solid.triangles)
    assert (~inside(above, *mesh)).double().mean() > 0.98
    between = mesh[0][mesh[1]].mean(1)[:, 0].abs() < 0.1
    assert len(solid.triangles) > int((~between).sum())


@pytest.mark.parametrize("opening", [0.0, 2.0])
def test_an_almost_invisible_pocket_is_filled(opening: float) -> None:
    if opening:  # degrees; a bottle with a narrow neck
        mesh = revolved(torch.cat([arc(0.5, 180, 2 * opening, 25), arc(1, opening, 180, 33)]), 48)
    else:
        vertices, triangles = sphere(0.5)
        mesh = joined(sphere(), (vertices, triangles.flip(1)))
    points = random_points(300, 0.4)
    points = points[points.norm(dim=-1) < 0.9]
    assert (~inside(points, *mesh)).double().mean() > 0.3
    depth = signed_distances(points, *mesh)
    torch.testing.assert_close(depth, points.norm(dim=-1) - 1, atol=0.05 if opening else 6e-3, rtol=0)


def test_a_bowl_is_not_filled() -> None:
    bowl = revolved(torch.cat([arc(0.9, 180, 90, 33), arc(1, 90, 180, 33)]), 64)
    points = torch.tensor([[0.0, -0.2, 0], [0, -0.96, 0], [0.3, -0.7, 0], [0, 0.4, 0]], dtype=torch.float64)
    expected = torch.tensor([0.7, -0.04, 0.9 - math.hypot(0.3, 0.7), math.hypot(0.9, 0.4)], dtype=torch.float64)
    torch.testing.assert_close(signed_distances(points, *bowl), expected, atol=6e-3, rtol=0)


@pytest.mark.parametrize("broken", ["empty", "vertices", "points", "no area", "inside out"])
def test_bad_meshes_are_refused(broken: str) -> None:
    vertices, triangles = sphere(rings=6)
    points = torch.zeros(1, 3, dtype=torch.float64)
    if broken == "empty":
        triangles = triangles[:0]
    elif broken == "vertices":
        vertices[3, 1] = float("nan")
    elif broken == "points":
        points[0, 0] = float("inf")
    elif broken == "no area":
        triangles = triangles[:, [0, 0, 1]]
    else:
        triangles = triangles.flip(1)
    with pytest.raises(ValueError, match="at least one" if broken == "empty" else "finite|inwards|area"):
        signed_distances(points, vertices, triangles)


def assert_one_surface(model: HeadModel, vertices: Tensor) -> None:
    """Straight into the head through both eyeballs, the middle of the mouth and the neck, the sign changes once."""
    solid = Solid(vertices, model.triangles)
    vertices = vertices.double()
    eyes = [vertices[model.regions.vertices(name)].mean(0) for name in EYEBALLS]
    lips = vertices[model.regions.vertices("lips")].mean(0)
    neck = vertices[model.regions.vertices("boundary")].mean(0)
    back, up = torch.eye(3, dtype=torch.float64)[[2, 1]]
    across = 0.003 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    lines = [(eye + offset + 0.03 * back, -back) for eye in eyes for offset in across]
    lines += [(lips + 0.03 * back, -back), (neck - 0.03 * up, up)]
    depth = torch.arange(0, 0.08, 0.0004, dtype=torch.float64)
    points = torch.cat([start + depth[:, None] * along for start, along in lines])
    found = solid.signed_distances(points).reshape(len(lines), -1)
    assert ((found[:, 1:] > 0) != (found[:, :-1] > 0)).sum(1).tolist() == [1] * len(lines)
    assert (found[:, 0] > 0).all()
    deep = found.clamp_max(0).cummin(1).values < -0.004
    assert (found[deep] < -0.002).all()  # no surface, not even one of distance 0, further in
    # A triangle that others cut is inside or not as a whole: an eyeball's may stand out of its lid by micrometres.
    assert solid.signed_distances(vertices[model.triangles].mean(1)).max() < 5e-5


def test_the_built_in_head_is_one_solid() -> None:
    head = builtin_head()
    assert_one_surface(head, head.v_template)


def test_a_tracked_head_is_one_solid(shared: Path) -> None:
    model = load_head_model(shared / "facekit" / "head_model.pkl")
    params = FlameParams.load(shared / "captures" / "fk01" / "canonical_flame_param.npz")
    assert_one_surface(model, pose_vertices(model, params)[0])
