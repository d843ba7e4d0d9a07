"""What a synthetic person looks like: one record that painter, hair, light and true skin read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from sage_ns.synthetic.light import Studio

Color = tuple[float, float, float]
"""Linear light, 0..1."""
HairStyle = Literal["short", "long", "none"]
HairColor = Literal["own", "black", "brown", "blond"]

_SKIN_TONES = ((0.60, 0.365, 0.265), (0.50, 0.29, 0.20), (0.66, 0.42, 0.32), (0.36, 0.195, 0.125), (0.56, 0.35, 0.245))
_IRIS_COLORS = ((0.16, 0.25, 0.33), (0.17, 0.095, 0.045), (0.14, 0.20, 0.12), (0.24, 0.17, 0.08))
_HAIR_COLORS = ((0.090, 0.050, 0.028), (0.040, 0.024, 0.016), (0.150, 0.085, 0.042), (0.060, 0.036, 0.024))
_LONG_HAIR_COLORS = ((0.022, 0.015, 0.012), (0.035, 0.019, 0.012))
_DYES: dict[HairColor, Color] = {
    "black": (0.022, 0.015, 0.012), "brown": (0.090, 0.050, 0.028), "blond": (0.420, 0.290, 0.140)
}  # fmt: skip
LIP_TINT = (0.76, 0.45, 0.47)
"""Lips of light skin: factors on the colour of the skin."""


@dataclass(frozen=True)
class SkinLook:
    """Colour and age of the skin."""

    tone: Color
    lips: Color
    redness: float = 1.0
    """blood in cheeks, nose, chin and ears; 1 = that of light skin"""
    freckles: float = 1.0
    """0 = none"""
    scatter: float = 1.0
    """how far light reaches into shadow; less in dark skin"""
    shine: float = 1.0
    """factor on the strength of highlights"""
    wrinkles: float = 0.0
    """0 = smooth, 1 = the wrinkles of a person of eighty"""
    sagging: float = 0.0
    """0 = taut, 1 = bags under the eyes, jowls and hollow cheeks of a person of eighty"""
    spots: float = 0.0
    """brown spots of old skin, 0..1"""


@dataclass(frozen=True)
class HairLook:
    """Hair of the head. Lengths are in millimetres, heights are y on the mean head (eyes 31, chin -78)."""

    kind: str
    """key of `hair.KINDS`"""
    color: Color
    length: float
    """of strands on the top of the head"""
    side_length: float
    """of strands on the sides of the head, for kinds whose sides are cut shorter"""
    end: float | None = None
    """height at which hanging hair is cut"""
    part: float = 28.0
    """x of the parting"""
    volume: float = 1.0
    """factor on the distance from the scalp"""
    wave: float = 0.0
    """radius of waves or curls"""
    wavelength: float = 40.0
    """of waves or curls along the strand"""
    recession: float = 0.0
    """0 = full hairline, 0.5 = receding at the temples, 1 = a wreath of hair"""
    grey: float = 0.0
    """share of strands without pigment"""
    scalp: float = 0.80
    """colour of the hair on the scalp below, 0..1"""
    fringe: float | None = None
    """height at which hair over the forehead is cut; None = no fringe"""
    tail: str = "none"
    """key of `hair.TAILS`: where tied hair goes"""


@dataclass(frozen=True)
class BrowLook:
    """Eyebrows; the defaults are those of the person that `synthesize` shows without `--person`."""

    color: Color
    num_hairs: int = 190
    """of each brow"""
    thickness: float = 1.0
    """factor on the height of the bow"""
    arch: float = 6.5
    """height of the bow over its ends in millimetres"""
    raised: float = 0.0
    """shift upwards in millimetres"""
    tilt: float = 0.0
    """rise of the outer end against the inner end in millimetres"""
    length: float = 1.0
    """factor on the length of the hairs"""
    shade: float = 0.30
    """colour painted on the skin below, 0..1"""


@dataclass(frozen=True)
class BeardLook:
    """Beard: what is painted on the skin, and strands."""

    color: Color
    kind: str = "none"
    """key of `beard.KINDS`: where strands grow"""
    length: float = 0.0
    """of the strands in millimetres"""
    shade: float = 0.0
    """shadow of shaved hair on the skin, 0..1"""
    grey: float = 0.0
    """share of strands without pigment"""
    curl: float = 0.0
    """radius of curls in millimetres"""


@dataclass(frozen=True)
class PersonLook:
    """Everything that makes a person look like this person, but for motion, cameras and errors of tracking."""

    seed: int
    """of noise on the skin, moles and strands"""
    identity: int
    """number of `builtin_identity`"""
    skin: SkinLook
    hair: HairLook
    brows: BrowLook
    beard: BeardLook
    iris: Color
    lashes: Color
    spread: float = 1.0
    """factor on the identity coefficients, in standard deviations"""
    shift: tuple[tuple[str, float], ...] = ()
    """identity shapes by name, and what is added to their coefficients"""
    glasses: str = "none"
    """key of `glasses.FRAMES`"""
    room: Studio = field(default_factory=Studio)
    fast: bool = False
    """grow hair on a table of the head's distance field; without, the pictures of older versions stay as they are"""


def plain_look(seed: int, style: HairStyle = "short", color: HairColor = "own") -> PersonLook:
    """Return the look of `synthesize`'s person `seed`: a young adult in the studio's light, shaved, brown to light.

    Args:
        seed: number of the person.
        style: of the hair; long hair comes with a face that needs no shaving.
        color: colour of hair and brows; own: natural, darker for long hair.
    """
    rng = np.random.default_rng([seed, 303])
    own = _LONG_HAIR_COLORS if style == "long" else _HAIR_COLORS
    tone = np.array(_SKIN_TONES[seed % len(_SKIN_TONES)]) * rng.uniform(0.94, 1.06)
    hair = _DYES.get(color, own[seed % len(own)])
    heads: dict[HairStyle, HairLook] = {
        "short": HairLook("short", hair, length=40.0, side_length=16.0),
        "long": HairLook("long", hair, length=225.0, side_length=225.0, end=-106.0, part=-4.0),
        "none": HairLook("none", hair, length=0.0, side_length=0.0),
    }
    return PersonLook(
        seed=seed,
        identity=seed + 1,
        skin=SkinLook(as_color(tone), as_color(tone * LIP_TINT)),
        hair=heads[style],
        brows=BrowLook(hair),
        beard=BeardLook(hair, shade=0.0 if style == "long" else 0.22),
        iris=_IRIS_COLORS[seed % len(_IRIS_COLORS)],
        lashes=hair,
    )


def as_color(values: Float[np.ndarray, "3"]) -> Color:
    """Return an array of three channels as a colour."""
    red, green, blue = values.tolist()
    return red, green, blue
