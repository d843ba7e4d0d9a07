"""What pictures show of an avatar: how much of each surfel, and what those that no picture shows look like instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.raster import PinholeCamera, Surfels, rasterize
from sage_ns.rig import HeadModel

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

SEEN = 0.03
"""Pixels that a surfel fills in the picture that shows it best, below which no picture has determined its colour."""
_NUM_NEAREST = 32
"""Number of seen places that the colour of an unseen one is drawn from: their mean would be smooth, hair has grain."""
_LABELS = ("hair", "neck", "left_ear", "right_ear", "lips", "eyes")
"""Parts of a head whose colours are of one kind; face and other skin is the rest."""


def pixels_filled(
    avatar: Avatar, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"]
) -> Float[Tensor, "num_surfels"]:
    """Return how many pixels of a picture each surfel fills, in parts: the sum of its blending weights.

    Args:
        avatar: as it is drawn, mouth included.
        camera: of the picture.
        motion: the moment.
    """
    with torch.no_grad():
        placed = avatar.place(camera.center, motion)
    return sum_of_weights(placed, camera)[: avatar.surfels.num_surfels]


def sum_of_weights(
    placed: Surfels, camera: PinholeCamera, counted: Float[Tensor, "h w 1"] | None = None
) -> Float[Tensor, "num_surfels"]:
    """Return the sum of the blending weights of each surfel over a picture, or over its counted pixels.

    Args:
        placed: all surfels that are drawn.
        camera: of the picture.
        counted: weight of each pixel; None counts all.
    """
    ones = torch.ones_like(placed.colors).requires_grad_(True)
    with torch.enable_grad():
        drawn = rasterize(replace(placed, colors=ones), camera).color[..., :1]
        red = (drawn if counted is None else drawn * counted).sum()
    return torch.autograd.grad(red, ones)[0][:, 0]


def evidence(avatar: Avatar, cameras: Sequence[PinholeCamera]) -> Float[Tensor, "num_surfels"]:
    """Return how many pixels each surfel fills in the picture that shows it best.

    Only pictures count that a surfel's skin faces: a little of the back of a head shines through its front everywhere.

    Args:
        avatar: drawn at its canonical moment.
        cameras: that show the head of that moment; at least one.
    """
    motion = avatar.motion.canonical()
    frames = avatar.poses.at(motion).frames[avatar.surfels.triangle]
    most = torch.zeros(avatar.surfels.num_surfels, device=avatar.device)
    for each in cameras:
        camera = each.to(avatar.device)
        facing = ((camera.center - frames.origin) * frames.normal).sum(dim=-1) > 0
        most = torch.maximum(most, torch.where(facing, pixels_filled(avatar, camera, motion), 0.0))
    return most


@torch.no_grad()
def seen_and_guessed(
    avatar: Avatar, camera: PinholeCamera, motion: Float[Tensor, "num_coefficients"]
) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Return which pixels of the avatar show what pictures have determined, and which show a guess.

    A pixel is a guess if more than half of its weight comes from surfels that no picture shows. The inside of the mouth
    is one, too. Pixels that the avatar covers by half or less are neither.

    Args:
        avatar: whose evidence has been measured.
        camera: of the picture.
        motion: the moment.
    """
    placed = avatar.place(camera.center, motion)
    guess = torch.ones(len(placed), device=avatar.device)
    guess[: avatar.surfels.num_surfels] = avatar.guessed().float()
    drawn = rasterize(replace(placed, colors=guess[:, None].expand(-1, 3).contiguous()), camera)
    covered, weight = drawn.alpha[..., 0], drawn.color[..., 0]
    is_guess = weight > 0.5 * covered
    return (covered > 0.5) & ~is_guess, (covered > 0.5) & is_guess


def part_labels(head_model: HeadModel) -> Int[Tensor, "num_triangles"]:
    """Return the part of the head of each triangle: places of one part have colours of one kind."""
    triangles = head_model.triangles
    labels = torch.zeros(len(triangles), dtype=torch.int64, device=triangles.device)
    for number, name in enumerate(_LABELS, 1):
        labels[head_model.regions.triangle_mask(name, triangles).to(triangles.device)] = number
    return labels


def nearest_seen(
    points: Float[Tensor, "n 3"],
    labels: Int[Tensor, "n"],
    seen: Bool[Tensor, "n"],
    generator: torch.Generator,
) -> Int[Tensor, "n"]:
    """Return for each point a seen point near it with the same label; the point itself if it is seen or there is none.

    One of the 32 nearest is drawn.

    Args:
        points: metres.
        labels: part of the head of each point.
        seen: which points are seen.
        generator: of the draws.
    """
    from scipy.spatial import KDTree

    source = torch.arange(len(points))
    drawn = torch.rand(len(points), generator=generator).numpy()
    places, parts, known = points.detach().cpu().numpy(), labels.cpu().numpy(), seen.cpu().numpy()
    for part in np.unique(parts):
        there = np.flatnonzero((parts == part) & known)
        missing = np.flatnonzero((parts == part) & ~known)
        if len(there) == 0 or len(missing) == 0:
            continue
        most = min(_NUM_NEAREST, len(there))
        near = KDTree(places[there]).query(places[missing], k=most)[1].reshape(len(missing), most)
        chosen = near[np.arange(len(missing)), (drawn[missing] * most).astype(np.int64)]
        source[torch.from_numpy(missing)] = torch.from_numpy(there[chosen])
    return source.to(points.device)
