"""Small weights of Real-ESRGAN's compact network, which spandrel recognises by the names and shapes of its arrays."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

FEATURES = 4


def compact_state(scale: int = 2, channels: int = 3, size: float = 0.0, seed: int = 0) -> dict[str, Tensor]:
    """Weights of the network x -> nearest(x) + shuffle(conv(prelu(conv(prelu(conv(x)))))).

    Args:
        scale: of the result.
        channels: of picture and result.
        size: of the random weights; 0 leaves the nearest pixel alone.
    """
    generator = torch.Generator().manual_seed(seed)

    def conv(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
        weight = size * torch.randn(outputs, inputs, 3, 3, generator=generator)
        return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(outputs)}

    return {
        **conv("body.0", channels, FEATURES),
        "body.1.weight": torch.full((FEATURES,), 0.2),
        **conv("body.2", FEATURES, FEATURES),
        "body.3.weight": torch.full((FEATURES,), 0.2),
        **conv("body.4", FEATURES, channels * scale**2),
    }


def write_compact(path: Path, **settings: float) -> Path:
    """Write a file of weights as Real-ESRGAN publishes them: a state dict under the key "params"."""
    torch.save({"params": compact_state(**settings)}, path)  # type: ignore[arg-type]
    return path
