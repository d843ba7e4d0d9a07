"""A face in a picture, as a fit needs it to begin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face


@dataclass(frozen=True, eq=False)
class Sight:
    """A face that was found in a picture."""

    picture: UInt8[np.ndarray, "height width 3"]
    face: Face
    focal: float
    """Pixels, as far as it is known."""
    embedding: Embedding
    """Of the head model that is fitted."""
    frame: int | None = None
    """Number of the picture in the file of the clip, from 0; None = a photo."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.shape[1], self.picture.shape[0]
