"""Enlarge pictures of a capture once: results are kept in the cache that runs share, by the pictures' content."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sage_ns.capture.decode import decode_picture
from sage_ns.errors import WriteError
from sage_ns.image.super_resolution import Upscaler, enlarged
from sage_ns.system.cache import cache_dir
from sage_ns.system.files import whole_file

VERSION = 1
"""Part of the names of cached files: raise it when the same inputs no longer give the same result."""
FOLDER = "super_resolution"
"""Folder of the results in the cache."""


class PictureEnlarger:
    """Enlarges pictures by an upscaler, and their masks by bicubic interpolation.

    A picture that was enlarged before, by an interrupted training or another one, is read from the cache: its name is
    a hash of the pixels and of `Upscaler.identity`. A file that is damaged is made again; a cache that cannot be
    written costs the time again.

    Args:
        upscaler: enlarges the pictures.
        folder: folder of the results; None = that of the shared cache.
    """

    def __init__(self, upscaler: Upscaler, folder: Path | None = None) -> None:
        self.upscaler = upscaler
        self.folder = cache_dir() / FOLDER if folder is None else folder

    def __call__(
        self, image: UInt8[Tensor, "h w 3"], mask: UInt8[Tensor, "h w 1"] | None
    ) -> tuple[UInt8[Tensor, "big_h big_w 3"], UInt8[Tensor, "big_h big_w 1"] | None]:
        """Return picture and mask, both enlarged.

        Args:
            image: picture as it is trained on: blended with its background, after any downscaling.
            mask: soft mask, 255 = foreground, or None.

        Raises:
            SageError: the network returns something else than a picture.
        """
        path = self.folder / f"{self._key(image, mask)}.png"
        size = (image.shape[0] * self.upscaler.scale, image.shape[1] * self.upscaler.scale)
        known = _read(path, (*size, 3 if mask is None else 4))
        if known is None:
            known = self._enlarge(image, mask)
            _write(path, known)
        return known[..., :3].contiguous(), None if mask is None else known[..., 3:].contiguous()

    def _enlarge(
        self, image: UInt8[Tensor, "h w 3"], mask: UInt8[Tensor, "h w 1"] | None
    ) -> UInt8[Tensor, "big_h big_w channels"]:
        parts = [self.upscaler(image.float() / 255)]
        if mask is not None:
            parts.append(enlarged(mask.float() / 255, self.upscaler.scale))
        return (255 * torch.cat(parts, dim=-1).clamp(0, 1)).round().to(torch.uint8)

    def _key(self, image: UInt8[Tensor, "h w 3"], mask: UInt8[Tensor, "h w 1"] | None) -> str:
        digest = hashlib.sha256(repr((VERSION, self.upscaler.identity, tuple(image.shape), mask is None)).encode())
        for pixels in (image, mask):
            if pixels is not None:
                digest.update(pixels.contiguous().numpy().tobytes())
        return digest.hexdigest()[:40]


def _read(path: Path, shape: tuple[int, int, int]) -> UInt8[Tensor, "h w channels"] | None:
    """Return the pixels of a cached file; None if it is missing, damaged or of another shape."""
    try:
        pixels = torch.from_numpy(np.array(decode_picture(path)))
    except Exception:  # a damaged file can raise any error
        return None
    return pixels if pixels.shape == shape and pixels.dtype == torch.uint8 else None


def _write(path: Path, pixels: UInt8[Tensor, "h w channels"]) -> None:
    """Keep the pixels for later runs; skip this if the file cannot be written."""
    with suppress(WriteError), whole_file(path) as unfinished:
        Image.fromarray(pixels.numpy()).save(unfinished, compress_level=1)
