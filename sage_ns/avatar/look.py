"""What is shown of an avatar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What is shown of an avatar, and how finely. Pass another one to draw it otherwise (``dataclasses.replace``)."""

    supersampling: int = 2
    """Draw at this many times the resolution and average."""
    correction: bool = True
    """Stretch, turn and carry surfels as the skin around them deforms, away from the canonical moment."""
    mouth: bool = True
    """Show teeth, tongue and palate in an opening mouth."""
    dark_interior: bool = True
    """Darken the inside of the head, where it comes into view; not where a mouth is shown, whose walls hide it."""
    wrinkles: float = 0.1
    """How much skin darkens where an expression pushes it together; 0 = not at all."""
    surfel_size: float = 1.0
    """Factor on the size of all surfels."""
