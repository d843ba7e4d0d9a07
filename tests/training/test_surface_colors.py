"""Points of a painted sphere looked up in pictures of it: right colours where it is seen, none where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage_ns.capture.shot import Shot
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.training.surface_colors import SurfaceColors

RADIUS, DISTANCE, SIZE = 0.1, 1.0, 120
FRONT, LEFT, RIGHT, TOP = (0.0, 0.0, 1.0), (0.7, 0.0, 0.7), (-0.7, 0.0, 0.7), (0.0, 0.7, 0.7)


def sphere(radius: float = RADIUS, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> tuple[Tensor, Tensor]:
    from trimesh.creation import icosphere

    mesh = icosphere(subdivisions=4, radius=radius)
    return torch.tensor(mesh.vertices).float() + torch.tensor(center), torch.tensor(mesh.faces).long()


def camera(towards: tuple[float, float, float]) -> PinholeCamera:
    """A metre from the sphere's centre, which it looks at."""
    back = F.normalize(torch.tensor(towards), dim=0)
    right = F.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), back), dim=0)
    pose = torch.stack([right, torch.linalg.cross(back, right), back, DISTANCE * back], dim=-1)
    return PinholeCamera.from_opengl(pose, 500.0, 500.0, SIZE / 2 + 3, SIZE / 2 - 2, SIZE, SIZE)


def paint(points: Tensor) -> Tensor:
    return 0.5 + 0.4 * points / RADIUS


def picture(towards: tuple[float, float, float], painted: Callable[[Tensor], Tensor] = paint) -> Shot:
    """The sphere in closed form: its colours over white, and its mask."""
    view = camera(towards)
    origins, directions = pixel_rays(view)
    gaze = F.normalize(directions, dim=-1)
    along = -(origins * gaze).sum(dim=-1)
    inside = RADIUS**2 - (origins + along[..., None] * gaze).square().sum(dim=-1)
    hit = origins + (along - inside.clamp_min(0).sqrt())[..., None] * gaze
    mask = (inside > 0).float()[..., None]
    return Shot(view, mask * painted(hit) + 1 - mask, mask)


def flat(value: float) -> Callable[[Tensor], Tensor]:
    return lambda points: torch.full_like(points, value)


@pytest.fixture(scope="module")
def points() -> Tensor:
    """All around the sphere."""
    return RADIUS * F.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)


def facing(points: Tensor, towards: tuple[float, float, float]) -> Tensor:
    """Cosine between the sphere's normal and the direction to a camera."""
    to_camera = F.normalize(camera(towards).center - points, dim=-1)
    return (to_camera * F.normalize(points, dim=-1)).sum(dim=-1)


def gaze_from(towards: tuple[float, float, float], points: Tensor) -> Tensor:
    return F.normalize(points - camera(towards).center, dim=-1)


def test_visible_points_have_the_colour_that_was_painted_and_others_none(points: Tensor) -> None:
    views = [FRONT, LEFT, RIGHT, TOP]
    found = SurfaceColors([picture(each) for each in views], *sphere()).look_up(
        points, F.normalize(points, dim=-1), gaze_from(FRONT, points)
    )
    best = torch.stack([facing(points, each) for each in views]).amax(dim=0)
    # Pixels are 2 mm: over one of them the silhouette's rim takes a few degrees of the slanting parts.
    assert found.seen[best > 0.5].all()
    assert not found.seen[best < 0.34].any()
    torch.testing.assert_close(found.color[found.seen], paint(points[found.seen]), rtol=0, atol=0.01)


def test_one_camera_does_not_see_the_back_the_slanting_or_what_is_beside_the_picture(points: Tensor) -> None:
    normals, gaze = F.normalize(points, dim=-1), gaze_from(FRONT, points)
    whole = picture(FRONT)
    seen = SurfaceColors([whole], *sphere()).look_up(points, normals, gaze).seen
    cosine = facing(points, FRONT)
    assert seen[cosine > 0.5].all() and not seen[cosine < 0.35].any()
    # The left half of the picture is cut off; what is there now lies to the left of column 0.
    half = SIZE // 2
    intrinsics = whole.camera.intrinsics.clone()
    intrinsics[0, 2] -= half
    cut = Shot(
        replace(whole.camera, intrinsics=intrinsics, width=half), whole.picture[:, half:], whole.foreground[:, half:]
    )
    still = SurfaceColors([cut], *sphere()).look_up(points, normals, gaze)
    middle = (half - float(whole.camera.intrinsics[0, 2])) / 500.0  # x / z of what is at the cut
    right = points[:, 0] / (DISTANCE - points[:, 2]) > middle
    assert not still.seen[~right].any()
    assert still.seen[right & (points[:, 0] > 0.02) & (cosine > 0.5)].all()
    torch.testing.assert_close(still.color[still.seen], paint(points[still.seen]), rtol=0, atol=0.01)


@pytest.mark.parametrize("nearest", [0, 1, 2, 3])
def test_the_picture_taken_most_nearly_along_the_gaze_is_preferred(nearest: int) -> None:
    views = [FRONT, LEFT, RIGHT, TOP]
    colors = SurfaceColors([picture(each, flat(0.2 * i)) for i, each in enumerate(views)], *sphere())
    point = RADIUS * F.normalize(torch.tensor([[0.0, 0.2, 1.0]]), dim=-1)
    beside = gaze_from(views[nearest], point) + 0.1 * torch.tensor([[0.3, -0.5, 0.2]])
    found = colors.look_up(point, F.normalize(point, dim=-1), F.normalize(beside, dim=-1))
    assert found.seen.all()
    torch.testing.assert_close(found.color, torch.full((1, 3), 0.2 * nearest), rtol=0, atol=1e-5)


def test_a_view_that_does_not_see_the_point_is_passed_over_however_well_it_is_placed(points: Tensor) -> None:
    colors = SurfaceColors([picture(LEFT, flat(0.3)), picture(RIGHT, flat(0.7))], *sphere())
    only_right = (facing(points, LEFT) < 0.3) & (facing(points, RIGHT) > 0.5)
    # The gaze lies between the two, a little nearer to the left one.
    gaze = gaze_from((0.1, 0.0, 1.0), points)
    found = colors.look_up(points, F.normalize(points, dim=-1), gaze)
    assert only_right.any() and found.seen[only_right].all()
    torch.testing.assert_close(found.color[only_right], torch.full((int(only_right.sum()), 3), 0.7))


def test_what_another_part_hides_is_not_taken_for_it(points: Tensor) -> None:
    """A small ball floats between the front camera and the sphere: the pictures show it in blue."""
    center, small = (0.0, 0.0, 0.3), 0.02
    vertices, triangles = sphere()
    ball, more = sphere(small, center)
    mesh = torch.cat([vertices, ball]), torch.cat([triangles, more + len(vertices)])
    front = picture(FRONT)
    origins, directions = pixel_rays(front.camera)
    gaze = F.normalize(directions, dim=-1)
    offset = torch.tensor(center) - origins
    beside = (offset - (offset * gaze).sum(dim=-1, keepdim=True) * gaze).norm(dim=-1)
    blue = (beside < small)[..., None]
    front = replace(front, picture=torch.where(blue, torch.tensor([0.0, 0.0, 1.0]), front.picture))

    chosen = points[facing(points, FRONT) > 0.5]
    normals, gaze = F.normalize(chosen, dim=-1), gaze_from(FRONT, chosen)
    eye = camera(FRONT).center
    way = F.normalize(chosen - eye, dim=-1)
    apart = torch.linalg.cross((torch.tensor(center) - eye).expand_as(way), way).norm(dim=-1)
    found = SurfaceColors([front], *mesh).look_up(chosen, normals, gaze)
    assert (apart < small).sum() > 20 and not found.seen[apart < small].any()
    assert found.seen[apart > small + 0.01].all()
    torch.testing.assert_close(found.color[found.seen], paint(chosen[found.seen]), rtol=0, atol=0.01)
    # Somebody who stands aside sees behind the ball.
    both = SurfaceColors([front, picture(TOP)], *mesh).look_up(chosen, normals, gaze)
    behind = (apart < small) & (facing(chosen, TOP) > 0.5)
    assert behind.any() and both.seen[behind].all()
    torch.testing.assert_close(both.color[behind], paint(chosen[behind]), rtol=0, atol=0.01)


def test_the_fringe_of_the_mask_tells_nothing(points: Tensor) -> None:
    view = picture(FRONT)
    soft = view.foreground.clone()
    soft[: SIZE // 2] *= 0.9
    found = SurfaceColors([replace(view, mask=soft)], *sphere()).look_up(
        points, F.normalize(points, dim=-1), gaze_from(FRONT, points)
    )
    row = SIZE / 2 - 2 - 500.0 * points[:, 1] / (DISTANCE - points[:, 2])
    assert not found.seen[row < SIZE // 2].any()
    assert found.seen[(row > SIZE // 2) & (facing(points, FRONT) > 0.5)].all()


@pytest.mark.parametrize(("height", "seen"), [(0.003, True), (0.0, True), (-0.003, True), (-0.015, False)])
def test_points_may_lie_a_little_off_the_tracked_mesh(height: float, seen: bool) -> None:
    point = torch.tensor([[0.0, 0.0, RADIUS + height]])
    up = torch.tensor([[0.0, 0.0, 1.0]])
    assert SurfaceColors([picture(FRONT)], *sphere()).look_up(point, up, -up).seen.tolist() == [seen]


def test_pictures_from_more_than_a_right_angle_beside_the_gaze_say_nothing() -> None:
    point = torch.tensor([[0.0, 0.0, RADIUS]])
    up, colors = torch.tensor([[0.0, 0.0, 1.0]]), SurfaceColors([picture(FRONT)], *sphere())
    for angle, seen in ((80.0, True), (100.0, False)):
        turn = torch.deg2rad(torch.tensor(angle))
        gaze = torch.stack([turn.sin(), torch.zeros(()), -turn.cos()])[None]
        assert colors.look_up(point, up, gaze).seen.tolist() == [seen]


def test_without_pictures_nothing_is_seen(points: Tensor) -> None:
    found = SurfaceColors([], *sphere()).look_up(points, F.normalize(points, dim=-1), gaze_from(FRONT, points))
    assert not found.seen.any() and not found.color.any()
