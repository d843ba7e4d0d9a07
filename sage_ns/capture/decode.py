"""Open a picture or matte file: the only module that decodes picture files, for all readers.

Whatever changes the meaning of a pixel is applied here (orientation tag, bit depth, palette, colour profile) or
refused by name. A picture comes out as 8-bit sRGB, with straight alpha if the file has any; a matte as 8-bit grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

from sage_ns.capture.colour_profile import to_srgb
from sage_ns.capture.sample_depth import SampleError, as_eight_bits, low_bytes_of
from sage_ns.errors import CaptureError
from sage_ns.system.user_files import check_regular

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "TGA", "AVIF")
"""Formats by Pillow's names. Others are not tried: some of their readers start other programs (EPS)."""

MOST_PIXELS = 89_478_485
"""Largest number of pixels of a picture: 256 MiB of RGB; also Pillow's limit for decompression bombs."""

SAME_CHANNELS = 8
"""Levels (of 255) by which the channels of a grey matte may differ: JPEG rounds them."""

_ORIENTATION_TAG, _EXIF_FOLDER = 0x0112, 0x8769
_USUAL_GAMMA, _GAMMA_TOLERANCE = 1 / 2.2, 0.02
"""Encoding exponent of sRGB-like PNG files, and its tolerance."""


@dataclass(frozen=True)
class PictureHeader:
    """What the header of a picture file states."""

    size: tuple[int, int]
    """Width and height in pixels, after the orientation tag was applied."""
    stored_size: tuple[int, int]
    """Width and height in pixels, as the file stores them."""
    bands: tuple[str, ...]
    """Names of the channels, ("R", "G", "B", "A")."""


def read_header(path: Path, role: str = "image") -> PictureHeader:
    """Read the header of a picture file, without its pixels.

    Args:
        path: picture or matte.
        role: "image" or "mask", for messages.

    Raises:
        CaptureError: the file is missing, not a picture, or has too many pixels.
    """
    with _opened(path, role) as image:
        size = other = image.size
        if _orientation(image) in (5, 6, 7, 8):
            other = size[1], size[0]
        # Pillow turns TIFF files itself.
        upright, stored = (size, other) if image.format == "TIFF" else (other, size)
        return PictureHeader(upright, stored, image.getbands())


def read_exif(path: Path) -> Mapping[int, Any]:
    """Return what the camera wrote about the shot, by number of the tag (EXIF 2.32, Exif IFD); empty if nothing.

    Raises:
        CaptureError: the file is missing or not a picture.
    """
    with _opened(path, "image") as image:
        return dict(Image.Image.getexif(image).get_ifd(_EXIF_FOLDER))


def decode_picture(path: Path) -> Image.Image:
    """Decode a picture to 8-bit sRGB, mode "RGB", or "RGBA" with straight alpha.

    Raises:
        CaptureError: the file is missing, truncated, not a picture, or of a kind that cannot be converted exactly.
    """
    image, info = _decoded(path, "image")
    try:
        _check_gamma(info)
        return to_srgb(image, info.get("icc_profile"))
    except SampleError as error:
        raise _refused(path, "image", error) from error


def decode_matte(path: Path) -> Image.Image:
    """Decode a matte to 8-bit grey, mode "L", 255 = foreground.

    A matte is the grey level of the file, or its alpha if its colours are constant. Colour profiles do not count.

    Raises:
        CaptureError: the file is missing, truncated, not a picture, or its channels hold no single matte.
    """
    image, _ = _decoded(path, "mask")
    try:
        return Image.fromarray(_single_channel(image))
    except SampleError as error:
        raise _refused(path, "mask", error) from error


def _decoded(path: Path, role: str) -> tuple[Image.Image, dict[Any, Any]]:
    """Return the pixels in 8 bits per channel, upright, and what else the file states."""
    with _opened(path, role) as image:
        orientation = _orientation(image)
        try:
            low = low_bytes_of(path, image, FORMATS)
            image.load()
            if image.format == "TIFF":
                orientation = _orientation(image)  # Pillow has turned it, and has removed the tag
            elif _orientation(image) != orientation:
                raise SampleError("it states its orientation after its pixels", "Save it again, upright.")
            eight = as_eight_bits(image, low)
        except SampleError as error:
            raise _refused(path, role, error) from error
        except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
            raise CaptureError(
                f"{role} {path} cannot be decoded ({error}): it is truncated or not an image. Copy or export it again."
            ) from error
    turn = _TURNS.get(orientation)
    return eight if turn is None else eight.transpose(turn), image.info


def _check_gamma(info: Mapping[Any, Any]) -> None:
    """Refuse a PNG file that states another transfer curve than sRGB's, unless its profile or sRGB chunk overrules."""
    gamma = info.get("gamma")
    if gamma and "icc_profile" not in info and "srgb" not in info and abs(gamma - _USUAL_GAMMA) > _GAMMA_TOLERANCE:
        raise SampleError(f"its gAMA chunk states {gamma:.3g}; sRGB has 0.455", "Convert it to sRGB.")


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by EXIF orientation (EXIF 2.32, 4.6.4)."""


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if none is stated; does not decode pixels."""
    # PngImageFile.getexif() decodes the picture to look for a chunk behind the pixels.
    return int(Image.Image.getexif(image).get(_ORIENTATION_TAG, 1))


def _opened(path: Path, role: str) -> ImageFile.ImageFile:
    check_regular(path, CaptureError, f"Restore the {role} or remove its frame from the transforms file.")
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CaptureError(f"{role} {path} is too large ({error}). Scale it down.") from error
    except UnidentifiedImageError as error:
        raise CaptureError(
            f"{role} {path} is not a readable image: it is not one of {', '.join(FORMATS)}, is damaged, or has a bit "
            "depth that is not read. Copy it again, or export it as 8-bit PNG."
        ) from error
    except Exception as error:  # see _decoded
        raise CaptureError(f"{role} {path} is not a readable image ({error}). Copy or export it again.") from error
    try:
        _check_opened(image, path, role)
    except BaseException:
        image.close()
        raise
    return image


def _check_opened(image: Image.Image, path: Path, role: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise CaptureError(
            f"{role} {path} has {image.width} x {image.height} px; at most {MOST_PIXELS} pixels are read. "
            "Scale it down."
        )
    try:
        num_pictures = getattr(image, "n_frames", 1)
    except Exception as error:  # see _decoded
        raise CaptureError(f"{role} {path} is not a readable image ({error}). Copy or export it again.") from error
    # The second picture of an MPO file is a phone's depth or gain map.
    if num_pictures > 1 and image.format != "MPO":
        raise CaptureError(f"{role} {path} holds {num_pictures} pictures; expected one. Export each into its own file.")


def _refused(path: Path, role: str, error: SampleError) -> CaptureError:
    return CaptureError(f"{role} {path} cannot be used: {error.found}. {error.advice}")


def _single_channel(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Return the one channel of an 8-bit picture that holds a matte.

    Raises:
        SampleError: colour or alpha differ, both of them vary, or the values are 0 and 1.
    """
    if image.mode == "L":
        return _without_binary(np.asarray(image))
    pixels = np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))
    color, alpha = pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None
    spread = color.max(axis=2).astype(int) - color.min(axis=2)
    if alpha is not None and int(np.ptp(alpha)) > 0:
        both = np.abs(color.astype(int) - alpha[..., None]).max()
        constant = all(int(np.ptp(color[..., channel])) == 0 for channel in range(3))
        if not constant and both > SAME_CHANNELS:
            raise SampleError(
                "its colour and its alpha differ, and either could be the matte", "Export the matte as 8-bit grey."
            )
        matte = alpha
    else:
        if spread.max() > SAME_CHANNELS:
            raise SampleError(
                f"its red, green and blue differ by up to {spread.max()} levels, but a matte is grey",
                "Export the matte as 8-bit grey, 255 = foreground.",
            )
        matte = np.asarray(Image.fromarray(np.ascontiguousarray(color)).convert("L"))
    return _without_binary(matte)


def _without_binary(matte: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return a matte after checking that it is not a mask of 0 and 1."""
    if matte.max() == 1:
        raise SampleError(
            "its largest value is 1 of 255", "Multiply masks of 0 and 1 by 255: 255 = foreground, 0 = background."
        )
    return matte
