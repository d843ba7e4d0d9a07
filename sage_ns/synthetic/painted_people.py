"""People of any head model, painted once and then seen in any pose, without light: light is added where they are used.

A picture of `sage_ns.synthetic.painted` evaluates the painter at every pixel. Here the painter colours the vertices and
the middles of the edges, and pixels mix these six colours of their triangle: one person costs as much as one picture
does there, and every further picture of the person a tenth of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.vertex_means import vertex_normals
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import pixel_rays
from sage_ns.raster.supersampling import enlarged
from sage_ns.rig import HeadModel
from sage_ns.synthetic.painted import INSIDE, PAINTED_BROWS, PaintingPlaces, albedo_at
from sage_ns.synthetic.random_look import random_look

_SUPERSAMPLING = 2
_GAMMA = 1 / 2.2


@dataclass(frozen=True, eq=False)
class UnlitPicture:
    """A head without light, in bytes: what `unlit_values` returns as numbers."""

    channels: UInt8[Tensor, "h w 7"]
    """Colour of the skin under plain light (sRGB, 3), normal in the world (3, from -1 at 0 to 1 at 254), coverage (1).
    Colour and normal are premultiplied by the coverage."""


def unlit_values(
    channels: UInt8[Tensor, "*batch h w 7"],
) -> tuple[Float[Tensor, "*batch h w 3"], Float[Tensor, "*batch h w 3"], Float[Tensor, "*batch h w 1"]]:
    """Return colour, normal and coverage of unlit pictures; the first two are premultiplied by the coverage."""
    color, normal, cover = channels.float().split([3, 3, 1], dim=-1)
    return color / 255, normal / 127 - 1, cover / 255


class PaintedPeople:
    """A head model that is painted like people of the generator, without hair.

    Args:
        model: mean head of any model; one that is not the built-in head is registered to it, for where to paint.

    Raises:
        RegistrationError: the model is no head that the built-in head can be registered to.
    """

    def __init__(self, model: HeadModel) -> None:
        self._triangles = model.triangles.cpu()
        sides = self._triangles[:, [[1, 2], [2, 0], [0, 1]]].sort(dim=-1).values
        edges, rows = sides.reshape(-1, 2).unique(dim=0, return_inverse=True)
        self._nodes = torch.cat([self._triangles, model.num_vertices + rows.reshape(-1, 3)], dim=1)
        """Of each triangle: its corners, then the middles of the sides that lie opposite to them."""
        places = PaintingPlaces.on(model).joined()
        self._places = torch.cat([places, places[edges].mean(dim=1)])
        self._mesh: TriangleMesh | None = None

    def paint(self, number: int) -> Float[Tensor, "num_nodes 3"]:
        """Return the colours (sRGB, plain light) of person ``number`` of the generator (`random_look`)."""
        look = random_look(number)
        look = replace(look, brows=replace(look.brows, shade=PAINTED_BROWS))
        linear = torch.from_numpy(albedo_at(self._places.double().numpy(), look))
        return linear.clamp(0.0, 1.0).pow(_GAMMA).float()

    def seen(
        self, vertices: Float[Tensor, "num_vertices 3"], camera: PinholeCamera, paint: Float[Tensor, "num_nodes 3"]
    ) -> UnlitPicture:
        """Return what a camera sees of a posed head [metres] with these colours (`paint`)."""
        large = enlarged(camera, _SUPERSAMPLING)
        origins, directions = (each.reshape(-1, 3) for each in pixel_rays(large))
        if self._mesh is None:
            self._mesh = TriangleMesh(vertices, self._triangles)
        self._mesh.move(vertices)
        hits = self._mesh.first_hits(origins, directions)
        rows = (hits.triangle >= 0).nonzero()[:, 0]
        triangle, weights = hits.triangle[rows], hits.barycentric[rows]
        color = (paint[self._nodes[triangle]] * _quadratic(weights)[..., None]).sum(dim=1).clamp(0.0, 1.0)
        normal = (vertex_normals(vertices, self._triangles)[self._triangles[triangle]] * weights[..., None]).sum(dim=1)
        normal = torch.nn.functional.normalize(normal, dim=-1)
        inner = (normal * directions[rows]).sum(dim=1, keepdim=True) > 0
        color = torch.where(inner, color.new_tensor(INSIDE) ** _GAMMA, color)
        values = torch.zeros(len(origins), 7)
        values[rows] = torch.cat([color, torch.where(inner, -normal, normal), torch.ones(len(rows), 1)], dim=1)
        blocks = values.reshape(camera.height, _SUPERSAMPLING, camera.width, _SUPERSAMPLING, 7).mean(dim=(1, 3))
        scale, shift = blocks.new_tensor([[255.0] * 3 + [127.0] * 3 + [255.0], [0.0] * 3 + [127.0] * 3 + [0.0]])
        return UnlitPicture((blocks * scale + shift).round().to(torch.uint8))


def _quadratic(weights: Float[Tensor, "n 3"]) -> Float[Tensor, "n 6"]:
    """Return the weights of corners and middles of sides that interpolate a quadratic function on a triangle."""
    corners = weights * (2 * weights - 1)
    sides = 4 * weights[:, [1, 2, 0]] * weights[:, [2, 0, 1]]
    return torch.cat([corners, sides], dim=1)
