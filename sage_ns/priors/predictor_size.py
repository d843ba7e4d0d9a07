"""Sizes of the networks of a predictor."""

from __future__ import annotations

from dataclasses import dataclass

STRIDE = 16
"""Pixels of the picture along a side of a token."""


@dataclass(frozen=True)
class PredictorSize:
    """Sizes of the networks."""

    side: int = 96
    """pixels along a side of the picture that the network sees; a multiple of 16"""
    width: int = 128
    """numbers of a token; a multiple of 16 and of the heads"""
    blocks: int = 4
    """transformer blocks"""
    heads: int = 4
    """heads of attention"""
    features: int = 32
    """numbers that describe a person's colours and surfels"""
    places: int = 2000
    """surfels; an even number"""
    place_width: int = 32
    """numbers of a place's embedding"""
    directions: int = 60
    """most directions of identity, and of expression, that are predicted"""

    def fault(self) -> str | None:
        """Return which size cannot be, in words; None if all can."""
        limits = {"side": (32, 512), "width": (16, 1024), "blocks": (1, 24), "heads": (1, 16), "features": (1, 512),
                  "places": (100, 100_000), "place_width": (1, 256), "directions": (1, 400)}  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                return f"'{name}' is {getattr(self, name)}; expected {low} to {high}"
        if self.side % STRIDE:
            return f"'side' is {self.side}; expected a multiple of {STRIDE}"
        if self.width % 16 or self.width % self.heads:
            return f"'width' is {self.width}; expected a multiple of 16 and of the {self.heads} 'heads'"
        return f"'places' is {self.places}; expected an even number" if self.places % 2 else None
