"""A perceptual loss (Johnson et al. 2016) with the user's own weights: differences of a network's features.

A file holds weights alone, in the layout of torchvision's VGG (Simonyan and Zisserman 2014): ``features.N.weight`` and
``features.N.bias`` of convolutions of 3 x 3. The network is rebuilt from the numbers N: after each convolution comes a
ReLU, and where the numbers leave room for one more layer, a pooling of 2 x 2. No code of the file runs. TorchScript is
not read: its programs may write files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sage_ns.errors import SageError
from sage_ns.system.weights import load_weights

_HINT = "Give the weights of a VGG without batch normalisation, as torchvision has them (.pth or .safetensors)."
_NAME = re.compile(r"features\.(\d{1,3})\.weight")
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, with which such networks are trained."""


class FeatureNetwork(nn.Module):
    """Convolutions with ReLU and pooling.

    Args:
        convolutions: weight [out, in, 3, 3] and bias [out] of each.
        pooled: whether a pooling follows each.
    """

    def __init__(self, convolutions: list[tuple[Tensor, Tensor]], pooled: list[bool]) -> None:
        super().__init__()
        self._pooled = pooled
        for number, (weight, bias) in enumerate(convolutions):
            self.register_buffer(f"weight{number}", weight)
            self.register_buffer(f"bias{number}", bias)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None])

    def forward(self, image: Float[Tensor, "h w 3"]) -> list[Float[Tensor, "1 channels h2 w2"]]:
        """Return the features before each pooling, and the last ones; RGB 0..1."""
        buffers = dict(self.named_buffers())
        hidden, found = ((image.movedim(-1, 0) - buffers["mean"]) / buffers["deviation"])[None], []
        last = len(self._pooled) - 1
        for number, pooled in enumerate(self._pooled):
            hidden = F.relu(F.conv2d(hidden, buffers[f"weight{number}"], buffers[f"bias{number}"], padding=1))
            if pooled or number == last:
                found.append(hidden)
            if pooled and number != last:
                if min(hidden.shape[-2:]) < 2:
                    break
                hidden = F.max_pool2d(hidden, 2)
        return found

    def difference(self, drawn: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
        """Return the mean over the layers of the mean absolute difference of features, relative to the truth's."""
        with torch.no_grad():
            wanted = self(truth)
        parts = [
            (own - other).abs().mean() / other.abs().mean().clamp_min(1e-6)
            for own, other in zip(self(drawn), wanted, strict=True)
        ]
        return torch.stack(parts).mean()

    def weighted(self, weight: float) -> Callable[[Tensor, Tensor], Float[Tensor, ""]]:
        """Return `difference` times a weight."""
        return lambda drawn, truth: weight * self.difference(drawn, truth)


def load_features(path: Path) -> FeatureNetwork:
    """Return the network of a file of weights; other arrays, of the classifier, are left out.

    Raises:
        SageError: the file is missing, damaged, holds more than arrays, or is not in the layout of a plain VGG.
    """
    state = load_weights(path, _HINT)
    numbers = sorted(int(match[1]) for match in map(_NAME.fullmatch, state) if match)
    if not numbers or numbers[0] != 0:
        raise SageError(f"{path}: found no array 'features.0.weight' of a VGG. {_HINT}")
    convolutions, channels = [], 3
    for number in numbers:
        name = f"features.{number}"
        weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
        fits = isinstance(weight, Tensor) and weight.ndim == 4 and weight.shape[1:] == (channels, 3, 3)
        if not fits or not isinstance(bias, Tensor) or bias.shape != weight.shape[:1] or not len(bias):
            found = list(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
            raise SageError(f"{path}: '{name}': found {found}, expected a convolution of {channels} channels, 3 x 3, "
                            f"and its bias. {_HINT}")  # fmt: skip
        convolutions.append((weight.float().clone(), bias.float().clone()))
        channels = len(bias)
    gaps = [after - before for before, after in pairwise(numbers)]
    if any(gap not in (2, 3) for gap in gaps):
        raise SageError(f"{path}: found convolutions {numbers}; in a plain VGG they are 2 or 3 apart. {_HINT}")
    return FeatureNetwork(convolutions, [gap == 3 for gap in gaps] + [False])
