"""Plausibility of a capture's mattes: they cover the tracked head, and outside of them is the background colour.

Pictures of a capture are blended with a background colour by their own matte. Outside of the matte a picture is
therefore exactly that colour, and a matte of another picture, channel or range is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import max_pool2d

from sage_ns.capture.frames import Frame
from sage_ns.capture.images import load_image
from sage_ns.capture.validation import NUM_READERS
from sage_ns.errors import CaptureError

MOST_CHECKED = 64
"""Number of pictures, evenly spaced, that are checked: about two seconds at 550 x 802 px on two cores."""

LEAST_COVERED = 0.5
"""Share of the points on the head on opaque pixels. Right mattes have 0.95 and more, inverted ones 0.05 and less."""
LEAST_OPACITY = 160
"""Median value of the matte at the points on the head. Mattes of cameras have 255, and renderings of thin avatars 220
and more; masks of 0..1, percent or 7 bits have 127 at most."""
MOST_OUTSIDE = 0.03
"""Pixels of other colours than the background outside of the matte, relative to the area of the matte. Right mattes
have 0; those of the next camera, 0.06 on average."""
LEAST_IN_VIEW = 0.3
"""Share of the points on the head that lie in the picture; the cover of smaller heads is not checked."""

_OTHER_COLOUR = 38
"""Levels (of 255) that a pixel differs from the background: more than JPEG's noise."""
_CLEAR, _OPAQUE = 5, 128
"""Matte values below which a pixel is background, and from which on it is foreground."""
_OTHER_BACKGROUND = 0.5
"""Share of the pixels outside of the matte; above it the background has another colour."""


@dataclass(frozen=True)
class _Finding:
    """What is wrong with a matte."""

    frame: Frame
    found: str
    advice: str


def check_mattes(
    frames: Sequence[Frame], heads: Mapping[int, Float[np.ndarray, "num_points 3"]], background: Float[Tensor, "3"]
) -> None:
    """Check that the masks of frames can be the mattes of their pictures.

    Args:
        frames: frames to check; those whose pictures have neither mask nor alpha pass.
        heads: points on the tracked head by timestep id, world space, metres.
        background: RGB in 0..1 that the stored pictures are blended with.

    Raises:
        CaptureError: a picture or mask cannot be read, or a mask cannot be right; names the first one and their number.
    """
    levels = np.round(255 * background.numpy()).astype(int)
    with ThreadPoolExecutor(NUM_READERS) as pool:
        found = list(pool.map(lambda frame: _finding(frame, heads[frame.timestep], levels, background), frames))
    findings = [finding for finding in found if finding is not None]
    if not findings:
        return
    first = findings[0]
    more = f" (as do {len(findings) - 1} more of {len(frames)} checked)" if len(findings) > 1 else ""
    mask = f"mask {first.frame.mask_path}" if first.frame.mask_path is not None else "the alpha channel"
    raise CaptureError(
        f"{mask} does not fit its picture {first.frame.image_path}{more}: {first.found}. {first.advice} "
        "To train without masks: --use-masks False."
    )


def project(frame: Frame, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Return the pixels (column, row; pixel centres at +0.5) of points in world space in front of a frame's camera."""
    x, y, z = ((points - frame.camera_to_world[:3, 3]) @ frame.camera_to_world[:3, :3]).T
    return np.stack([frame.cx - frame.fx * x / z, frame.cy + frame.fy * y / z], axis=1)


def _finding(
    frame: Frame,
    head: Float[np.ndarray, "num_points 3"],
    levels: np.ndarray,
    background: Float[Tensor, "3"],
) -> _Finding | None:
    picture, mask = load_image(frame.image_path, frame.mask_path, background=background)
    if mask is None:
        return None
    matte = mask[..., 0].numpy()
    return _head_outside(frame, head, matte) or _colours_outside(frame, picture.numpy(), matte, levels)


def _head_outside(frame: Frame, head: Float[np.ndarray, "n 3"], matte: UInt8[np.ndarray, "h w"]) -> _Finding | None:
    pixels = np.floor(project(frame, head))
    height, width = matte.shape
    columns, rows = pixels[((pixels >= 0) & (pixels < (width, height))).all(axis=1)].astype(int).T
    if len(columns) < LEAST_IN_VIEW * len(head):
        return None
    values = matte[rows, columns]
    covered, median = float((values >= _OPAQUE).mean()), int(np.median(values))
    if covered < LEAST_COVERED and float((values < _CLEAR).mean()) > LEAST_COVERED:
        return _Finding(
            frame,
            f"it covers {covered:.0%} of the tracked head",
            "A mask is 255 at the foreground: invert inverted masks. Or the mask is of another picture, or cameras and "
            "tracking do not fit the pictures.",
        )
    if median < LEAST_OPACITY:
        return _Finding(
            frame,
            f"its typical value on the tracked head is {median} of 255",
            "Masks range from 0 to 255 = foreground: scale them.",
        )
    return None


def _colours_outside(
    frame: Frame, picture: UInt8[np.ndarray, "h w 3"], matte: UInt8[np.ndarray, "h w"], levels: np.ndarray
) -> _Finding | None:
    clear = matte < _CLEAR
    low, high = ((levels + sign * _OTHER_COLOUR).clip(0, 255).astype(np.uint8) for sign in (-1, 1))
    other = ((picture < low) | (picture > high)).any(axis=2) & clear
    if not other.any():
        return None
    if other.sum() > _OTHER_BACKGROUND * clear.sum():
        return _Finding(
            frame,
            f"{other.sum() / clear.sum():.0%} of the pixels outside of the mask are not of the background colour "
            f"#{''.join(f'{level:02x}' for level in levels)}",
            "State the colour that the pictures are blended with (--background), blend them with it by their masks, or "
            "invert inverted masks.",
        )
    # Masks with hard edges leave half a pixel of the soft edge outside.
    share = float((other & ~_grown(~clear)).sum()) / max(int((matte >= _OPAQUE).sum()), 1)
    if share > MOST_OUTSIDE:
        return _Finding(
            frame,
            f"the picture shows foreground outside of the mask, {share:.0%} of the mask's area",
            "The mask is of another picture, or too small. Export masks and pictures again.",
        )
    return None


def _grown(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return a mask that is larger by two pixels, or by half a percent of the longer side."""
    radius = max(2, round(max(mask.shape) / 200))
    spread = torch.from_numpy(mask)[None].float()
    for size in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        spread = max_pool2d(spread, size, stride=1, padding=(size[0] // 2, size[1] // 2))
    return spread[0].numpy() > 0
