"""The geometry benchmark's measures, on surfaces where the answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.avatar.field_surface import SurfaceMesh, render_surface
from sage_ns.bench.geometry import NormalErrors, distances, halfway_cameras, visible_points
from sage_ns.errors import SageError
from sage_ns.evaluation.depth_fusion import fuse_depth
from sage_ns.evaluation.true_surface import Truth, plain_mesh
from sage_ns.geometry import axis_angle_to_matrix, triangle_areas
from sage_ns.raster import Buffers, PinholeCamera
from sage_ns.raster.cameras import orbit


def ball(radius: float, subdivisions: int = 3) -> SurfaceMesh:
    import trimesh

    made = trimesh.creation.icosphere(subdivisions, radius)
    return plain_mesh(torch.from_numpy(made.vertices.copy()).float(), torch.from_numpy(made.faces.copy()))


def front_camera(size: int = 96) -> PinholeCamera:
    """A camera at half a metre on +z that looks at the origin; its view is 20 cm wide."""
    intrinsics = torch.tensor([[2.5 * size, 0, size / 2], [0, 2.5 * size, size / 2], [0, 0, 1]])
    T_camera_world = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    T_camera_world[2, 3] = 0.5
    return PinholeCamera(T_camera_world, intrinsics, size, size)


def ring(angles: list[float]) -> list[PinholeCamera]:
    return [orbit(front_camera(), torch.zeros(3), angle) for angle in angles]


def front_face(mesh: SurfaceMesh) -> torch.Tensor:
    return mesh.vertices[mesh.triangles].mean(dim=1)[:, 2] > 0.03


def test_distance_between_two_balls() -> None:
    truth = Truth(ball(0.05), front_face(ball(0.05)))
    found = distances(truth, ball(0.052), ring([-0.5, 0.0, 0.5]))
    for value in vars(found).values():
        assert value == pytest.approx(2.0, abs=0.1)
    same = distances(truth, ball(0.05), ring([0.0]))
    assert same.truth_to_mesh_mean < 1e-3


def test_only_what_cameras_see_counts() -> None:
    """A smaller ball inside and a back half that is far off change nothing."""
    outer, inner = ball(0.05), ball(0.03)
    vertices = torch.cat([outer.vertices, inner.vertices])
    both = plain_mesh(vertices, torch.cat([outer.triangles, inner.triangles + len(outer.vertices)]))
    points = visible_points(both, triangle_areas(both.vertices, both.triangles), ring([0.0]))
    assert points.norm(dim=-1).min() > 0.049
    assert points[:, 2].min() > 0


def test_normals_turned_by_a_known_angle() -> None:
    mesh = ball(0.05)
    errors = NormalErrors(Truth(mesh, front_face(mesh)))
    camera = front_camera()
    exact = render_surface(mesh, camera).normal
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.1, 0.0]))
    half_empty = exact.clone()
    half_empty[:, :48] = 0
    errors.add(camera, {"exact": exact, "turned": exact @ turn.T, "half": half_empty})
    summary = errors.summary()
    assert summary["exact"].mean_deg < 1e-2
    assert 0.7 * np.rad2deg(0.1) < summary["turned"].mean_deg < np.rad2deg(0.1) + 1e-3
    assert summary["half"].coverage == pytest.approx(0.5, abs=0.03)
    assert summary["exact"].coverage == 1


def test_cameras_half_way() -> None:
    cameras = ring([0.0, 0.2, 0.9])
    between = halfway_cameras(cameras, torch.zeros(3))
    expected = ring([0.1, 0.55])
    assert len(between) == 2
    for camera, other in zip(between, expected, strict=True):
        torch.testing.assert_close(camera.T_camera_world, other.T_camera_world, atol=1e-6, rtol=0)


def test_fused_depth_of_a_ball() -> None:
    mesh = ball(0.05)

    def drawn(camera: PinholeCamera) -> Buffers:
        view = render_surface(mesh, camera)
        zero = torch.zeros_like(view.depth)
        return Buffers(view.color, view.hit.float(), view.depth, view.depth, view.normal, view.normal, zero)

    cameras = ring([-0.5, 0.0, 0.5])
    corner = torch.full((3,), 0.06)
    vertices, triangles = fuse_depth(((camera, drawn(camera)) for camera in cameras), -corner, corner, 0.003, 0.012)
    fused = plain_mesh(vertices, triangles)
    found = distances(Truth(mesh, front_face(mesh)), fused, cameras)
    assert found.truth_to_mesh_mean < 0.3
    assert found.mesh_to_truth_mean < 0.3
    towards_viewer = fused.vertices[:, 2] > 0.04
    assert (fused.normals[towards_viewer, 2] > 0.5).all()


def test_truth_files(tmp_path: Path) -> None:
    path = tmp_path / "surface.npz"
    mesh = ball(0.05, 1)
    fields = {
        "timesteps": np.array([3, 7]),
        "vertices": np.stack([mesh.vertices.numpy(), 2 * mesh.vertices.numpy()]),
        "triangles": mesh.triangles.numpy(),
        "face": front_face(mesh).numpy(),
    }
    np.savez(path, **fields)  # type: ignore[arg-type]
    assert Truth.load(path, 7).mesh.vertices.norm(dim=-1).max() == pytest.approx(0.1)
    with pytest.raises(SageError, match=r"no timestep 4; there are 3, 7"):
        Truth.load(path, 4)
    with pytest.raises(SageError, match="no such file"):
        Truth.load(tmp_path / "none.npz", 3)
    del fields["face"]
    np.savez(path, **fields)  # type: ignore[arg-type]
    with pytest.raises(SageError, match="'face': found nothing"):
        Truth.load(path, 3)
