"""Load images and soft masks of a capture as tensors, area-downscaled, on one known background colour.

Convention: stored RGB is already blended with a background colour ``b`` (VHAP: white), ``I = a F + (1 - a) b``
with foreground ``F`` and soft mask ``a``. All code keeps this convention; ``recomposite`` replaces ``b``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageColor
from torch import Tensor

from sage_ns.capture.decode import decode_matte, decode_picture
from sage_ns.errors import CaptureError


def background_color(name: str) -> Float[Tensor, "3"]:
    """Return RGB in 0..1 of a colour name ("white", "black", "green") or a hex code ("#00ff80").

    Raises:
        CaptureError: there is no such colour.
    """
    try:
        rgb = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise CaptureError(f"background '{name}' is not a colour; give a name (white, black) or #rrggbb.") from error
    return torch.tensor(rgb, dtype=torch.float32) / 255


def downscaled_size(width: int, height: int, factor: int) -> tuple[int, int]:
    """Return width and height after area-downscaling by a whole ``factor``.

    A remainder at the right and bottom that does not fill a block is cropped. Blocks stay whole, and dividing the
    intrinsics by the factor is exact.

    Raises:
        CaptureError: the factor is not a whole number >= 1, or no pixel is left.
    """
    if factor < 1 or factor != int(factor):
        raise CaptureError(f"downscale_factor is {factor}; expected a whole number >= 1.")
    size = width // factor, height // factor
    if min(size) < 1:
        raise CaptureError(
            f"downscale_factor {factor} leaves no pixel of an image of {width} x {height} px. Give a smaller factor."
        )
    return size


def load_image(
    image_path: Path,
    mask_path: Path | None = None,
    downscale_factor: int = 1,
    background: Float[Tensor, "3"] | None = None,
) -> tuple[UInt8[Tensor, "h w 3"], UInt8[Tensor, "h w 1"] | None]:
    """Load an image with its soft mask.

    Args:
        image_path: image of any kind that `sage_ns.capture.decode` reads. One with alpha (INSTA) is blended with
            ``background``; its alpha is the mask if ``mask_path`` is None.
        mask_path: soft mask of the image's size, grey or in the alpha channel.
        downscale_factor: side of the square blocks of pixels that are averaged.
        background: RGB in 0..1 that RGBA images are blended with (default white).

    Returns:
        RGB blended with the background, and the mask (255 = foreground) or None.

    Raises:
        CaptureError: a file is missing, truncated, not an image or of a kind that is not read, or the mask has another
            size.
    """
    pixels = decode_picture(image_path)
    mask = None if mask_path is None else decode_matte(mask_path)
    if mask is not None and mask.size != pixels.size:
        raise CaptureError(
            f"mask {mask_path} has {mask.width} x {mask.height} px, its image {image_path} "
            f"{pixels.width} x {pixels.height} px. Export the masks again or switch masks off (--use-masks False)."
        )
    if pixels.mode == "RGBA":
        alpha = pixels.getchannel("A")
        color = torch.ones(3) if background is None else background
        ground = Image.new("RGB", pixels.size, tuple(round(255 * channel) for channel in color.tolist()))
        pixels = Image.composite(pixels.convert("RGB"), ground, alpha)
        mask = alpha if mask is None else mask
    rgb = _to_tensor(_downscale(pixels, downscale_factor))
    return rgb, None if mask is None else _to_tensor(_downscale(mask, downscale_factor))


def load_matte(path: Path, size: tuple[int, int], downscale_factor: int, what: str) -> UInt8[Tensor, "h w 1"]:
    """Load one grey picture that belongs to an image, averaged over the same blocks of pixels.

    Args:
        path: grey, or in the alpha channel.
        size: width and height of the image.
        downscale_factor: side of the blocks.
        what: where the path is stated, for messages: "transforms_train.json, frame 3: 'hidden_path'".

    Raises:
        CaptureError: the file cannot be read, or has another size than the image.
    """
    pixels = decode_matte(path)
    if pixels.size != size:
        raise CaptureError(
            f"{what} {path} has {pixels.width} x {pixels.height} px, the picture {size[0]} x {size[1]} px. Write both "
            "in one size."
        )
    return _to_tensor(_downscale(pixels, downscale_factor))


def recomposite(
    image: Float[Tensor, "*batch 3"],
    mask: Float[Tensor, "*batch 1"],
    from_background: Float[Tensor, "*#batch 3"],
    to_background: Float[Tensor, "*#batch 3"],
) -> Float[Tensor, "*batch 3"]:
    """Replace the background colour of a blended image: ``I + (1 - a) (b_to - b_from)``, clamped to 0..1.

    Args:
        image: RGB in 0..1, blended with ``from_background``.
        mask: soft mask in 0..1, 1 = foreground.
        from_background: the colour (or image) that ``image`` is blended with.
        to_background: the colour (or image) to blend with instead.
    """
    return (image + (1 - mask) * (to_background - from_background)).clamp(0, 1)


def _downscale(image: Image.Image, factor: int) -> Image.Image:
    if factor == 1:
        return image
    width, height = downscaled_size(image.width, image.height, factor)
    return image.reduce(factor, box=(0, 0, width * factor, height * factor))


def _to_tensor(image: Image.Image) -> UInt8[Tensor, "h w c"]:
    pixels = np.array(image)
    return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None])
