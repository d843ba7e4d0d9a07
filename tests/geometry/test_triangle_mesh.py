"""Closed forms on CPU and CUDA, precision far from the origin, moved meshes, and the start of Warp."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage_ns.geometry import TriangleMesh, axis_angle_to_matrix, barycentric_to_points, first_triangles
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
TOP = (10, 11)
"""The triangles of `box` at its upper z."""


def box(low: float = -1.0, high: float = 1.0) -> tuple[Tensor, Tensor]:
    """A cube with triangles that face outwards; two for each side, z last."""
    vertices = torch.cartesian_prod(*[torch.tensor([low, high])] * 3)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return vertices, torch.tensor([[a, b, c] for s in sides for a, b, c in ((s[0], s[1], s[2]), (s[0], s[2], s[3]))])


def mesh(vertices: Tensor, triangles: Tensor, device: str, solid: bool = False) -> TriangleMesh:
    return TriangleMesh(vertices.to(device), triangles.to(device), solid)


def rays_at(vertices: Tensor, num: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """From half a metre before a head to about its vertices."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.tensor([0.0, 0.0, 0.6]) + 0.1 * torch.randn(num, 3, generator=generator)
    chosen = vertices[torch.randint(len(vertices), (num,), generator=generator)]
    return origins, chosen + 0.01 * torch.randn(num, 3, generator=generator) - origins


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rays_at_a_box(device: str, dtype: torch.dtype) -> None:
    found_in = mesh(*box(), device)
    origins = torch.tensor([[0.5, 0.25, 3], [0.5, 0.25, 0], [0, 3, 0], [0, 0, 3]], dtype=dtype, device=device)
    directions = torch.tensor([[0, 0, -2], [0, 0, 4], [1, 0, 0], [0, 0, 1]], dtype=dtype, device=device)
    hits = found_in.first_hits(origins, directions)
    assert hits.triangle.device == origins.device and hits.distance.dtype == hits.barycentric.dtype == dtype
    assert hits.triangle[0] in TOP and hits.triangle[1] in TOP
    assert hits.triangle[2:].tolist() == [-1, -1]
    # in lengths of the directions, here 2 and 4
    torch.testing.assert_close(hits.distance.cpu(), torch.tensor([1.0, 0.25, 0, 0], dtype=dtype))
    met = barycentric_to_points(found_in.vertices, found_in.triangles, hits.triangle[:2], hits.barycentric[:2])
    torch.testing.assert_close(met.cpu(), torch.tensor([[0.5, 0.25, 1], [0.5, 0.25, 1]], dtype=dtype))
    assert found_in.is_blocked(origins, directions).tolist() == [True, True, False, False]


@pytest.mark.parametrize("device", DEVICES)
def test_points_over_a_face_an_edge_and_a_corner(device: str) -> None:
    vertices, triangles = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]])
    points = torch.tensor([[0.25, 0.5, 2], [0.5, -3, 4], [1, 1, 0], [-3, -4, 0]], device=device)
    found = mesh(vertices, triangles, device).closest(points)
    weights = [[0.25, 0.25, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5], [1, 0, 0]]
    torch.testing.assert_close(found.barycentric.cpu(), torch.tensor(weights))
    torch.testing.assert_close(found.distance.cpu(), torch.tensor([2.0, 5, 0.5**0.5, 5]))


@pytest.mark.parametrize("device", DEVICES)
def test_inside_a_box_an_open_box_and_two_overlapping_boxes(device: str) -> None:
    points = torch.tensor([[0.0, 0, 0], [0.9, 0.9, 0.9], [0.9, 0.9, 1.1], [2, 0, 0]], device=device)
    vertices, triangles = box()
    assert mesh(vertices, triangles, device, solid=True).contains(points).tolist() == [True, True, False, False]
    # Without its top, the box winds around the middle 5/6 times, and above it not at all.
    bottom = triangles[: TOP[0]]
    assert mesh(vertices, bottom, device, solid=True).contains(points[[0, 2, 3]]).tolist() == [True, False, False]
    second, _ = box(0.0, 2.0)
    both = torch.cat([vertices, second]), torch.cat([triangles, triangles + len(vertices)])
    between = torch.cat([points, points.new_tensor([[0.5, 0.5, 0.5], [1.5, 1.5, 1.5], [-0.5, 1.5, 0.5]])])
    assert mesh(*both, device, solid=True).contains(between).tolist() == [True, True, True, False, True, True, False]


def test_empty_queries_have_empty_results() -> None:
    none = torch.zeros(0, 3)
    solid = mesh(*box(), "cpu", solid=True)
    assert len(solid.first_hits(none, none).triangle) == len(solid.closest(none).triangle) == 0
    assert len(solid.is_blocked(none, none)) == len(solid.contains(none)) == 0


def test_where_the_head_stands_does_not_matter() -> None:
    """In float64 and ten metres away, distances are as at the origin, to a micrometre."""
    head = builtin_head()
    vertices, far = head.v_template.double(), torch.tensor([10.0, -7.0, 5.0]).double()
    generator = torch.Generator().manual_seed(1)
    points = vertices + 0.01 * torch.randn(vertices.shape, generator=generator, dtype=torch.float64)
    near, away = (TriangleMesh(vertices + offset, head.triangles) for offset in (0.0, far))
    expected = near.closest(points).distance
    torch.testing.assert_close(away.closest(points + far).distance, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_a_moved_mesh_gives_the_results_of_a_new_one(device: str) -> None:
    head = builtin_head()
    rest = head.v_template.to(device)
    turned = rest @ axis_angle_to_matrix(torch.tensor([0.4, 0.6, 0.2], device=device)).T + 0.1
    moved = mesh(rest, head.triangles, device)
    moved.move(turned)
    origins, directions = (part.to(device) for part in rays_at(turned.cpu(), 5000))
    fresh = mesh(turned, head.triangles, device)
    expected, found = (each.first_hits(origins, directions) for each in (fresh, moved))
    torch.testing.assert_close(found.distance, expected.distance, atol=1e-6, rtol=0)
    assert (found.triangle == expected.triangle).float().mean() > 0.999  # the rest meet a shared edge
    assert (found.triangle >= 0).float().mean() > 0.5
    again = mesh(rest, head.triangles, device)
    again.move(turned)
    assert torch.equal(again.first_hits(origins, directions).triangle, found.triangle)
    assert torch.equal(again.closest(origins).barycentric, moved.closest(origins).barycentric)


def test_bad_meshes_are_refused() -> None:
    vertices, triangles = box()
    with pytest.raises(ValueError, match="no triangles"):
        TriangleMesh(vertices, triangles[:0])
    with pytest.raises(ValueError, match="finite"):
        TriangleMesh(vertices * float("nan"), triangles)
    for wrong in (-1, len(vertices)):
        with pytest.raises(ValueError, match="existing vertices"):
            TriangleMesh(vertices, torch.where(triangles == 3, wrong, triangles))
    with pytest.raises(ValueError, match="solid=True"):
        TriangleMesh(vertices, triangles).contains(torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"shape \(8, 3\), found \(7, 3\)"):
        TriangleMesh(vertices, triangles).move(vertices[:7])


def _results() -> list[int]:
    head = tiny_head_model()
    return first_triangles(head.v_template, head.triangles, *rays_at(head.v_template, 3000)).tolist()


def test_threads_and_processes_get_the_same_results() -> None:
    expected = _results()
    with ThreadPoolExecutor(4) as threads:
        assert all(future.result() == expected for future in [threads.submit(_results) for _ in range(8)])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert processes.submit(_results).result() == expected


@pytest.mark.parametrize(
    "home", ["unset", *(pytest.param(each, marks=pytest.mark.slow) for each in ("read-only", "missing"))]
)
def test_without_a_home_folder_to_write_to_one_line_names_the_variables(home: str, tmp_path: Path) -> None:
    removed = "HOME", "SAGE_CACHE", "WARP_CACHE_PATH", "XDG_CACHE_HOME"
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment["TMPDIR"] = str(tmp_path)
    if home == "read-only":
        (tmp_path / "file").touch()  # a folder's permissions do not stop the root user, a file does
        environment["HOME"] = str(tmp_path / "file")
    elif home == "missing":
        environment["HOME"] = "/dev/null/nobody"
    else:
        environment["SAGE_CACHE"] = str(tmp_path / "kernels")  # HOME comes from the user database, and may be real
    script = (
        "import torch; from sage_ns.geometry import TriangleMesh;"
        "mesh = TriangleMesh(torch.eye(3), torch.tensor([[0, 1, 2]]));"
        "print(mesh.first_hits(torch.zeros(1, 3), torch.ones(1, 3)).triangle.item())"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    if home == "unset":
        assert done.stderr == ""
    else:
        assert done.stderr.count("\n") == 1 and "SAGE_CACHE" in done.stderr and "NUMBA_CACHE_DIR" in done.stderr
        folder = next(tmp_path.glob("sage_ns-*"))
        assert folder.stat().st_mode & 0o777 == 0o700 and (folder / "warp").is_dir()
