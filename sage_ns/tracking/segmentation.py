"""The person before the scene, as a soft mask, by Google's selfie segmentation on torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.tracking.face_landmarker import checked_picture
from sage_ns.tracking.networks.files import read_graphs
from sage_ns.tracking.networks.network import Network, require_shapes

WEIGHTS = Path(__file__).with_name("selfie_segmentation.npz")
"""The network that the package brings, made by `sage_ns.tracking.convert_task`."""
SEGMENTER = "selfie_segmentation"
_RESOLUTION = 256
_SHAPE = (1, _RESOLUTION, _RESOLUTION)


class PersonSegmenter:
    """Tells a person from the background.

    The network sees the whole picture, pressed into 256 x 256 pixels. It was made for people who look into a camera
    from the chest up: it is good above the chin, and it invents shoulders under a head without any.

    Args:
        network: the network.
        device: where it is.
    """

    def __init__(self, network: Network, device: torch.device | str = "cpu") -> None:
        self._network, self._device = network, torch.device(device)

    def __call__(self, picture: UInt8[Tensor | np.ndarray, "height width 3"]) -> Float[Tensor, "height width"]:
        """Return how much of each pixel of an sRGB picture is the person, 0..1; on the CPU.

        Raises:
            OptionError: the array is no picture of bytes with three channels.
        """
        pixels = checked_picture(picture).to(self._device).permute(2, 0, 1)[None].to(torch.float32) / 255
        size = (_RESOLUTION, _RESOLUTION)
        seen = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        mask = self._network(seen.permute(0, 2, 3, 1))[0].permute(0, 3, 1, 2)
        whole = F.interpolate(mask, pixels.shape[2:], mode="bilinear", align_corners=False)
        return whole[0, 0].clamp(0.0, 1.0).cpu()


def load_segmenter(path: Path = WEIGHTS, device: torch.device | str = "cpu") -> PersonSegmenter:
    """Return the segmenter of a file.

    Args:
        path: the package's own file, or Google's `selfie_segmentation.tflite`.
        device: where it runs; pictures may be anywhere.

    Raises:
        NetworkError: the file is broken, or holds another network.
    """
    source = f"{path}: {SEGMENTER}"
    network = Network(read_graphs(path, (SEGMENTER,))[SEGMENTER], source)
    require_shapes(network, source, [(*_SHAPE, 3)], [(*_SHAPE, 1)])
    return PersonSegmenter(network.to(device), device)
