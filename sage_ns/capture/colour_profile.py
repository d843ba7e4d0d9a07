"""Convert decoded 8-bit pictures to sRGB by the colour profile that their file embeds."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from sage_ns.capture.sample_depth import SampleError

SAME_COLOUR = 2
"""Levels (of 255): a profile that changes no colour by more than this counts as sRGB. Rounding changes by 1."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture as sRGB, "RGB" or "RGBA".

    Args:
        image: "L", "RGB", "RGBA", "CMYK" or "LAB", 8 bits per channel.
        profile: ICC profile of the file; None for files without one, whose RGB counts as sRGB.

    Raises:
        SampleError: the profile cannot be read or is of another colour space, or CMYK or LAB without a profile.
    """
    if not profile:
        if image.mode in ("CMYK", "LAB"):
            raise SampleError(f"its colours are {image.mode} without a colour profile", "Convert it to sRGB.")
        return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    # Programs save grey pictures with the profile of the colour picture, and the other way round.
    color = image.convert("RGB") if image.mode == "RGBA" else image
    transform = _transform(profile, _fitting_mode(profile, color.mode))
    if transform is not None:
        converted = ImageCms.applyTransform(color.convert(transform.input_mode), transform)
        assert converted is not None, "only transforms in place return nothing"
        color = converted
    color = color.convert("RGB")
    if alpha is not None:
        color.putalpha(alpha)
    return color


def _fitting_mode(profile: bytes, mode: str) -> str:
    """Return the mode to convert from: ``mode``, or RGB for a grey picture with a profile for RGB."""
    opened: Any = _opened(profile).profile
    space = opened.xcolor_space.strip()
    if space == {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}[mode]:
        return mode
    if mode == "L" and space == "RGB":
        return "RGB"
    raise SampleError(f"its colour profile is for {space}, but its pixels are {mode}", "Convert it to sRGB.")


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except (OSError, ImageCms.PyCMSError) as error:
        raise SampleError(f"its colour profile cannot be read ({error})", "Convert it to sRGB.") from error


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform to sRGB, or None if the profile is sRGB already."""
    try:
        transform = ImageCms.buildTransform(
            _opened(profile),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except ImageCms.PyCMSError as error:
        raise SampleError(f"its colour profile cannot be applied ({error})", "Convert it to sRGB.") from error
    if mode in ("L", "RGB"):
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
        sample = Image.fromarray(colors).convert(mode)
        changed = np.asarray(ImageCms.applyTransform(sample, transform)).astype(int) - np.asarray(sample.convert("RGB"))
        if np.abs(changed).max() <= SAME_COLOUR:
            return None
    return transform
