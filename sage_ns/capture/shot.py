"""One training picture with its camera, motion, mask and weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.raster import PinholeCamera


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture with its camera, motion, mask and weight, as the data manager passes it to the phases of training."""

    camera: PinholeCamera
    picture: Float[Tensor, "h w 3"]
    """RGB in 0..1, composited over the capture's background colour."""
    mask: Float[Tensor, "h w 1"] | None = None
    """Soft foreground coverage 0..1; None where the capture has no masks."""
    motion: Float[Tensor, "num_coefficients"] | None = None
    """Tracked motion vector. None stands for the canonical moment, whose motion the avatar stores: first as tracked,
    later refined."""
    row: int | None = None
    """Row of the moment in the recorded motion; None where it is not known."""
    steady: Float[Tensor, "h w 1"] | None = None
    """1 at pixels of a view that show what moves with the skull, else 0; None where all do."""
    skull: Float[Tensor, "4 4"] | None = None
    """Motion of the skull from the canonical moment to that of the picture, if the camera is the head-relative one of
    `sage_ns.capture.registration`; None if the camera stands where it took the picture."""
    index: int | None = None
    """Number of the picture among the training pictures; None where it is not known."""
    weight: float = 1.0
    """Factor on the photometric losses of this picture."""
    confidence: Float[Tensor, "h w 1"] | None = None
    """1 where the picture counts, 0 where it does not: something hides the head (`Frame.hidden_path`), or a real
    picture shows the place of a pseudo view. None where all pixels count."""
    is_pseudo: bool = False
    """Whether no camera took this picture, see `sage_ns.capture.pseudo_views`."""

    @property
    def is_canonical(self) -> bool:
        """Whether the picture shows the canonical moment."""
        return self.motion is None

    @property
    def foreground(self) -> Float[Tensor, "h w 1"]:
        """The mask, or full coverage if the picture has none."""
        return torch.ones_like(self.picture[..., :1]) if self.mask is None else self.mask

    def to(self, device: torch.device | str) -> Shot:
        """Return the same shot on another device."""
        return replace(
            self,
            camera=self.camera.to(device),
            picture=self.picture.to(device),
            mask=None if self.mask is None else self.mask.to(device),
            motion=None if self.motion is None else self.motion.to(device),
            steady=None if self.steady is None else self.steady.to(device),
            confidence=None if self.confidence is None else self.confidence.to(device),
            skull=None if self.skull is None else self.skull.to(device),
        )
