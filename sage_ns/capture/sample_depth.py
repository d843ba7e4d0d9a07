"""Convert the samples of a decoded picture to 8 bits: 16-bit, floating point, palette, premultiplied alpha, YCbCr.

A 16-bit sample v becomes ``round(v / 257)``: within half a level of the exact value, as an 8-bit export would be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageFile

_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if np.little_endian else ";16L"}
_FLOAT_TOLERANCE = 1e-3
_UNUSED_BITS = 1 << 12
"""16-bit pictures whose largest sample is below this hold 8 to 12 bits, unscaled."""


class SampleError(Exception):
    """The samples of a picture cannot be converted exactly.

    Args:
        found: what was found.
        advice: what the user should do.
    """

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(f"{found}. {advice}")
        self.found, self.advice = found, advice


def low_bytes_of(
    path: Path, image: ImageFile.ImageFile, formats: tuple[str, ...]
) -> UInt8[np.ndarray, "h w channels"] | None:
    """Return the low bytes of a 16-bit colour picture, None for other pictures. Call this before ``image.load()``.

    Pillow has no 16-bit colour modes: it keeps the high byte of each sample. Read with the other byte order, the same
    file yields the low bytes.

    Raises:
        SampleError: 16-bit samples whose low bytes cannot be read.
    """
    raw = [_raw_mode(tile.args) for tile in image.tile]
    sixteen = next((mode for mode in raw if ";16" in mode), "")
    if not sixteen or image.mode.startswith(("I", "F")):
        return None
    order = next((key for key in _SWAPPED if sixteen.endswith(key)), None)
    if order is None or "transparency" in image.info or image.mode not in ("RGB", "RGBA"):
        raise _sixteen_bit_fault(sixteen)
    with Image.open(path, formats=formats) as other:
        other.tile = [tile._replace(args=_with_raw_mode(tile.args, order)) for tile in other.tile]
        try:
            other.load()
        except ValueError as error:
            raise _sixteen_bit_fault(sixteen) from error
        return np.array(other)


def as_eight_bits(image: Image.Image, low: UInt8[np.ndarray, "h w channels"] | None) -> Image.Image:
    """Return a loaded picture as "L", "RGB", "RGBA", "CMYK" or "LAB" with 8 bits per channel and straight alpha.

    Args:
        image: the picture, all of its pixels loaded.
        low: low bytes of its samples, from `low_bytes_of`.

    Raises:
        SampleError: floating point numbers outside 0..1, 32-bit integers, or 16-bit samples that use few of their bits.
    """
    if low is not None:
        high = np.asarray(image).astype(np.uint32)
        return Image.fromarray(_from_16_bits(high * 256 + low))
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.mode == "LAB" or image.mode == "CMYK":
        return image.copy()
    if image.mode == "HSV":
        raise SampleError("its colours are hue, saturation and value", "Convert it to RGB.")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _from_16_bits(samples: Shaped[np.ndarray, "h w *channels"]) -> UInt8[np.ndarray, "h w *channels"]:
    largest = int(samples.max(initial=0))
    if 0 < largest < _UNUSED_BITS:
        raise SampleError(
            f"it has 16 bits per channel, but its largest value is {largest} of 65535",
            "Scale its values to 0..65535, or save it with 8 bits.",
        )
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _from_integers(image: Image.Image) -> Image.Image:
    if "transparency" in image.info:
        raise _sixteen_bit_fault("one transparent grey")
    samples = np.asarray(image).astype(np.int64)
    # Pillow reads 16-bit grey of some formats as 32-bit integers.
    if image.mode == "I" and image.format not in ("PNG", "PPM", "JPEG2000"):
        raise SampleError("it has 32-bit or signed integers, whose white is unknown", "Save it with 8 or 16 bits.")
    return Image.fromarray(_from_16_bits(samples))


def _from_floats(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    low, high = float(samples.min()), float(samples.max())
    if not (low >= -_FLOAT_TOLERANCE and high <= 1 + _FLOAT_TOLERANCE):  # also refuses NaN
        raise SampleError(
            f"its floating point values range from {low:g} to {high:g}; expected 0..1", "Scale them, or save 8 bits."
        )
    return Image.fromarray(np.round(255 * samples.clip(0, 1)).astype(np.uint8))


def _raw_mode(args: object) -> str:
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _with_raw_mode(args: object, order: str) -> object:
    swapped = _raw_mode(args).removesuffix(order) + _SWAPPED[order]
    return (swapped, *args[1:]) if isinstance(args, tuple) else swapped


def _sixteen_bit_fault(kind: str) -> SampleError:
    return SampleError(f"its 16-bit samples ({kind}) cannot be read exactly", "Save it as RGB or RGBA, or with 8 bits.")
