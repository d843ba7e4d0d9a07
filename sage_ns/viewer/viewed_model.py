"""What the viewer needs of a model: an avatar, and pictures of it in the viewer's own motion and look."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.look import Look


class ViewedModel(Protocol):
    """A model that the viewer draws; the viewer reads from it and never changes it."""

    training: bool

    @property
    def avatar(self) -> Avatar:
        """Rig, surfels, recorded motion, background and look."""
        ...

    @property
    def canonical(self) -> object | None:
        """The signed distance field; None where the model has none, and hence no pictures of its surface."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the avatar's tensors are."""
        ...

    def draw_outputs(self, camera: Cameras, motion: Float[Tensor, "num_coefficients"], look: Look) -> dict[str, Tensor]:
        """Images [h, w, channels] by name under ``motion``, drawn as ``look`` says; no gradients.

        Args:
            camera: a single one, on any device.
        """
        ...

    def train(self) -> Any:
        """As torch's modules."""
        ...

    def eval(self) -> Any:
        """As torch's modules."""
        ...
