"""A triangle mesh with a search tree: ray casts, closest points and inside/outside tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from sage_ns.system.parallel import even_bounds, run_chunks
from sage_ns.system.warp_runtime import device_for, on_torch_stream, prepare

if TYPE_CHECKING:
    import warp as wp

_MIN_CHUNK = 1024
"""Smallest number of rays or points for which a thread of the CPU is worth its start."""


@dataclass(frozen=True, eq=False)
class RayHits:
    """First triangle that each ray meets, and the position of the hit."""

    triangle: Int64[Tensor, "num_rays"]
    """-1 where a ray meets none; the other fields are 0 there."""
    barycentric: Float[Tensor, "num_rays 3"]
    distance: Float[Tensor, "num_rays"]
    """From the origin of the ray, in units of the length of its direction."""


@dataclass(frozen=True, eq=False)
class ClosestTriangles:
    """Closest triangle of a mesh for every point, and the closest point on it."""

    triangle: Int64[Tensor, "num_points"]
    barycentric: Float[Tensor, "num_points 3"]
    distance: Float[Tensor, "num_points"]
    """Metres, unsigned."""


class TriangleMesh:
    """Triangle mesh with ray and point queries, by NVIDIA Warp in float32, on the vertices' device, without gradients.

    Vertices, rays and points may be in float64. They are taken relative to the middle of the mesh before rounding: the
    rounding error is about 10 nm for a head at any position, and distances are correct to a micrometre. Results have
    the device and dtype of the rays or points. The same mesh with the same sequence of poses gives the same results,
    bit by bit, on the same device.

    On CUDA, only :meth:`__init__` and :meth:`closest` wait for the device, in order to reject invalid input.
    """

    def __init__(
        self,
        vertices: Float[Tensor, "num_vertices 3"],
        triangles: Int[Tensor, "num_triangles 3"],
        solid: bool = False,
    ) -> None:
        """Build the search tree.

        Args:
            vertices: Metres.
            triangles: Counter-clockwise from outside.
            solid: Whether to prepare for :meth:`contains`.

        Raises:
            ValueError: There are no triangles, they name vertices that do not exist, or vertices are not finite.
        """
        import warp as wp

        from sage_ns.geometry import _warp_mesh

        if len(triangles) == 0:
            raise ValueError("TriangleMesh: found no triangles, expected at least one")
        exist = ((triangles >= 0) & (triangles < len(vertices))).all()
        if not bool(exist.to(vertices.device) & vertices.isfinite().all()):
            raise ValueError("TriangleMesh: expected finite vertices, and triangles that name existing vertices")
        self._kernels: Any = _warp_mesh
        self._device = device_for(vertices.device)
        self._solid = solid
        prepare(_warp_mesh, self._device)
        self.triangles = triangles.to(self._device)
        """On the device that Warp computes on."""
        self._place(vertices)
        with on_torch_stream(self._device):
            indices = wp.from_torch(self.triangles.int().reshape(-1).contiguous(), dtype=wp.int32)
            self._mesh = wp.Mesh(self._vectors(self.vertices), indices, support_winding_number=solid)

    def _place(self, vertices: Tensor) -> None:
        self.vertices = vertices.detach().to(self._device)
        self._middle = (self.vertices.amin(dim=0) + self.vertices.amax(dim=0)) / 2

    def move(self, vertices: Float[Tensor, "num_vertices 3"]) -> None:
        """Move the vertices; the search tree keeps its structure and updates its boxes, faster than building a new one.

        Raises:
            ValueError: The number of vertices is not that of the mesh.
        """
        if vertices.shape != self.vertices.shape:
            raise ValueError(
                f"TriangleMesh.move: expected vertices of shape {tuple(self.vertices.shape)}, "
                f"found {tuple(vertices.shape)}"
            )
        self._place(vertices)
        with on_torch_stream(self._device):
            self._mesh.points = self._vectors(self.vertices)

    def first_hits(self, origins: Float[Tensor, "num_rays 3"], directions: Float[Tensor, "num_rays 3"]) -> RayHits:
        """Return the first triangle that each ray meets, from either side; directions need not be unit vectors."""
        triangle = self._empty(len(origins), torch.int32)
        hit = torch.zeros(len(origins), 3, device=self._device)
        rays = self._vectors(origins), self._vectors(directions, place=False)
        self._launch(self._kernels.first_hits, len(origins), *rays, triangle, hit)
        hit = hit.to(origins)
        triangle = triangle.to(origins.device).long()
        third = torch.where(triangle >= 0, 1 - hit[:, 0] - hit[:, 1], 0.0)
        return RayHits(triangle, torch.stack([hit[:, 0], hit[:, 1], third], dim=-1), hit[:, 2])

    def is_blocked(
        self, origins: Float[Tensor, "num_rays 3"], directions: Float[Tensor, "num_rays 3"]
    ) -> Bool[Tensor, "num_rays"]:
        """Return whether each ray meets any triangle."""
        blocked = self._empty(len(origins), torch.bool)
        rays = self._vectors(origins), self._vectors(directions, place=False)
        self._launch(self._kernels.any_hits, len(origins), *rays, blocked)
        return blocked.to(origins.device)

    def closest(self, points: Float[Tensor, "num_points 3"]) -> ClosestTriangles:
        """Return the closest triangle and closest point of each point; slivers (width / length < 1e-6) are ignored.

        Raises:
            ValueError: Points are not finite, or there are only slivers.
        """
        triangle = self._empty(len(points), torch.int32)
        weights = torch.zeros(len(points), 3, device=self._device)
        self._launch(self._kernels.closest, len(points), self._vectors(points), triangle, weights)
        triangle = triangle.long()
        if bool((triangle < 0).any()):
            raise ValueError("TriangleMesh.closest: expected finite points, and at least one triangle with an area")
        where = points.detach().to(self._device)
        weights = weights.to(self.vertices)
        weights[:, 2] = 1 - weights[:, 0] - weights[:, 1]
        weights = weights.clamp_min(0)
        weights = weights / weights.sum(dim=-1, keepdim=True)  # the sum is exactly 1 in the dtype of the vertices
        nearest = (self.vertices[self.triangles[triangle]] * weights[..., None]).sum(dim=1)
        distance = torch.linalg.vector_norm(where - nearest, dim=-1)
        return ClosestTriangles(triangle.to(points.device), weights.to(points), distance.to(points))

    def contains(self, points: Float[Tensor, "num_points 3"]) -> Bool[Tensor, "num_points"]:
        """Return whether each point is inside: its generalised winding number (Jacobson et al. 2013) is above 0.5.

        The number is an integer for a closed mesh: 0 outside, 1 inside, 2 inside two overlapping shells. Near holes it
        is fractional. It is correct to about 0.05 (Barill et al. 2018).

        Raises:
            ValueError: The mesh was made without ``solid``.
        """
        if not self._solid:
            raise ValueError("TriangleMesh.contains: expected a mesh made with solid=True")
        inside = self._empty(len(points), torch.bool)
        self._launch(self._kernels.inside, len(points), self._vectors(points), inside)
        return inside.to(points.device)

    def _vectors(self, values: Tensor, place: bool = True) -> wp.array:
        """Convert to float32 vectors for Warp; positions (``place``) become relative to the middle of the mesh."""
        import warp as wp

        values = values.detach().to(self._device)
        if place:
            values = values - self._middle
        return wp.from_torch(values.float().contiguous(), dtype=wp.vec3)

    def _empty(self, num: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(num, dtype=dtype, device=self._device)

    def _launch(self, kernel: Any, num: int, *arrays: Any) -> None:
        """Launch a kernel, one thread per ray or point; on the CPU, where Warp has one thread, in chunks on all cores.

        The kernel receives tensors of three columns as arrays of vectors.
        """
        import warp as wp

        given = [wp.from_torch(a, wp.vec3 if a.ndim == 2 else None) if isinstance(a, Tensor) else a for a in arrays]
        place = wp.device_from_torch(self._device)

        def launch(start: int, stop: int) -> None:
            wp.launch(kernel, dim=stop - start, inputs=[self._mesh.id, start, *given], device=place)

        with on_torch_stream(self._device):
            if self._device.type == "cpu":
                run_chunks(launch, even_bounds(num, _MIN_CHUNK))
            elif num:
                launch(0, num)
