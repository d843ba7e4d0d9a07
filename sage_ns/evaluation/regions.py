"""Regions of a picture by the tracked rig: eyes, mouth, brows and forehead, and the outline of the hair."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from torch import Tensor

from sage_ns.avatar.rig_pixels import face_triangles, pixels_on
from sage_ns.rig import HeadModel
from sage_ns.system.console import console, escape

FACE, EYES, MOUTH, BROWS, HAIR_OUTLINE = "face", "eyes", "mouth", "brows", "hair_outline"
REGIONS = (FACE, EYES, MOUTH, BROWS, HAIR_OUTLINE)
"""All regions. Figures of a region end with its name; those of the mouth with ``mouth_open`` or ``mouth_closed``."""

BAND = 0.015
"""Half the width of the band along the outline of the head, as a share of the picture's height; at least 2 pixels."""

GAP = 0.01
"""Half the width of the gaps in the ring of the lips that are closed, as a share of the picture's height."""

FOREGROUND = 0.5
"""Coverage at which the outline of the head lies."""


class PictureRegions:
    """The regions of the pictures of one capture. A region that the head model does not have is left out.

    - ``face``: face and eyeballs.
    - ``eyes``: eyeballs and the regions around each eye, lids included.
    - ``mouth``: the lips, and what they enclose.
    - ``brows``: forehead, and the strip of the face between forehead and eyes, see `brow_triangles`.
    - ``hair_outline``: a band along the outline of the true mask, where the nearest part of the rig is hair.

    Args:
        head_model: head model of the person.
    """

    def __init__(self, head_model: HeadModel) -> None:
        regions, triangles = head_model.regions, head_model.triangles
        eyes = [regions.triangle_mask(name, triangles) for name in ("left_eye_region", "right_eye_region", "eyes")]
        marked = {
            FACE: face_triangles(head_model),
            # Eyeballs alone would not contain lids, which close over them.
            EYES: torch.stack(eyes).any(dim=0) & (eyes[0].any() | eyes[1].any()),
            MOUTH: regions.triangle_mask("lips", triangles),
            BROWS: brow_triangles(head_model),
            HAIR_OUTLINE: regions.triangle_mask("hair", triangles),
        }
        self._triangles: Mapping[str, Bool[Tensor, "num_triangles"]] = {
            name: mask for name, mask in marked.items() if bool(mask.any())
        }
        missing = [name for name in REGIONS if name not in self._triangles]
        if missing:
            console().print(
                f"[yellow]Head model {escape(head_model.name)} does not have the regions for figures of "
                f"{', '.join(missing)}: these figures are left out.[/yellow]"
            )

    def pixels(
        self, shown: Int64[Tensor, "h w"], mask: Float[Tensor, "h w 1"] | None
    ) -> dict[str, Bool[Tensor, "h w"]]:
        """Return the pixels of each region; regions that the picture does not show are left out.

        Args:
            shown: triangle of the tracked rig at each pixel, -1 for none.
            mask: true coverage 0..1; without it there is no outline of the hair.
        """
        found = {name: pixels_on(shown, marked) for name, marked in self._triangles.items() if name != HAIR_OUTLINE}
        if MOUTH in found:
            found[MOUTH] = enclosed(found[MOUTH])
        if HAIR_OUTLINE in self._triangles and mask is not None:
            found[HAIR_OUTLINE] = hair_outline(shown, self._triangles[HAIR_OUTLINE], mask)
        return {name: pixels for name, pixels in found.items() if bool(pixels.any())}


def brow_triangles(head_model: HeadModel) -> Bool[Tensor, "num_triangles"]:
    """Return the triangles of forehead and brows; none if the head model has no eye regions and no forehead.

    FLAME's masks have no brows. These are the parts of the face above the eyes: of the region ``forehead``, and of the
    face between the outer ends of the eye regions, above the middle of the eyeballs. Eye regions and nose are left out.
    """
    regions, triangles, vertices = head_model.regions, head_model.triangles, head_model.v_template
    around = torch.cat([regions.vertices(name) for name in ("left_eye_region", "right_eye_region")])
    eyeballs = regions.vertices("eyes")
    brows = regions.vertex_mask("forehead", head_model.num_vertices)
    if len(around) and len(eyeballs):
        reach = vertices[around, 0].abs().max()
        above = (vertices[:, 0].abs() <= reach) & (vertices[:, 1] > vertices[eyeballs, 1].mean())
        brows = brows | (above & regions.vertex_mask("face", head_model.num_vertices))
    for name in ("left_eye_region", "right_eye_region", "nose", "eyes"):
        brows = brows & ~regions.vertex_mask(name, head_model.num_vertices)
    return brows[triangles].all(dim=-1)


def enclosed(pixels: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Return the pixels and what they enclose: lips with the open mouth between them.

    Gaps of a few pixels, as at the corners of a mouth that is seen from the side, do not open the ring: the pixels are
    grown by `GAP` of the picture's height before holes are filled, and the result is shrunk by as much.
    """
    drawn = pixels.cpu().numpy()
    if not drawn.any():
        return pixels
    reach = max(1.0, GAP * drawn.shape[0])
    room = int(np.ceil(reach)) + 1  # so that nothing touches the border, from which the shrinking would not start
    grown = _distance_inside(~np.pad(drawn, room)) <= reach
    filled = _distance_inside(np.asarray(ndimage.binary_fill_holes(grown))) > reach
    return torch.from_numpy(filled[room:-room, room:-room] | drawn).to(pixels.device)


def hair_outline(
    shown: Int64[Tensor, "h w"], hair: Bool[Tensor, "num_triangles"], mask: Float[Tensor, "h w 1"]
) -> Bool[Tensor, "h w"]:
    """Return the band along the outline of the true mask in which the nearest pixel of the rig shows hair.

    The band reaches `BAND` of the picture's height to both sides, at least 2 pixels.
    """
    inside = mask[..., 0].cpu().numpy() >= FOREGROUND
    on_rig = (shown >= 0).cpu().numpy()
    if not inside.any() or inside.all() or not on_rig.any():
        return torch.zeros_like(shown, dtype=torch.bool)
    # One of the two is 0 at each pixel. The first pixel on either side of the outline has distance 1.
    distance = _distance_inside(inside) + _distance_inside(~inside)
    nearest = np.asarray(ndimage.distance_transform_edt(~on_rig, return_distances=False, return_indices=True))
    rows, columns = torch.from_numpy(nearest).long().to(shown.device)
    near = torch.from_numpy(distance <= max(2.0, BAND * inside.shape[0])).to(shown.device)
    return near & pixels_on(shown[rows, columns], hair)


def _distance_inside(pixels: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return the distance in pixels of each True pixel from the nearest False one; 0 for False pixels."""
    return np.asarray(ndimage.distance_transform_edt(pixels))
