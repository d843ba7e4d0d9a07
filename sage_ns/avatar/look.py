"""Options of drawing an avatar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """Options of drawing an avatar: visible parts and resolution. Change them with ``dataclasses.replace``."""

    supersampling: int = 2
    """Factor on the resolution of drawing; pixels are averaged afterwards."""
    correction: bool = True
    """Stretch, turn and carry surfels as the skin around them deforms, away from the canonical moment."""
    mouth: bool = True
    """Show teeth, tongue and palate in an opening mouth."""
    dark_interior: bool = True
    """Darken visible parts of the inside of the head; has no effect if the mouth is shown, whose walls hide them."""
    wrinkles: float = 0.1
    """Strength of darkening where an expression compresses the skin; 0 disables it."""
    surfel_size: float = 1.0
    """Factor on the size of all surfels."""
