"""Networks for super-resolution from the user's own weights, through the optional package `spandrel`.

spandrel recognises the architecture by the names and shapes of the arrays. It never opens the file: it gets the arrays
that `sage_ns.system.weights` reads without running code.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.image.super_resolution import UPSCALERS, keep_colors
from sage_ns.image.tiles import tiled
from sage_ns.system.user_files import check_regular
from sage_ns.system.weights import load_weights

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

VERSION = 1
"""Part of `NetworkUpscaler.identity`: raise it when the same weights no longer give the same pictures."""
_HINT = (
    f"Give {', '.join(UPSCALERS)}, or a file of weights (.safetensors or .pth) of a network that spandrel knows, for "
    "the super-resolution of single RGB pictures."
)
_INSTALL = "Install it: pip install 'sage_ns[super-resolution]' (or pip install spandrel)."


class NetworkUpscaler:
    """A network with its weights; the pictures keep their colours (`keep_colors`).

    Args:
        model: spandrel's description of the network.
        identity: see `Upscaler.identity`.
        source: file of the weights, for messages.
    """

    def __init__(self, model: ImageModelDescriptor[Any], identity: str, source: Path) -> None:
        self._model, self._source = model, source
        self.identity = identity
        self.scale = model.scale

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, "big_h big_w 3"]:
        """Return the enlarged picture.

        Raises:
            SageError: The network returns another size, or numbers that are not finite.
        """
        from spandrel import ModelTiling

        whole = self._model.tiling != ModelTiling.SUPPORTED  # it needs the whole picture, or makes tiles itself
        detailed = self._enlarge(image) if whole else tiled(self._enlarge, image, self.scale)
        return keep_colors(detailed, image, self.scale)

    def _enlarge(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, "big_h big_w 3"]:
        batch = image.permute(2, 0, 1)[None].to(self._model.device)
        result = self._model(batch).cpu()[0].permute(1, 2, 0).clone()
        expected = (image.shape[0] * self.scale, image.shape[1] * self.scale, 3)
        if result.shape != expected or not bool(result.isfinite().all()):
            found = f"shape {list(result.shape)}" if result.shape != expected else "numbers that are not finite"
            raise SageError(
                f"{self._source}: the network returned {found} for a picture of {list(image.shape)}, expected finite "
                f"numbers {list(expected)}. Use other weights."
            )
        return result


def load_network(path: Path) -> NetworkUpscaler:
    """Return the network of a file of weights, on CUDA if there is any.

    Raises:
        SageError: spandrel is not installed; the file is missing, truncated, holds more than arrays, or no weights that
            spandrel knows; or the network is not for the super-resolution of single RGB pictures.
    """
    check_regular(path, SageError, _HINT)
    if find_spec("spandrel") is None:
        raise SageError(f"{path}: super-resolution with weights needs the package spandrel. {_INSTALL}")
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    state = load_weights(path, _HINT)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = ModelLoader(device).load_from_state_dict(state)
    except UnsupportedModelError as error:
        raise SageError(f"{path}: spandrel does not know a network with these weights. {_HINT}") from error
    # Each architecture reads names and shapes in its own way: wrong ones raise almost any error.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        raise SageError(f"{path}: the weights are incomplete or damaged ({reason}). {_HINT}") from error
    name = model.architecture.name
    if not isinstance(model, ImageModelDescriptor) or model.purpose != "SR" or model.scale < 2:
        kind = f"for {model.purpose} at scale {model.scale}"
        raise SageError(f"{path}: {name} is a network {kind}, expected super-resolution (SR) of 2 or more. {_HINT}")
    channels = model.input_channels, model.output_channels
    if channels != (3, 3):
        found = f"{channels[0]} input and {channels[1]} output channels"
        raise SageError(f"{path}: {name} has {found}, expected 3 and 3 (RGB). {_HINT}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return NetworkUpscaler(model.eval(), f"network {VERSION} {digest}", path)
