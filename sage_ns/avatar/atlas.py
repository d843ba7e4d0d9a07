"""Fixed places on a reference head, and the same places on every other head: what makes avatars comparable.

An avatar whose surfels sit at the places of an atlas can be averaged with others, mixed with them, or predicted. The
places are points on the triangles of a reference head. Any other head model is registered to it once
(`sage_ns.rig.correspondence`), which gives the same places on its own triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.geometry.mesh_queries import barycentric_to_points, sample_triangles, uniform_barycentric
from sage_ns.geometry.rotations import matrix_to_quaternion
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.geometry.triangles import triangle_areas, triangle_frames
from sage_ns.rig import HeadModel
from sage_ns.rig.correspondence import Correspondence, correspondence

PLACES_ON_CPU, PLACES_ON_CUDA = 12_000, 65_536
"""Usual numbers of places."""

LABELS = ("face", "hair", "neck", "ears", "eyes", "lips")
"""Parts of a head, by their numbers in `Atlas.label`: places of one part vary together from person to person."""

NUM_NEIGHBOURS = 8

_DENSITY = {"face": 2.0, "hair": 2.0, "neck": 0.8, "ears": 2.0, "eyes": 3.0, "lips": 3.0}
"""Places per area, relative to the rest. Hair is a volume above its area."""
_REGIONS = {
    "hair": ("hair",), "neck": ("neck", "boundary"), "ears": ("left_ear", "right_ear"), "eyes": ("eyes",),
    "lips": ("lips",),
}  # fmt: skip
"""Regions that make a label, in ascending priority; what is in none of them is face."""
_MIDDLE = 1e-4
"""Metres; places nearer to the plane of symmetry are moved this far from it, so that every place has a mirrored one."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Places on the triangles of the reference head; the second half are the mirror images of the first."""

    triangle: Int[Tensor, "num_places"]
    barycentric: Float[Tensor, "num_places 3"]
    label: Int[Tensor, "num_places"]
    """Part of the head, a number of `LABELS`."""
    mirror: Int[Tensor, "num_places"]
    """The place on the other side of the face."""
    neighbours: Int[Tensor, "num_places num_neighbours"]
    """The nearest places with the same label; a place itself where there are too few."""
    uv: Float[Tensor, "num_places 2"] | None = None
    """Texture coordinates; None where the reference head has none."""

    @property
    def num_places(self) -> int:
        """Number of places."""
        return len(self.triangle)

    def labelled(self, *names: str) -> Tensor:
        """Return which places have one of these labels, bool [num_places]."""
        numbers = torch.tensor([LABELS.index(name) for name in names], device=self.label.device)
        return torch.isin(self.label, numbers)

    def points(self, vertices: Float[Tensor, "num_vertices 3"], model: HeadModel) -> Float[Tensor, "num_places 3"]:
        """Return the places on the reference head, posed or in another shape [metres]."""
        return barycentric_to_points(vertices, model.triangles, self.triangle, self.barycentric)


@dataclass(frozen=True, eq=False)
class RigPlaces:
    """The places of an atlas on the triangles of one head model, and the axes of each place."""

    triangle: Int[Tensor, "num_places"]
    barycentric: Float[Tensor, "num_places 3"]
    turn: Float[Tensor, "num_places 4"]
    """Rotation (wxyz) from the axes of the place, which all rigs share, to the axes of the rig's triangle. On the
    reference head these are the same."""
    residual: Correspondence | None = None
    """How well the reference head fits the rig; None on the reference head itself."""

    def to(self, device: torch.device | str) -> RigPlaces:
        """Return the same places on another device."""
        moved = (self.triangle.to(device), self.barycentric.to(device), self.turn.to(device))
        return RigPlaces(*moved, self.residual)

    def points(
        self, vertices: Float[Tensor, "num_vertices 3"], triangles: Int[Tensor, "num_triangles 3"]
    ) -> Float[Tensor, "num_places 3"]:
        """Return the places on the posed rig [metres]."""
        return barycentric_to_points(vertices, triangles, self.triangle, self.barycentric)


def make_atlas(reference: HeadModel, num_places: int = PLACES_ON_CPU, seed: int = 0) -> Atlas:
    """Spread places over a symmetric head.

    Half of them are drawn by area on the left side, more densely where people differ most; the others are their
    mirror images.

    Args:
        reference: mean head, symmetric to the plane x = 0, with regions.
        num_places: even; at least 100.
        seed: of the draw. The same head, number and seed give the same atlas.

    Raises:
        ValueError: the number is odd or too small.
    """
    if num_places < 100 or num_places % 2:
        raise ValueError(f"make_atlas: found {num_places} places, expected an even number of at least 100")
    vertices, triangles = reference.v_template.cpu(), reference.triangles.cpu()
    labels = triangle_labels(reference).cpu()
    density = torch.tensor([_DENSITY[name] for name in LABELS])[labels]
    generator = torch.Generator().manual_seed(seed)
    sideways = vertices[triangles][..., 0]
    low, high = sideways.aminmax(dim=-1)
    left = (high / (high - low).clamp_min(1e-9)).clamp(0.0, 1.0)  # share of the triangle, roughly
    weights = triangle_areas(vertices, triangles) * density * left
    triangle = sample_triangles(weights, num_places // 2, generator)
    drawn = barycentric_to_points(vertices, triangles, triangle, uniform_barycentric(num_places // 2, generator))
    drawn[:, 0] = drawn[:, 0].abs().clamp_min(_MIDDLE)
    surface = TriangleMesh(vertices, triangles)
    both = surface.closest(torch.cat([drawn, drawn * torch.tensor([-1.0, 1.0, 1.0])]))
    half = num_places // 2
    mirror = torch.cat([torch.arange(half, num_places), torch.arange(half)])
    label = labels[both.triangle]
    label[half:] = label[:half]  # a place on the border of two parts and its image have one label
    points = barycentric_to_points(vertices, triangles, both.triangle, both.barycentric)
    uv = None
    if reference.uv is not None and reference.uv_triangles is not None:
        uv = (reference.uv.cpu()[reference.uv_triangles.cpu()[both.triangle]] * both.barycentric[..., None]).sum(dim=1)
    return Atlas(both.triangle, both.barycentric, label, mirror, _neighbours(points, label), uv)


def triangle_labels(model: HeadModel) -> Int[Tensor, "num_triangles"]:
    """Return the label of every triangle, a number of `LABELS`; face where the model has no regions."""
    labels = torch.zeros(model.num_triangles, dtype=torch.int64, device=model.triangles.device)
    for name, regions in _REGIONS.items():
        for region in regions:
            labels[model.regions.triangle_mask(region, model.triangles)] = LABELS.index(name)
    return labels


def places_on(atlas: Atlas, reference: HeadModel, model: HeadModel) -> RigPlaces:
    """Return the places of an atlas on a head model; on the atlas's own head exactly its places.

    Args:
        atlas: made on the reference head.
        reference: mean head of the atlas.
        model: mean head of any model (not a personal one: people of one rig share their places).

    Raises:
        RegistrationError: the model is no head that the reference can be registered to.
    """
    if _same_mesh(reference, model):
        turn = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(atlas.num_places, 1)
        return RigPlaces(atlas.triangle, atlas.barycentric, turn).to(model.v_template.device)
    fitted = correspondence(reference, model)
    vertices, triangles = fitted.vertices.cpu(), reference.triangles.cpu()
    theirs, corners = model.v_template.cpu(), model.triangles.cpu()
    found = TriangleMesh(theirs, corners).closest(
        barycentric_to_points(vertices, triangles, atlas.triangle, atlas.barycentric)
    )
    own_axes = triangle_frames(vertices, triangles).rotation[atlas.triangle]
    their_axes = triangle_frames(theirs, corners).rotation[found.triangle]
    turn = matrix_to_quaternion(their_axes.mT @ own_axes)
    return RigPlaces(found.triangle, found.barycentric, turn, fitted).to(model.v_template.device)


def _same_mesh(a: HeadModel, b: HeadModel) -> bool:
    same = a.triangles.shape == b.triangles.shape and a.v_template.shape == b.v_template.shape
    return same and torch.equal(a.triangles.cpu(), b.triangles.cpu()) and torch.equal(
        a.v_template.cpu(), b.v_template.cpu()
    )  # fmt: skip


def _neighbours(
    points: Float[Tensor, "num_places 3"], label: Int[Tensor, "num_places"]
) -> Int[Tensor, "num_places num_neighbours"]:
    from scipy.spatial import KDTree

    neighbours = torch.arange(len(points))[:, None].repeat(1, NUM_NEIGHBOURS)
    for number in label.unique():
        rows = (label == number).nonzero()[:, 0]
        count = min(NUM_NEIGHBOURS, len(rows) - 1)
        if count > 0:
            places = points[rows].double().numpy()
            near = KDTree(places).query(places, k=count + 1)[1][:, 1:]
            neighbours[rows, :count] = rows[torch.from_numpy(near)]
    return neighbours
