"""A whole head from one picture without a prior: bounded hair, the far side mirrored, the rest from what is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.completion.hair import thickness_at_outline
from sage_ns.avatar.completion.photo import Photo
from sage_ns.avatar.evidence import part_labels
from sage_ns.avatar.initialise import SpreadSurfels, carries_hair, room_in_silhouettes, spread_surfels
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.capture.shot import Shot
from sage_ns.geometry.rigid import moved_points, rigid_inverse
from sage_ns.geometry.triangles import triangle_frames
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.rig.skull import skull_motions

_FRINGE = 0.006
"""Metres; thickness of hair that lies on the forehead."""
_SAME_PLACE = 0.012
"""Metres between a place mirrored to the other side and a seen one, within which they correspond."""
_OPAQUE = 0.95
_NUM_MIXED = 8
"""Number of seen places whose mean colour an unseen one takes."""
_NUM_NEAR = 200
"""Nearest seen places that the colours of unseen skin are drawn from: the nearest alone are the rim, seen slantingly.
Unseen hair takes those of all seen hair."""
_GROWN = 0.015
"""Metres that hair grows beyond the scalp of the rig, where the picture shows nothing: nape, and around the ears."""
_BALD_PARTS = ("face", "left_ear", "right_ear", "eyes", "lips", "forehead")
_COVERING, _COVERING_HAIR = 1.2, 0.8
"""Factors on the size of surfels: they have to cover the head before any training, and not to stand out beside it."""
_HAIR_LABEL = 100
"""Number of the part "hair by the picture"; larger than those of `part_labels`."""


@dataclass(frozen=True, eq=False)
class Filled:
    """A head completed from one picture."""

    surfels: BoundSurfels
    seen: Bool[Tensor, "num_surfels"]
    """Which surfels took their colour from where the picture shows them."""


def fill(
    head_model: HeadModel,
    motion: Float[Tensor, "num_coefficients"],
    vertices: Float[Tensor, "num_vertices 3"],
    shot: Shot,
    num_surfels: int,
    hair_reach: float,
    sh_degree: int,
    generator: torch.Generator,
) -> Filled:
    """Complete a head from one picture.

    Hair is as thick as the outline shows, on both sides alike, and no thicker than ``hair_reach`` [metres]; it stays in
    the silhouette. Which places of scalp and forehead have hair, the picture says by its colours; where it shows
    nothing, the rig. Places that the picture does not show take the colour of their mirror image, else of seen places
    near them on the same part.

    Args:
        head_model: head model of the rig.
        motion: canonical moment.
        vertices: of the rig at that moment [metres].
        shot: the picture, with its mask, on the CPU.
        num_surfels: number of surfels to draw.
        hair_reach: largest thickness of hair [metres].
        sh_degree: degree of the view-dependent colour.
        generator: source of all randomness.
    """
    photo = Photo(shot, head_model, vertices)
    to_head = rigid_inverse(skull_motions(head_model, FlameParams.from_motion_vector(motion[None])))[0]
    frames = triangle_frames(vertices, head_model.triangles)
    hair = _hairy(photo, frames.origin, frames.normal)
    in_head = moved_points(to_head, frames.origin)
    thickness = thickness_at_outline(frames.origin, frames.normal, hair, in_head, shot)
    forehead = head_model.regions.triangle_mask("forehead", head_model.triangles)

    def room(points: Tensor, normals: Tensor, triangle: Tensor) -> Tensor:
        most = thickness.at(moved_points(to_head, points)).clamp_max(hair_reach)
        most = torch.where(forehead[triangle], most.clamp_max(_FRINGE), most)
        hull = room_in_silhouettes(points, normals, hair[triangle], [shot], hair_reach)
        return torch.minimum(hull, most)

    spread = spread_surfels(head_model, vertices, num_surfels, torch.zeros(0, 3), room, generator)
    labels = torch.where(hair, _HAIR_LABEL, _without_hair(part_labels(head_model), head_model))[spread.triangle]
    colors, seen = _colors(
        photo, spread, hair[spread.triangle], labels, moved_points(to_head, spread.centers), generator
    )
    covering = torch.where(spread.height > 0, _COVERING_HAIR, _COVERING)
    spread = replace(spread, scales=covering * spread.scales)
    return Filled(spread.bound(colors, _OPAQUE, sh_degree), seen)


def _hairy(photo: Photo, points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Bool[Tensor, "num_triangles"]:
    """Return which triangles have hair: by the picture where it shows them, else the scalp unless it is shaved."""
    model = photo.head_model
    scalp = _scalp(model)
    if not bool(photo.is_hair.any()):
        return torch.zeros_like(scalp)
    at = project(points, photo.shot.camera)
    told = photo.seen(points, normals)
    return torch.where(told & carries_hair(model), photo.is_hair[at.row, at.column], scalp)


def _scalp(model: HeadModel) -> Bool[Tensor, "num_triangles"]:
    """Return the scalp of the rig and what lies close to it, without face and ears."""
    from scipy.spatial import KDTree

    scalp = model.regions.triangle_mask("hair", model.triangles)
    if not bool(scalp.any()):
        return scalp
    bald = torch.stack([model.regions.triangle_mask(name, model.triangles) for name in _BALD_PARTS]).any(dim=0)
    centers = model.v_template[model.triangles].mean(dim=1)
    near = KDTree(centers[scalp].numpy()).query(centers.numpy(), distance_upper_bound=_GROWN)[0] < _GROWN
    return scalp | (torch.from_numpy(near) & ~bald)


def _without_hair(labels: Int[Tensor, "num_triangles"], model: HeadModel) -> Int[Tensor, "num_triangles"]:
    """Return labels on which scalp without hair is skin like the face."""
    return torch.where(model.regions.triangle_mask("hair", model.triangles), 0, labels)


def _colors(
    photo: Photo,
    spread: SpreadSurfels,
    hair: Bool[Tensor, "n"],
    labels: Int[Tensor, "n"],
    in_head: Float[Tensor, "n 3"],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, "n"]]:
    """Return colours of surfels, and which of them the picture shows."""
    at = project(spread.centers, photo.shot.camera)
    colors = photo.shot.picture[at.row, at.column]
    seen = photo.seen(spread.centers, spread.normals)
    # Hair before skin is hair, and skin seen through a gap in the hair is not the hair's.
    seen &= photo.is_hair[at.row, at.column] == hair if bool(hair.any()) else seen
    drawn = torch.rand(len(labels), _NUM_MIXED, generator=generator)
    for label in labels.unique().tolist():
        part = labels == label
        known, missing = torch.nonzero(part & seen)[:, 0], torch.nonzero(part & ~seen)[:, 0]
        if len(missing) == 0:
            continue
        if len(known) == 0:  # no place of this part is seen: what lies nearest, whatever it is
            known = torch.nonzero(seen)[:, 0]
        if len(known) == 0:
            colors[missing] = 0.5
            continue
        colors[missing] = _completed(
            in_head[missing], in_head[known], colors[known], drawn[missing], label == _HAIR_LABEL
        )
    return colors.clamp(0.02, 0.98), seen


def _completed(
    missing: Float[Tensor, "m 3"],
    known: Float[Tensor, "n 3"],
    colors: Float[Tensor, "n 3"],
    drawn: Float[Tensor, "m k"],
    is_hair: bool,
) -> Float[Tensor, "m 3"]:
    """Return colours for missing places: those around their mirror image, else of known places near them."""
    from scipy.spatial import KDTree

    tree = KDTree(known.numpy())
    mirrored = missing * missing.new_tensor([-1.0, 1.0, 1.0])
    k = min(_NUM_MIXED, len(known))
    distance, across = (each.reshape(len(missing), k) for each in tree.query(mirrored.numpy(), k=k))
    most = len(known) if is_hair else min(_NUM_NEAR, len(known))
    chosen = (drawn.numpy() * most).astype(np.int64)
    if not is_hair:
        near = tree.query(missing.numpy(), k=most)[1].reshape(len(missing), most)
        chosen = np.take_along_axis(near, chosen, axis=1)
    nearby = colors[torch.from_numpy(chosen)].mean(dim=1)
    opposite = colors[torch.from_numpy(across)].mean(dim=1)
    has_opposite = torch.from_numpy(distance[:, 0] < _SAME_PLACE)[:, None]
    return torch.where(has_opposite, opposite, nearby)
