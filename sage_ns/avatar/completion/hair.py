"""Thickness of hair all over a head, from where a picture's outline shows it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.avatar.initialise import room_in_silhouettes
from sage_ns.capture.shot import Shot

USUAL = 0.02
"""Metres; thickness of hair where no outline shows any."""
_GRAZING = 0.35
"""Cosine between normal and direction to the camera, below which a place lies at the outline of the head."""
_NEAR = 0.03
"""Metres over which thickness is alike."""
_FARTHEST = 0.1
"""Metres; the thickest hair that an outline is searched for."""
_MOST_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Thickness:
    """Thickness of hair as a smooth function of the place on the head, the same on both sides.

    Args:
        places: at the outline, in the axes of the head, in which x changes its sign from one side to the other.
        values: thickness there [metres].
    """

    places: Float[Tensor, "n 3"]
    values: Float[Tensor, "n"]

    def at(self, points: Float[Tensor, "m 3"]) -> Float[Tensor, "m"]:
        """Return the thickness [metres] at places in the axes of the head.

        It is the mean over the outline, weighted by ``exp(-d^2 / (2 (3 cm)^2))`` of the distance d to the nearer side;
        far from the outline, the nearest part of it counts.
        """
        if len(self.values) == 0:
            return torch.full((len(points),), USUAL)
        flipped = points.new_tensor([-1.0, 1.0, 1.0])
        found = []
        for part in points.split(_MOST_AT_ONCE):
            squares = torch.minimum(torch.cdist(part, self.places), torch.cdist(part * flipped, self.places)).square()
            weights = torch.softmax(-squares / (2 * _NEAR**2), dim=-1)
            found.append(weights @ self.values)
        return torch.cat(found)


def thickness_at_outline(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    hair: Bool[Tensor, "n"],
    in_head: Float[Tensor, "n 3"],
    shot: Shot,
) -> Thickness:
    """Measure the thickness of hair where the picture shows it from the side: how far the silhouette reaches.

    Args:
        points: places on the head [metres, world].
        normals: their unit normals.
        hair: which places hair grows on.
        in_head: the same places in the axes of the head, see :class:`Thickness`.
        shot: the picture.
    """
    towards = F.normalize(shot.camera.center - points, dim=-1)
    outline = torch.nonzero(hair & ((normals * towards).sum(dim=-1).abs() < _GRAZING))[:, 0]
    everywhere = torch.ones(len(outline), dtype=torch.bool)
    room = room_in_silhouettes(points[outline], normals[outline], everywhere, [shot], _FARTHEST, num_levels=50)
    # Where it never ends, the place lies before or behind the head as the camera sees it, or the picture cuts it off.
    ends = room < _FARTHEST
    return Thickness(in_head[outline[ends]], room[ends])
