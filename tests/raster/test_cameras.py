from __future__ import annotations

import math

import torch
from nerfstudio.cameras.cameras import Cameras

from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.raster.cameras import orbit, pixel_rays, project

WIDTH, HEIGHT = 30, 20


def camera_in_front(distance: float = 2.0) -> Cameras:
    """Looks from +z at the origin; off-centre principal point, different focal lengths."""
    pose = torch.eye(4)[:3]
    pose[2, 3] = distance
    return Cameras(pose[None], fx=50.0, fy=60.0, cx=14.0, cy=11.0, width=WIDTH, height=HEIGHT)


def test_nerfstudio_cameras_keep_axes_and_intrinsics() -> None:
    cameras = camera_in_front()
    for each in (cameras[0:1], cameras[0]):  # batch shapes (1,) and ()
        camera = pinhole_camera(each)
        assert (camera.width, camera.height) == (WIDTH, HEIGHT)
        assert torch.allclose(camera.center, torch.tensor([0.0, 0.0, 2.0]))
        # A point up and to the right of the origin appears up (smaller row) and to the right.
        point = camera.T_camera_world @ torch.tensor([0.1, 0.2, 0.0, 1.0])
        x, y, depth = camera.intrinsics @ point[:3]
        assert torch.allclose(torch.stack([x / depth, y / depth]), torch.tensor([14 + 50 * 0.05, 11 - 60 * 0.1]))
        assert float(depth) == 2.0


def test_rays_go_through_pixel_centres() -> None:
    camera = pinhole_camera(camera_in_front())
    origins, directions = pixel_rays(camera)
    assert origins.shape == directions.shape == (HEIGHT, WIDTH, 3)
    points = origins + 1.7 * directions
    homogeneous = torch.cat([points, torch.ones(HEIGHT, WIDTH, 1)], dim=-1)
    x, y, depth = (homogeneous @ camera.T_camera_world[:3].T @ camera.intrinsics.T).unbind(-1)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    assert torch.allclose(x / depth, columns, atol=1e-4)
    assert torch.allclose(y / depth, rows, atol=1e-4)
    assert (depth > 0).all()


def test_points_fall_where_rays_come_from() -> None:
    camera = pinhole_camera(camera_in_front())
    origins, directions = pixel_rays(camera)
    seen = project((origins + 1.7 * directions).reshape(-1, 3), camera)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    assert torch.equal(seen.row, rows.reshape(-1)) and torch.equal(seen.column, columns.reshape(-1))
    centres = torch.stack([columns, rows], dim=-1).reshape(-1, 2) + 0.5
    assert torch.allclose(seen.pixels, centres, atol=1e-4)
    assert torch.allclose(seen.depth, torch.tensor(1.7)) and seen.inside.all()


def test_a_point_has_depth_and_place_in_closed_form() -> None:
    camera = pinhole_camera(camera_in_front(distance=2.0))
    seen = project(torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.0, 1.0]]), camera)
    assert torch.allclose(seen.depth, torch.tensor([2.0, 1.0]))
    assert torch.allclose(seen.pixels, torch.tensor([[14 + 50 * 0.05, 11 - 60 * 0.1], [14.0, 11.0]]))
    assert seen.column.tolist() == [16, 14] and seen.row.tolist() == [5, 11]


def test_points_outside_get_the_nearest_pixel() -> None:
    camera = pinhole_camera(camera_in_front(distance=2.0))
    right, above, behind, at_the_eye = (1.0, 0.0, 0.0), (0.0, 5.0, 0.0), (0.0, 0.0, 3.0), (0.0, 0.0, 2.0)
    seen = project(torch.tensor([right, above, behind, at_the_eye]), camera)
    assert not seen.inside.any()
    assert seen.column[0] == WIDTH - 1 and seen.row[1] == 0 and seen.depth[2] == -1.0
    assert ((seen.column >= 0) & (seen.column < WIDTH) & (seen.row >= 0) & (seen.row < HEIGHT)).all()


def test_orbit_circles_the_target_and_keeps_looking_at_it() -> None:
    camera = pinhole_camera(camera_in_front())
    target = torch.tensor([0.0, 0.0, 0.5])
    turned = orbit(camera, target, math.radians(90))
    assert torch.allclose((turned.center - target).norm(), torch.tensor(1.5))
    assert abs(float(turned.center[1])) < 1e-6 and abs(abs(float(turned.center[0])) - 1.5) < 1e-6
    before, after = (each.T_camera_world @ torch.cat([target, torch.ones(1)]) for each in (camera, turned))
    assert torch.allclose(before, after, atol=1e-6)
    # Up stays up, and all the way round is where it began.
    assert torch.allclose(turned.T_camera_world[1, :3], camera.T_camera_world[1, :3], atol=1e-6)
    assert torch.allclose(orbit(camera, target, 2 * math.pi).T_camera_world, camera.T_camera_world, atol=1e-5)
