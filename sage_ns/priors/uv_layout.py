"""Where the places of an atlas lie in a square map, as a convolutional decoder paints it; computed, for any head.

The skin is one chart: Lambert's azimuthal equal-area projection (1772) of the directions from inside the head, with the
face in the middle. Its border is a single direction, that of the back of the head: the only seam. The four corners
that this disc leaves free hold the ears and the eyeballs. The layout is symmetric: mirrored places have mirrored
coordinates.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas import Atlas
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.rig import HeadModel

_CENTER = (0.0, 0.01, -0.02)
"""Metres; seen from here, the faces and hair of people hide no part of themselves."""
_DISC = 0.48
"""Radius of the chart of the skin; the map is 1 wide."""
_CORNER = 0.14
"""Width of the charts of ears and eyeballs; they do not touch the disc."""
_MARGIN = 0.1
"""Share of a corner's chart that stays free on each side."""


def place_uv(atlas: Atlas, head: HeadModel) -> Float[Tensor, "num_places 2"]:
    """Return the coordinates of every place, 0..1, v up.

    The upper corners hold the ears: the outer half of the chart has the side that faces away from the head, the inner
    half the one that faces it. The lower corners hold the eyeballs, with the pupils in the middle.

    Args:
        atlas: the places.
        head: the head that the atlas was made on.
    """
    points = atlas.points(head.v_template, head)
    left = points[:, 0] > 0  # u grows with x: the left of the person is on the right of the map, as in a picture
    uv = 0.5 + _DISC * _equal_area(points - points.new_tensor(_CENTER))
    normals = triangle_frames(head.v_template, head.triangles).rotation[atlas.triangle][..., 1]
    for part, coordinates in (("ears", _ear), ("eyes", _eyeball)):
        rows = (atlas.labelled(part) & left).nonzero()[:, 0]
        if not len(rows):
            continue
        uv[rows] = coordinates(points[rows], normals[rows])
        uv[atlas.mirror[rows]] = uv[rows] * uv.new_tensor([-1.0, 1.0]) + uv.new_tensor([1.0, 0.0])
    return uv


def sampled(
    maps: Float[Tensor, "batch channels h w"], uv: Float[Tensor, "num_places 2"]
) -> Float[Tensor, "batch num_places channels"]:
    """Return the values of maps at places, bilinear between the centres of texels; row 0 of a map is its upper edge."""
    grid = uv * uv.new_tensor([2.0, -2.0]) + uv.new_tensor([-1.0, 1.0])
    batch = len(maps)
    values = F.grid_sample(
        maps, grid[None, None].expand(batch, 1, -1, 2), mode="bilinear", padding_mode="border", align_corners=False
    )
    return values[:, :, 0].mT


def _equal_area(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Project directions onto the unit disc, +z into its middle: the radius at angle t from z is ``sin(t / 2)``."""
    directions = F.normalize(directions, dim=-1)
    radius = ((1 - directions[:, 2:]) / 2).clamp_min(0.0).sqrt()
    return F.normalize(directions[:, :2], dim=-1, eps=1e-9) * radius


def _ear(points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Coordinates on the left ear's chart, seen from the side; the two sides of the ear lie beside each other."""
    forward, up = (_share(points[:, axis]) for axis in (2, 1))
    half = 0.5 * (_MARGIN + (1 - 2 * _MARGIN) * forward)
    u = torch.where(normals[:, 0] > 0, 0.5 + half, half)
    return torch.stack([1 - _CORNER + _CORNER * u, 1 - _CORNER + _CORNER * (_MARGIN + (1 - 2 * _MARGIN) * up)], dim=-1)


def _eyeball(points: Float[Tensor, "n 3"], _normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Coordinates on the left eyeball's chart."""
    center = (points.amin(dim=0) + points.amax(dim=0)) / 2
    disc = 0.5 + (0.5 - _MARGIN) * _equal_area(points - center)
    return _CORNER * disc + disc.new_tensor([1 - _CORNER, 0.0])


def _share(values: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    low, high = values.aminmax()
    return (values - low) / (high - low).clamp_min(1e-9)


assert math.hypot(0.5 - _CORNER, 0.5 - _CORNER) > _DISC  # corners and disc do not overlap
