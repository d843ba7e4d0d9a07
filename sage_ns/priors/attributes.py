"""What differs from person to person, as a matrix: a row per place, in units in which differences are similar."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas import Atlas
from sage_ns.avatar.atlas_surfels import AtlasSurfels
from sage_ns.geometry.spherical_harmonics import C0

NUM_ATTRIBUTES = 9
OFFSET, LOG_SCALES, OPACITY, COLOUR = slice(0, 3), slice(3, 5), slice(5, 6), slice(6, 9)
"""Columns: offset in `OFFSET_UNIT`, logarithms of scales in metres, opacity before the sigmoid, sRGB colour 0..1."""
OFFSET_UNIT = 0.005
"""Metres."""
IMPORTANCE = (1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 5.0, 5.0, 5.0)
"""Weight of a unit of each attribute when people are compared: how much it changes the picture."""

_HAIR_HEIGHT = 0.02
"""Metres; hair of a person of whom nothing is known fills the scalp up to here."""
_START_OPACITY, _START_GREY = 0.6, 0.5
# Turns z, the normal of a surfel, onto y, the normal at its place.
_NORMAL_TO_Y = (0.7071067811865476, -0.7071067811865476, 0.0, 0.0)


def surfels_of(attributes: Float[Tensor, "num_places 9"], sh_degree: int = 0) -> AtlasSurfels:
    """Return surfels with these attributes; they lie flat on the skin, and have one colour in all directions."""
    count = len(attributes)
    return AtlasSurfels(
        attributes[:, OFFSET] * OFFSET_UNIT,
        attributes.new_tensor(_NORMAL_TO_Y).expand(count, 4),
        attributes[:, LOG_SCALES],
        attributes[:, OPACITY].squeeze(-1),
        ((attributes[:, COLOUR] - 0.5) / C0)[:, None],
        attributes.new_zeros(count, (sh_degree + 1) ** 2 - 1, 3),
    )


def attributes_of(surfels: AtlasSurfels) -> Float[Tensor, "num_places 9"]:
    """Return the attributes of surfels, without their rotations and what depends on the direction of view."""
    color = 0.5 + C0 * surfels.sh_dc[:, 0]
    parts = surfels.offset / OFFSET_UNIT, surfels.log_scales, surfels.opacity_logits[:, None], color
    return torch.cat(parts, dim=1).detach()


def first_attributes(
    atlas: Atlas, points: Float[Tensor, "num_places 3"], seed: int = 0
) -> Float[Tensor, "num_places 9"]:
    """Return attributes before any person is known: a grey skin that is covered without gaps, and a layer of hair.

    Args:
        atlas: the places.
        points: the places on the reference head, metres.
        seed: of the heights of the hair.
    """
    attributes = torch.zeros(atlas.num_places, NUM_ATTRIBUTES)
    spacing = (points[atlas.neighbours[:, :4]] - points[:, None]).norm(dim=-1).mean(dim=1)
    hair = atlas.labelled("hair")
    size = (0.5 * spacing * torch.where(hair, 1.8, 1.0)).clamp(5e-4, 5e-3)
    attributes[:, LOG_SCALES] = size.log()[:, None]
    attributes[:, OPACITY] = math.log(_START_OPACITY / (1 - _START_OPACITY))
    attributes[:, COLOUR] = _START_GREY
    generator = torch.Generator().manual_seed(seed)
    height = torch.rand(atlas.num_places // 2, generator=generator).sqrt().repeat(2)  # mirrored places have one height
    attributes[hair, 1] = _HAIR_HEIGHT * height[hair] / OFFSET_UNIT
    return attributes
