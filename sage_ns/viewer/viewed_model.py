"""Interface of the models that the viewer draws."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.look import Look


class ViewedModel(Protocol):
    """A model that the viewer draws and never changes."""

    training: bool

    @property
    def avatar(self) -> Avatar:
        """The avatar: rig, surfels, recorded motion, background and look."""
        ...

    @property
    def canonical(self) -> object | None:
        """The signed distance field; None if there is none, and hence no images of its surface."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of the avatar's tensors."""
        ...

    def draw_outputs(self, camera: Cameras, motion: Float[Tensor, "num_coefficients"], look: Look) -> dict[str, Tensor]:
        """Return images [h, w, channels] by name under ``motion`` with ``look``, without gradients.

        Args:
            camera: a single camera, on any device.
            motion: motion vector to pose the avatar by.
            look: how the avatar is drawn.
        """
        ...

    def train(self) -> Any:
        """Set training mode, like torch's modules."""
        ...

    def eval(self) -> Any:
        """Set evaluation mode, like torch's modules."""
        ...
