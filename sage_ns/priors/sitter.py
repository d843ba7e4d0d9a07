"""A person at the canonical moment as priors see them: the places of the atlas on their rig, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas import Atlas, make_atlas, places_on
from sage_ns.avatar.atlas_surfels import AtlasSurfels, PosedPlaces
from sage_ns.avatar.evidence import SEEN, sum_of_weights
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.capture.images import recomposite
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import SageError
from sage_ns.raster import rasterize
from sage_ns.raster.supersampling import averaged, enlarged
from sage_ns.rig import HeadModel
from sage_ns.synthetic.head import builtin_head
from sage_ns.training import losses
from sage_ns.training.losses import LossWeights

SUPERSAMPLING = 2
"""Multiple of the resolution at which surfels are drawn, as in training."""
ATLAS_SEED = 0
_FRONTAL = 0.5
"""Cosine of the angle between normal and direction of view from which on a picture determines a surfel."""


@cache
def reference_head() -> HeadModel:
    """Return the head that atlases of priors are made on: the built-in one, which is always there."""
    return builtin_head()


@cache
def reference_atlas(num_places: int) -> Atlas:
    """Return the atlas of priors with a number of places; the same on every machine."""
    return make_atlas(reference_head(), num_places, ATLAS_SEED)


@dataclass(frozen=True, eq=False)
class Sitter:
    """Places of the atlas on one person's rig at the canonical moment, and pictures of that moment."""

    posed: PosedPlaces
    shots: Sequence[Shot]
    background: Float[Tensor, "3"]
    """Colour that the pictures are composited over."""

    def picture_loss(
        self,
        surfels: AtlasSurfels,
        shot: Shot,
        background: Float[Tensor, "3"],
        weights: LossWeights,
        gain: Float[Tensor, "3"] | None = None,
        supersampling: int = SUPERSAMPLING,
        more: Callable[[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]], Float[Tensor, ""]] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss of one picture: colours over ``background`` and coverage, see `LossWeights`.

        Pixels that show what does not move with the skull count for nothing (`Shot.steady`). ``more`` is a further
        loss of the drawn and the true picture.
        """
        placed = self.posed.place(surfels, shot.camera.center, gain)
        buffers = rasterize(placed, enlarged(shot.camera, supersampling))
        alpha = averaged(buffers.alpha, supersampling)
        drawn = averaged(buffers.color, supersampling) + (1 - alpha) * background
        truth = recomposite(shot.picture, shot.foreground, self.background, background)
        mask = shot.foreground
        if shot.steady is not None:
            truth = torch.where(shot.steady > 0.5, truth, drawn.detach())
            mask = torch.where(shot.steady > 0.5, mask, alpha.detach())
        loss = weights.l1 * losses.l1(drawn, truth) + weights.squared * losses.squared(drawn, truth)
        loss = loss + weights.dissimilarity * losses.dissimilarity(drawn, truth)
        loss = loss if more is None else loss + more(drawn, truth)
        return shot.weight * (loss + weights.silhouette * losses.silhouette(alpha, mask))


def sit(record: CaptureRecord, views: Sequence[Shot], num_places: int, device: torch.device | str = "cpu") -> Sitter:
    """Return a person with the places of the atlas on their rig.

    Args:
        record: head model, identity and canonical moment.
        views: pictures of that moment; those without a mask are refused.
        num_places: of the atlas.
        device: where the result lies.

    Raises:
        SageError: there are no pictures or they have no masks, or the head model cannot be registered.
    """
    if not views:
        raise SageError("No picture shows the canonical moment; a prior needs at least one with a mask.")
    if any(view.mask is None for view in views):
        raise SageError(
            "A picture of the canonical moment has no mask, which a prior needs: it shows where the hair ends. Make "
            "masks (VHAP: --matting_method robust_video_matting)."
        )
    places = places_on(reference_atlas(num_places), reference_head(), record.head_model).to(device)
    rig = PersonalRig(record.head_model, record.flame_params)
    motion = record.flame_params.motion_vector()[record.canonical_row]
    with torch.no_grad():
        vertices = rig.vertices(motion).to(device)
    posed = PosedPlaces(places, vertices, record.head_model.triangles.to(device))
    return Sitter(posed, [view.to(device) for view in views], record.background.to(device))


def shown(sitter: Sitter, surfels: AtlasSurfels) -> Float[Tensor, "num_places"]:
    """Return how well the pictures show each surfel, 0..1: 1 where one of them sees it from less than 60 degrees.

    Places that face away, that others hide, or that only pixels show which do not move with the skull, have 0.
    """
    best = sitter.posed.points.new_zeros(len(sitter.posed.points))
    normals = sitter.posed.axes[..., 1]
    for shot in sitter.shots:
        placed = sitter.posed.place(surfels, shot.camera.center)
        filled = (sum_of_weights(placed, shot.camera, shot.steady) / SEEN).clamp(max=1.0)
        towards = torch.nn.functional.normalize(shot.camera.center - placed.means, dim=-1)
        frontal = ((normals * towards).sum(dim=-1) / _FRONTAL).clamp(0.0, 1.0)
        best = torch.maximum(best, filled * frontal)
    return best.detach()
