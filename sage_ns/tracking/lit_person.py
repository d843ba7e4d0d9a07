"""A person of a prior over people on a posed head model, in the light of one picture, drawn as surfels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.avatar.atlas import RigPlaces
from sage_ns.avatar.atlas_surfels import PosedPlaces
from sage_ns.avatar.light import NUM_LIGHT, light_factors, plain_light, smooth_normals
from sage_ns.geometry.spherical_harmonics import sh_basis
from sage_ns.priors.attributes import COLOUR, surfels_of
from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.raster.cameras import project
from sage_ns.raster.supersampling import averaged, enlarged
from sage_ns.rig import HeadModel
from sage_ns.tracking.least_squares import cauchy_weights

SUPERSAMPLING = 2
_ROUNDS = 4
"""Of reweighted least squares, for the light."""
_OPAQUE = 0.9
_GAIN_RIDGE = 1e-4
"""Pull of the gain to 1, relative to the mean square of the colours; the other harmonics have a setting."""
_LEAST_FACING, _DEPTH_OF_SKIN = 0.05, 0.015
"""Cosine to the camera, and metres behind the drawn depth, within which a place is seen."""


@dataclass(frozen=True, eq=False)
class LitPerson:
    """Attributes of a person, and the light on them: colours are multiplied by ``max(0, sum_k Y_k(n) L_k)``."""

    attributes: Float[Tensor, "num_places 9"]
    light: Float[Tensor, "9 3"]

    @classmethod
    def in_plain_light(cls, attributes: Float[Tensor, "num_places 9"]) -> LitPerson:
        """Return a person whose colours are those of the attributes."""
        return cls(attributes, plain_light())


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn head."""

    color: Float[Tensor, "h w 3"]
    """Premultiplied by alpha."""
    alpha: Float[Tensor, "h w 1"]

    @property
    def on_white(self) -> Float[Tensor, "h w 3"]:
        """The head on white."""
        return self.color + (1 - self.alpha)


class PersonOnRig:
    """The places of an atlas on a head model: poses and draws people there.

    Args:
        model: head model.
        places: of the atlas on it.
    """

    def __init__(self, model: HeadModel, places: RigPlaces) -> None:
        self.triangles = model.triangles
        self.places = places

    def draw(self, person: LitPerson, vertices: Float[Tensor, "num_vertices 3"], camera: PinholeCamera) -> Drawing:
        """Return what the camera sees."""
        placed = self._unlit(person, vertices, camera)
        return _drawn(replace(placed, colors=placed.colors * self.factors(person.light, vertices)), camera)

    def draw_harmonics(
        self, person: LitPerson, vertices: Float[Tensor, "num_vertices 3"], camera: PinholeCamera
    ) -> Float[Tensor, "9 h w 3"]:
        """Return the person under each harmonic of the light alone, premultiplied: a picture is their weighted sum."""
        placed, basis = self._unlit(person, vertices, camera), self._harmonics(vertices)
        each = (replace(placed, colors=placed.colors * basis[:, k : k + 1]) for k in range(NUM_LIGHT))
        return torch.stack([_drawn(surfels, camera).color for surfels in each])

    def draw_values(
        self,
        person: LitPerson,
        vertices: Float[Tensor, "num_vertices 3"],
        camera: PinholeCamera,
        values: Float[Tensor, "num_places"],
    ) -> Float[Tensor, "h w"]:
        """Return the mean of a value over the places that each pixel shows, times the coverage."""
        placed = self._unlit(person, vertices, camera)
        return _drawn(replace(placed, colors=values[:, None].expand(-1, 3).contiguous()), camera).color[..., 0]

    def factors(
        self, light: Float[Tensor, "9 3"], vertices: Float[Tensor, "num_vertices 3"]
    ) -> Float[Tensor, "num_places 3"]:
        """Return the factors of the light on the colours of the places."""
        return light_factors(light, self._normals(vertices))

    def seen(
        self, person: LitPerson, vertices: Float[Tensor, "num_vertices 3"], camera: PinholeCamera
    ) -> Bool[Tensor, "num_places"]:
        """Return which places the camera sees."""
        posed = PosedPlaces(self.places, vertices, self.triangles)
        found = project(posed.points, camera)
        depth = rasterize(self._unlit(person, vertices, camera), camera).depth[..., 0][found.row, found.column]
        towards = F.normalize(camera.center - posed.points, dim=-1)
        facing = (posed.axes[..., 1] * towards).sum(dim=-1) > _LEAST_FACING
        return found.inside & facing & ((found.depth - depth).abs() < _DEPTH_OF_SKIN)

    def _unlit(self, person: LitPerson, vertices: Tensor, camera: PinholeCamera) -> Surfels:
        posed = PosedPlaces(self.places, vertices, self.triangles)
        return posed.place(surfels_of(person.attributes), camera.center)

    def _harmonics(self, vertices: Tensor) -> Float[Tensor, "num_places 9"]:
        return sh_basis(self._normals(vertices), NUM_LIGHT)

    def _normals(self, vertices: Tensor) -> Float[Tensor, "num_places 3"]:
        return smooth_normals(vertices, self.triangles)[self.places.triangle]


def lit(
    attributes: Callable[[Float[Tensor, "num_codes"]], Float[Tensor, "num_places 9"]],
    factors: Float[Tensor, "num_places 3"],
) -> Callable[[Float[Tensor, "num_codes"]], Float[Tensor, "num_places 9"]]:
    """Return the people of a prior in a light that does not change: their colours times the factors."""
    all_attributes = F.pad(factors, (COLOUR.start, 0), value=1.0)
    return lambda code: attributes(code) * all_attributes


def fitted_light(
    harmonics: Float[Tensor, "9 h w 3"],
    alpha: Float[Tensor, "h w 1"],
    picture: Float[Tensor, "h w 3"],
    weight: Float[Tensor, "h w"],
    unit: float,
    ridge: float,
) -> Float[Tensor, "9 3"]:
    """Return the light in which a drawn head looks most like a picture: robust least squares, channel by channel.

    Args:
        harmonics: what `PersonOnRig.draw_harmonics` returns.
        alpha: coverage of that drawing.
        picture: on white.
        weight: of every pixel; 0 outside of the person.
        unit: difference of colours from which on a pixel counts for less.
        ridge: pull of the harmonics above the constant one to 0.
    """
    rows = (alpha[..., 0] > _OPAQUE) & (weight > 0)
    light = plain = plain_light().double()
    if not bool(rows.any()):
        return plain.float()
    basis, goal = harmonics[:, rows].double(), (picture - (1 - alpha))[rows].double()
    pull = torch.full((NUM_LIGHT,), ridge, dtype=torch.float64)
    pull[0] = _GAIN_RIDGE
    for _ in range(_ROUNDS):
        columns = []
        for channel in range(3):
            shown, wanted = basis[..., channel], goal[:, channel]
            w = weight[rows].double() * cauchy_weights((light[:, channel] @ shown - wanted) / unit, 1.0)
            w = w / w.sum()
            normal = (shown * w) @ shown.T + torch.diag(pull)
            columns.append(torch.linalg.solve(normal, (shown * w) @ wanted + pull * plain[:, channel]))
        light = torch.stack(columns, dim=-1)
    return light.float()


def _drawn(placed: Surfels, camera: PinholeCamera) -> Drawing:
    buffers = rasterize(placed, enlarged(camera, SUPERSAMPLING))
    return Drawing(averaged(buffers.color, SUPERSAMPLING), averaged(buffers.alpha, SUPERSAMPLING))
