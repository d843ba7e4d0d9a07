"""Surfels that a predictor binds to a rig: each in the anisotropic frame of its triangle, in the light of a picture.

The frame of a triangle has one scale per axis, as in SHeaP (arXiv 2504.12292): ``S = diag(s_u, min(s_u, s_v), s_v)``
along base, normal and height, with s_u the length of the base and s_v the height. A surfel at the place P with the
offset d is at ``P + R S d``. Where a triangle is stretched along one side, so are its surfels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import Atlas, RigPlaces
from sage_ns.avatar.light import light_factors, smooth_normals
from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.rotations import matrix_to_quaternion, quaternion_multiply, quaternion_to_matrix
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.rig import HeadModel
from sage_ns.training.losses import field_depth, normal_alignment

_FIRST_OPACITY = 2.0
"""Before the sigmoid."""
_COVER = 0.7
"""Size of the first surfels, relative to the distance of their neighbours: the skin has no gaps."""
_CLOSE = {"hair": 0.0}
"""How much surfels of a part of the head have to keep to the mesh; all others have 1. Hair stands off."""
_FLAT = (0.7071067811865476, -0.7071067811865476, 0.0, 0.0)
"""Rotation of surfels that lie on their triangle: z, their normal, onto y, that of the frame."""
_SHALLOWEST = 1e-5
"""Metres; smallest size of a triangle along an axis."""


@dataclass(frozen=True, eq=False)
class RiggedSurfels:
    """One surfel per place, in the anisotropic frames of the triangles."""

    offset: Float[Tensor, "num_places 3"]
    """From the place, in units of the frame's axes (base, normal, height)."""
    log_scales: Float[Tensor, "num_places 2"]
    """Logarithms of the sizes along base and height, in units of these."""
    quaternions: Float[Tensor, "num_places 4"]
    """Rotations (wxyz) from the surfel to the frame; not normalised."""
    albedo: Float[Tensor, "num_places 3"]
    """sRGB, under plain light."""
    opacity_logits: Float[Tensor, "num_places"]

    def rows(self, rows: Tensor) -> RiggedSurfels:
        """Return some of the surfels."""
        return RiggedSurfels(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class PlacedPerson:
    """Surfels of a posed and lit person in the world, and the same surfels laid flat onto the mesh."""

    surfels: Surfels
    on_mesh: Surfels
    """Without gradients; colours are how much each surfel has to keep to the mesh."""
    normals: Float[Tensor, "num_places 3"]
    """Of the triangles."""
    keep: Float[Tensor, "num_places"]
    """How much each surfel has to keep to the mesh, 0..1."""

    def normal_consistency(self) -> Float[Tensor, ""]:
        """Return ``mean_i w_i (1 - |n_i . m_i|)``: normals of surfels against those of their triangles.

        w is the opacity, which gets no gradient, times `keep`.
        """
        own = quaternion_to_matrix(self.surfels.quaternions)[..., 2]
        return normal_alignment(own, self.normals, self.surfels.opacities.detach() * self.keep)

    def depth_consistency(
        self, depth: Float[Tensor, "h w 1"], alpha: Float[Tensor, "h w 1"], camera: PinholeCamera
    ) -> Float[Tensor, ""]:
        """Return the mean distance [Huber's, metres] of drawn depths from those of the mesh.

        The depth of the mesh is that of the same surfels laid onto it, so that both are covered alike: it is drawn on
        any device without waiting for it, and the difference is 0 where the surfels lie on the mesh.

        Args:
            depth: of the drawn surfels (`sage_ns.raster.Buffers.depth`).
            alpha: coverage of the drawn surfels.
            camera: that they were drawn for.
        """
        with torch.no_grad():
            mesh = rasterize(self.on_mesh, camera)
            weight = alpha * mesh.color[..., :1]
        return field_depth(depth.flatten(), mesh.depth.flatten(), weight.flatten())


class SurfelPlaces:
    """The places of an atlas on a head model, as predicted surfels need them.

    Args:
        atlas: the places on the reference head.
        places: the same on the head model.
        model: head model.
    """

    def __init__(self, atlas: Atlas, places: RigPlaces, model: HeadModel) -> None:
        triangle, barycentric = places.triangle, places.barycentric
        self.triangle, self.barycentric, self.triangles = triangle, barycentric, model.triangles
        self.corners: Int[Tensor, "num_places 3"] = model.triangles[triangle]
        """Of the triangle of each place."""
        self.neighbours: Int[Tensor, "num_places num_neighbours"] = atlas.neighbours.to(triangle.device)
        keep = torch.ones(atlas.num_places)
        for name, value in _CLOSE.items():
            keep[atlas.labelled(name)] = value
        self.keep = keep.to(triangle.device)
        points = places.points(model.v_template, model.triangles)
        spacing = (points[self.neighbours[:, :4]] - points[:, None]).norm(dim=-1).mean(dim=1).clamp(5e-4, 2e-2)
        axes = axis_sizes(model.v_template, self.corners)[:, ::2]
        self.flat = torch.tensor(_FLAT).to(points)
        self.no_turn = torch.tensor([1.0, 0.0, 0.0, 0.0]).to(points)
        self.first_log_scales = (_COVER * spacing[:, None] / axes).log().clamp(-4.0, 4.0)

    def to(self, device: torch.device | str) -> SurfelPlaces:
        """Return the same places on another device."""
        moved = object.__new__(SurfelPlaces)
        moved.__dict__.update({name: each.to(device) for name, each in self.__dict__.items()})
        return moved

    def surfels(self, outputs: Float[Tensor, "num_places 13"]) -> RiggedSurfels:
        """Return the surfels of a network's outputs; zeros are grey surfels that lie flat on the skin."""
        offset, scales, turn, color, opacity = outputs.split([3, 2, 4, 3, 1], dim=-1)
        return RiggedSurfels(
            offset=offset,
            log_scales=self.first_log_scales + 2 * (scales / 2).tanh(),
            quaternions=quaternion_multiply(self.flat.expand_as(turn), turn + self.no_turn),
            albedo=color.sigmoid(),
            opacity_logits=opacity[:, 0] + _FIRST_OPACITY,
        )

    def place(
        self,
        surfels: RiggedSurfels,
        vertices: Float[Tensor, "num_vertices 3"],
        light: Float[Tensor, "9 3"],
        axes: Float[Tensor, "3 3"] | None = None,
    ) -> PlacedPerson:
        """Return the surfels on a posed rig [metres]; gradients reach surfels, vertices and light.

        Args:
            surfels: of the person.
            vertices: of the posed rig.
            light: harmonics.
            axes: axes of the light in the world, as columns; None = the world's.
        """
        frames, sizes = triangle_frames(vertices, self.corners), axis_sizes(vertices, self.corners)
        points = barycentric_to_points(vertices, self.triangles, self.triangle, self.barycentric)
        frame = matrix_to_quaternion(frames.rotation)
        means = points + (frames.rotation @ (sizes * surfels.offset)[..., None])[..., 0]
        scales = surfels.log_scales.exp() * sizes[:, ::2]
        normals = smooth_normals(vertices, self.triangles)[self.triangle]
        factors = light_factors(light, normals if axes is None else normals @ axes)
        turned = quaternion_multiply(frame, F.normalize(surfels.quaternions, dim=-1))
        opacities = surfels.opacity_logits.sigmoid()
        flat = quaternion_multiply(frame, self.flat.expand_as(frame))
        on_mesh = Surfels(points, flat, scales, opacities, self.keep[:, None].expand(-1, 3).contiguous())
        return PlacedPerson(
            Surfels(means, turned, scales, opacities, surfels.albedo * factors),
            Surfels(*(getattr(on_mesh, field.name).detach() for field in fields(on_mesh))),
            frames.normal,
            self.keep,
        )


def axis_sizes(
    vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
) -> Float[Tensor, "num_triangles 3"]:
    """Return the sizes of the anisotropic frames [metres]: base, the smaller of base and height, height."""
    corners = vertices[triangles]
    base, edge = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = torch.linalg.vector_norm(base, dim=-1).clamp_min(_SHALLOWEST)
    height = torch.linalg.vector_norm(torch.linalg.cross(base, edge), dim=-1) / length
    height = height.clamp_min(_SHALLOWEST)
    return torch.stack([length, torch.minimum(length, height), height], dim=-1)
