"""Options of drawing an avatar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sage_ns.avatar.correction import CorrectionSource
from sage_ns.raster.types import Distortion

WrinkleRule = Literal["area", "rendered"]
"""What darkens a wrinkle: lost area of skin, or error of the rendered normals and distortion, see `wrinkles`."""
Light = Literal["room", "head"]
"""What the light stays with: the room, or the head as if lamps were fixed to it."""


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
    wrinkle_rule: WrinkleRule = "area"
    """What wrinkles are recognised by."""
    wrinkle_dimming: float = 0.0
    """Strength of dimming where surfels of a ray are apart in depth; for the rule "rendered"."""
    correction_source: CorrectionSource = "carried"
    """Deformation that the correction uses."""
    correction_gamma: float = 0.0
    """Strength with which the correction shortens surfels where the surface bends (gamma of Eq. 16); 0 disables it."""
    distortion: Distortion = "centre"
    """Depths that the distortion of the drawn buffers compares."""
    light: Light = "room"
    """What the light stays with when the head turns; only for an avatar that has learned the light of its room."""
    mark_guessed: bool = False
    """Paint surfels blue whose colour is a guess, because no picture of the training shows them."""
    surfel_size: float = 1.0
    """Factor on the size of all surfels."""
