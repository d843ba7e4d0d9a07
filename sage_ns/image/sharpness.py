"""How sharp a picture is inside a mask: the variance of its Laplacian."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in the brightness that the eye sees (ITU-R BT.709)."""


def sharpness(image: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"]) -> Float[Tensor, ""]:
    """Return the variance of the Laplacian of brightness inside a mask (Pech-Pacheco et al. 2000).

    The Laplacian of a pixel is the sum of its four neighbours minus four times itself. It counts where the pixel and
    the four neighbours lie in the mask, so that the border of the mask against another background adds nothing. Motion
    blur and defocus remove fine detail and lower the value. A gain ``g`` of the whole picture multiplies the value by
    ``g^2``, and a smaller picture of the same thing is sharper, so compare pictures of one camera.

    Args:
        image: values in 0..1.
        mask: the pixels to judge, for example those of the face.

    Returns:
        A value >= 0; 0 if the mask contains no pixel with all its neighbours. Nothing waits for the CPU.
    """
    luma = image @ image.new_tensor(LUMA)
    if min(luma.shape) < 3:
        return image.new_zeros(())
    response = _neighbours(luma) - 4 * luma[1:-1, 1:-1]
    counted = (_neighbours(mask.to(luma.dtype)) + mask[1:-1, 1:-1] == 5).to(luma.dtype)
    count = counted.sum().clamp_min(1)
    mean = (response * counted).sum() / count
    return ((response - mean).square() * counted).sum() / count


def _neighbours(values: Tensor) -> Tensor:
    """Sum of the four neighbours of each pixel that has four: [h - 2, w - 2]."""
    return values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
