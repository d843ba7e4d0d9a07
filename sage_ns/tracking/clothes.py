"""Take clothes out of a mask: a collar before the neck has another colour than the person's skin.

A scarf or a turtleneck covers the neck of the rig, where the mask would keep it; on an avatar it would be skin that
moves with the jaw. The neck behind it is hidden: the picture says neither that it is there nor that it is not.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

LEAST_BELOW_CHIN = 0.008
"""Metres from the chin towards the neck from which on clothes are looked for."""
_LEAST_SKIN = 50
"""Pixels of the face that tell the colour of skin."""
_HUE_SPREAD, _MOST_HUE = 0.08, 4.0
"""Least deviation of the skin's log ratios of colours, and deviations beyond which a colour is no skin."""
_BRIGHTNESS = (0.06, 2.2)
"""Brightness relative to the face, linear, of skin in the shadow of the chin and in full light."""
_BESIDE = 0.06
"""Metres above the chin down from which on something can stand beside the jaw: about the height of the mouth's corners
and the ends of ears."""
_BORDER = 2
"""Pixels around clothes that show a mixture."""
_SMALL = 0.0025
"""Metres: spots of another colour that are no wider than twice this are jewels or freckles."""


def without_clothes(
    matte: Float[np.ndarray, "h w"],
    picture: Float[np.ndarray, "h w 3"],
    face: Bool[np.ndarray, "h w"],
    silhouette: Float[np.ndarray, "h w"],
    below_chin: Float[np.ndarray, "h w"],
    per_metre: float,
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"] | None]:
    """Return the matte without clothes, and where they hide the neck, both 0..1; None for the latter without clothes.

    Clothes lie below the chin, have no colour of skin, and reach the border of the matte.

    A colour is skin where ``log R/G`` and ``log B/G`` (linear) lie near those of the face, and where it is neither much
    darker than a shadow nor brighter than the face. Where clothes cover part of the neck, what is left of the neck ends
    at them.

    Args:
        matte: 0..1.
        picture: sRGB, 0..1.
        face: pixels of the fitted face.
        silhouette: 1 where the fitted rig is.
        below_chin: metres along the neck, negative above the chin.
        per_metre: pixels of a metre at the head.
    """
    known = face & (matte > 0.9)
    if int(known.sum()) < _LEAST_SKIN:
        return matte, None
    linear = np.maximum(picture, 0.0) ** 2.2 + 1e-4
    bright = linear.mean(axis=-1)
    hue = np.log(linear[..., ::2] / linear[..., 1:2])
    middle = np.median(hue[known], axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(hue[known] - middle), axis=0), _HUE_SPREAD)
    far = np.abs((hue - middle) / spread).max(axis=-1) > _MOST_HUE
    relative = bright / np.median(bright[known])
    other = (far | (relative < _BRIGHTNESS[0]) | (relative > _BRIGHTNESS[1])) & (matte > 0.05)
    below = below_chin > LEAST_BELOW_CHIN
    width = max(1, round(_SMALL * per_metre))
    other = np.asarray(ndimage.binary_opening(other & below, iterations=width), dtype=bool)
    ending = _touching_the_end(other, below & (matte > 0.05))
    clothes = np.asarray(ndimage.binary_dilation(ending, iterations=1 + width // 2), dtype=bool)
    covered = ndimage.gaussian_filter((clothes & below).astype(float), 0.6)
    kept = matte * (1.0 - np.clip(2.0 * covered, 0.0, 1.0))
    kept = np.where(below, _around_face(kept, face), matte)
    taken = matte - kept > 0.05
    if not bool(taken.any()):
        return matte, None
    hidden = taken | (below & (silhouette > 0.5) & (kept < 0.05))
    return kept, ndimage.binary_dilation(hidden, iterations=_BORDER).astype(np.float64)


def without_lapels(
    matte: Float[np.ndarray, "h w"],
    silhouette: Float[np.ndarray, "h w"],
    below_chin: Float[np.ndarray, "h w"],
    per_metre: float,
) -> Float[np.ndarray, "h w"]:
    """Return the matte without what stands beside the jaw and does not hang from the hair above: lapels, collars.

    Args:
        matte: 0..1.
        silhouette: 1 where the fitted rig is.
        below_chin: metres along the neck, negative above the chin.
        per_metre: pixels of a metre at the head.
    """
    width = max(1, round(_SMALL * per_metre))
    near = np.asarray(ndimage.binary_dilation(silhouette > 0.5, iterations=width), dtype=bool)
    beside = (below_chin > -_BESIDE) & ~near
    solid = beside & (matte > 0.5)  # the soft border of hair reaches everywhere
    islands = np.zeros(matte.shape, dtype=np.int32)
    ndimage.label(solid, output=islands)
    hanging = np.unique(islands[solid & (below_chin < -_BESIDE + 3.0 / per_metre)])
    loose = solid & ~np.isin(islands, hanging[hanging > 0])
    around = np.asarray(ndimage.binary_dilation(loose, iterations=width + 2), dtype=bool) & beside
    return np.where(loose | (around & ~solid), 0.0, matte)


def _touching_the_end(other: Bool[np.ndarray, "h w"], neck: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the islands of another colour that reach the lower or outer border of the neck in the matte."""
    end = neck & ~np.asarray(ndimage.binary_erosion(neck, iterations=2), dtype=bool)
    islands = np.zeros(other.shape, dtype=np.int32)
    ndimage.label(other, output=islands)
    reached = np.unique(islands[end & other])
    return np.isin(islands, reached[reached > 0])


def _around_face(matte: Float[np.ndarray, "h w"], face: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return the matte without islands that clothes have cut off from the face."""
    islands = np.zeros(matte.shape, dtype=np.int32)
    ndimage.label(matte > 0.1, output=islands)
    kept = np.unique(islands[face])
    return np.where(np.isin(islands, kept[kept > 0]), matte, 0.0)
