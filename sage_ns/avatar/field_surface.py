"""The surface of the signed distance field as a mesh: extraction, posing and rendering."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.rig.carry import CarriedPoints

if TYPE_CHECKING:
    from sage_ns.avatar.appearance_network import AppearanceNetwork
    from sage_ns.field.sdf import SignedDistanceField

CELL_SIZE = 0.0015
"""Default resolution of an extracted surface, metres."""
_CHUNK = 1 << 16
"""Number of points per evaluation of the field."""
_COARSEST_BLOCK = 8
"""Cells along the edge of the blocks at the start of the search."""
_MAX_SLOPE = 2.0
"""Bound on the length of the field's gradient (usually about 1); blocks that cannot reach 0 with it are skipped."""
_MAX_POINTS = 1 << 28
"""Largest lattice that fits into memory."""


class SurfaceView(NamedTuple):
    """Pictures of a surface from one camera; colour, normal and depth are 0 in pixels whose ray hits nothing."""

    color: Float[Tensor, "h w 3"]
    normal: Float[Tensor, "h w 3"]
    """Unit, world."""
    depth: Float[Tensor, "h w 1"]
    """Along the camera's z axis, metres."""
    hit: Bool[Tensor, "h w 1"]
    triangle: Int[Tensor, "h w 1"]
    """Index of the triangle, -1 without a hit."""


@dataclass(frozen=True, eq=False)
class SurfaceMesh:
    """A coloured triangle mesh in the world: metres, y up, triangles counter-clockwise from outside."""

    vertices: Float[Tensor, "num_vertices 3"]
    triangles: Int[Tensor, "num_triangles 3"]
    normals: Float[Tensor, "num_vertices 3"]
    """Unit, outwards."""
    colors: Float[Tensor, "num_vertices 3"]
    """RGB, 0..1."""

    @cached_property
    def caster(self) -> TriangleMesh:
        """Search tree for rays at this mesh; built at first use."""
        return TriangleMesh(self.vertices, self.triangles)

    def posed(self, carry: CarriedPoints, vertices: Float[Tensor, "num_rig_vertices 3"]) -> SurfaceMesh:
        """Return this canonical surface under a pose of the rig.

        Args:
            carry: Vertices of the mesh, bound to the canonical rig.
            vertices: Vertices of the posed rig, metres.
        """
        carried = carry.at(vertices)
        return replace(self, vertices=carried.points, normals=carried.turned(self.normals))

    def to(self, device: torch.device | str) -> SurfaceMesh:
        """Return the same mesh on another device."""
        return SurfaceMesh(*(getattr(self, each.name).to(device) for each in fields(self)))


def render_surface(mesh: SurfaceMesh, camera: PinholeCamera) -> SurfaceView:
    """Render the mesh from ``camera``: first hit of each pixel's ray, attributes interpolated over the triangle."""
    origins, directions = pixel_rays(camera)
    origins, directions = (rays.reshape(-1, 3) for rays in (origins, directions))
    triangle = mesh.caster.first_hits(origins, directions).triangle
    hit = triangle >= 0
    corners = mesh.triangles[triangle[hit]]
    barycentric = _barycentric(
        mesh.vertices[corners].double(),
        origins.to(hit.device)[hit].double(),
        directions.to(hit.device)[hit].double(),
    ).to(mesh.vertices)

    def image(values: Tensor, at_hits: Callable[[Tensor], Tensor] = lambda interpolated: interpolated) -> Tensor:
        pixels = values.new_zeros(len(hit), values.shape[1])
        pixels[hit] = at_hits((values[corners] * barycentric[..., None]).sum(dim=1))
        return pixels.reshape(camera.height, camera.width, -1)

    to_camera = camera.T_camera_world.to(mesh.vertices)
    depth = (mesh.vertices @ to_camera[2, :3] + to_camera[2, 3])[:, None]
    return SurfaceView(
        color=image(mesh.colors),
        normal=image(mesh.normals, lambda normals: F.normalize(normals, dim=-1)),
        depth=image(depth),
        hit=hit.reshape(camera.height, camera.width, 1),
        triangle=triangle.reshape(camera.height, camera.width, 1),
    )


def _barycentric(
    corners: Float[Tensor, "num 3 3"], origins: Float[Tensor, "num 3"], directions: Float[Tensor, "num 3"]
) -> Float[Tensor, "num 3"]:
    """Return where rays meet their triangles (Moeller and Trumbore 1997), clamped to the triangles."""
    v0, v1, v2 = corners.unbind(dim=1)
    edge1, edge2, offset = v1 - v0, v2 - v0, origins - v0
    across = torch.linalg.cross(directions, edge2)
    determinant = (edge1 * across).sum(dim=-1)
    determinant = torch.where(determinant == 0, 1.0, determinant)
    second = (offset * across).sum(dim=-1) / determinant
    third = (directions * torch.linalg.cross(offset, edge1)).sum(dim=-1) / determinant
    weights = torch.stack([1 - second - third, second, third], dim=-1).clamp(0, 1)
    return weights / weights.sum(dim=-1, keepdim=True)


@torch.no_grad()
def extract_surface(
    field: SignedDistanceField,
    appearance: AppearanceNetwork,
    cell_size: float = CELL_SIZE,
    bounds: Float[Tensor, "2 3"] | None = None,
) -> SurfaceMesh:
    """Extract the zero set of a signed distance field by marching cubes; only its largest connected part.

    Colours are those of the canonical appearance, seen perpendicularly to the surface.

    Args:
        field: Distances in metres, negative inside, in canonical world space.
        appearance: The canonical appearance.
        cell_size: Spacing of the lattice, metres.
        bounds: Two opposite corners of the box to search, metres; by default the field's cube.

    Raises:
        SageError: There is no surface in the box, or the lattice would be too large.
    """
    from skimage.measure import marching_cubes

    if bounds is None:
        bounds = torch.stack([field.center - field.half_size, field.center + field.half_size])
    low, high = bounds.to(field.center)
    volume = sampled_near_surface(field.distance, low, high, cell_size)
    if not bool((volume.amin() < 0) & (volume.amax() > 0)):
        raise SageError(
            f"signed distance field: found no surface between {low.tolist()} and {high.tolist()}; train it first"
        )
    corners, triangles, _, _ = marching_cubes(volume.cpu().numpy(), 0.0, gradient_direction="descent")
    corners, triangles = _largest_part(torch.from_numpy(corners.copy()), torch.from_numpy(triangles.astype("int64")))
    vertices = low + cell_size * corners.to(low)
    normals, colors = _attributes(field, appearance, vertices)
    return SurfaceMesh(vertices, triangles.to(vertices.device), normals, colors)


def sampled_near_surface(
    distance: Callable[[Float[Tensor, "num_points 3"]], Float[Tensor, "num_points"]],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    cell_size: float,
) -> Float[Tensor, "nx ny nz"]:
    """Sample a distance function on a lattice from ``low`` to at least ``high`` [metres].

    The function is evaluated only in blocks of cells, halved from step to step, that may contain a piece of the
    surface. Elsewhere values are interpolated: only their sign matters.

    Raises:
        SageError: The lattice would not fit into memory.
    """
    blocks = [max(1, math.ceil(float(extent) / (cell_size * _COARSEST_BLOCK) - 1e-6)) for extent in high - low]
    if math.prod(_COARSEST_BLOCK * num + 1 for num in blocks) > _MAX_POINTS:
        size = [round(1e3 * float(extent)) for extent in high - low]
        raise SageError(
            f"cell size: {1e3 * cell_size:g} mm is too small for a box of {size} mm; give a larger cell size"
        )
    stride = _COARSEST_BLOCK
    wanted = torch.ones([num + 1 for num in blocks], dtype=torch.bool, device=low.device)
    values = torch.zeros(wanted.shape, dtype=low.dtype, device=low.device)
    while True:
        index = wanted.nonzero()
        for part in index.split(_CHUNK):
            values[tuple(part.T)] = distance(low + part.to(low) * (cell_size * stride))
        if stride == 1:
            return values
        reach = _MAX_SLOPE * math.sqrt(3) / 2 * cell_size * stride
        wanted = _lattice_of(_near_zero(values, reach))
        values = F.interpolate(
            values[None, None], size=tuple(wanted.shape), mode="trilinear", align_corners=True
        ).squeeze(0, 1)
        stride //= 2


def _near_zero(values: Float[Tensor, "nx ny nz"], reach: float) -> Bool[Tensor, "..."]:
    """Return blocks with a corner value within ``reach`` of 0, or with corner values of both signs."""
    least = -F.max_pool3d(-values[None, None].abs(), 2, stride=1)[0, 0]
    highest = F.max_pool3d(values[None, None], 2, stride=1)[0, 0]
    lowest = -F.max_pool3d(-values[None, None], 2, stride=1)[0, 0]
    return (least <= reach) | ((highest > 0) & (lowest < 0))


def _lattice_of(blocks: Bool[Tensor, "nx ny nz"]) -> Bool[Tensor, "..."]:
    """Return which points of the lattice with half the spacing lie in the blocks or on their borders."""
    points = torch.zeros([2 * num + 1 for num in blocks.shape], dtype=torch.bool, device=blocks.device)
    for x, y, z in product(range(3), repeat=3):
        nx, ny, nz = blocks.shape
        points[x : x + 2 * nx : 2, y : y + 2 * ny : 2, z : z + 2 * nz : 2] |= blocks
    return points


def _largest_part(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> tuple[Float[Tensor, "num_kept 3"], Int[Tensor, "num_kept_triangles 3"]]:
    """Return the connected part with most triangles, with renumbered vertices."""
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first, second = triangles[:, [0, 1]].reshape(-1), triangles[:, [1, 2]].reshape(-1)
    size = (len(vertices), len(vertices))
    edges = coo_matrix((np.ones(len(first), dtype=bool), (first.numpy(), second.numpy())), shape=size)
    part = torch.from_numpy(connected_components(edges, directed=False)[1].astype("int64"))
    sizes = part[triangles[:, 0]].bincount()
    kept = part == sizes.argmax()
    renumbered = kept.cumsum(0) - 1
    return vertices[kept], renumbered[triangles[kept[triangles[:, 0]]]]


def _attributes(
    field: SignedDistanceField, appearance: AppearanceNetwork, vertices: Float[Tensor, "num_vertices 3"]
) -> tuple[Float[Tensor, "num_vertices 3"], Float[Tensor, "num_vertices 3"]]:
    """Return unit normals, and colours as seen along the inward normal."""
    from sage_ns.avatar.appearance_network import radiance

    normals, colors = [], []
    for part in vertices.split(_CHUNK):
        sample = field.evaluate(part, gradient="detached")
        assert sample.gradient is not None
        normal = F.normalize(sample.gradient, dim=-1)
        shown = appearance(field.normalised(part), sample.gradient, sample.feature)
        normals.append(normal)
        colors.append(radiance(shown, -normal).clamp(0, 1))
    return torch.cat(normals), torch.cat(colors)
