"""Draw what the people of the generator look like, each from a number alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sage_ns.synthetic.head import builtin_identity
from sage_ns.synthetic.head.identity import IDENTITY_SHAPES
from sage_ns.synthetic.person_look import BeardLook, BrowLook, Color, HairLook, PersonLook, SkinLook, as_color
from sage_ns.synthetic.rooms import random_room

_FIRST_SEED = 100_000
"""Person n has seed and identity of their own, which no plain person of `synthesize` shares."""
MOST_PEOPLE = 2**30
"""Largest number of a person."""
_LIGHT, _MEDIUM, _DARK = (0.68, 0.445, 0.345), (0.42, 0.235, 0.150), (0.085, 0.044, 0.029)
"""Albedo of skin with little, medium and much melanin."""
_HAIR_COLORS: dict[str, Color] = {
    "black": (0.018, 0.014, 0.012), "dark": (0.045, 0.027, 0.018), "brown": (0.090, 0.050, 0.028),
    "light": (0.190, 0.115, 0.060), "blond": (0.400, 0.280, 0.140), "red": (0.230, 0.075, 0.026),
    "auburn": (0.120, 0.045, 0.022),
}  # fmt: skip
_HAIR_OF_LIGHT, _HAIR_OF_DARK = (0.06, 0.17, 0.27, 0.20, 0.16, 0.08, 0.06), (0.85, 0.12, 0.03, 0.0, 0.0, 0.0, 0.0)
"""Shares of `_HAIR_COLORS` among people of the lightest and of the darkest skin."""
_IRIS_COLORS: dict[str, Color] = {
    "blue": (0.15, 0.24, 0.34), "grey": (0.20, 0.23, 0.25), "green": (0.14, 0.20, 0.12), "hazel": (0.22, 0.15, 0.07),
    "brown": (0.13, 0.07, 0.033), "dark": (0.055, 0.030, 0.018),
}  # fmt: skip
_IRIS_OF_LIGHT, _IRIS_OF_DARK = (0.34, 0.14, 0.14, 0.16, 0.18, 0.04), (0.0, 0.0, 0.0, 0.02, 0.28, 0.70)


def random_look(number: int, glasses: bool = False, spread: float = 1.25) -> PersonLook:
    """Return what person `number` of the generator looks like. The same number gives the same look.

    Args:
        number: of the person, 0 or more.
        glasses: give one person in three glasses; nothing else about anybody changes.
        spread: standard deviation of the shape of faces, as a multiple of the plain people's.
    """
    seed = _FIRST_SEED + number
    rng = np.random.default_rng([number, 601])
    melanin, age, male = float(rng.uniform()), float(18.0 + 67.0 * rng.uniform() ** 1.3), bool(rng.uniform() < 0.5)
    skin = _skin(np.random.default_rng([number, 602]), melanin, age)
    hair = _hair(np.random.default_rng([number, 603]), melanin, age, male)
    iris = _pick(np.random.default_rng([number, 604]), _IRIS_COLORS, _IRIS_OF_LIGHT, _IRIS_OF_DARK, melanin)
    frames = np.random.default_rng([number, 605])
    wears, frame = frames.uniform() < 1 / 3, str(frames.choice(["round", "oval", "square"]))
    return PersonLook(
        seed=seed,
        identity=seed,
        skin=skin,
        hair=hair,
        brows=_brows(np.random.default_rng([number, 606]), hair, male),
        beard=_beard(np.random.default_rng([number, 607]), hair, age, male),
        iris=iris,
        lashes=as_color(np.minimum(0.5 * np.asarray(hair.color), 0.06)),
        spread=spread,
        shift=_shift(male, age),
        glasses=frame if glasses and wears else "none",
        room=random_room(np.random.default_rng([number, 608]), skin.scatter),
        fast=True,
    )


def identity_of(look: PersonLook) -> Float[np.ndarray, "num_shape"]:
    """Return the identity coefficients of the built-in head that a look has."""
    shape = builtin_identity(look.identity, look.spread).numpy().copy()
    names = list(IDENTITY_SHAPES)
    for name, amount in look.shift:
        shape[names.index(name)] += amount
    return shape


def _pick(
    rng: np.random.Generator,
    colors: dict[str, Color],
    light: tuple[float, ...],
    dark: tuple[float, ...],
    melanin: float,
) -> Color:
    """Draw a colour by shares that go from those of light to those of dark skin, and vary it."""
    share = np.clip(2.4 * melanin - 0.5, 0.0, 1.0)
    mixed = (1.0 - share) * np.asarray(light) + share * np.asarray(dark)
    chosen = np.asarray(list(colors.values())[rng.choice(len(mixed), p=mixed / mixed.sum())])
    return as_color(chosen * np.exp(0.16 * rng.normal() + 0.04 * rng.normal(size=3)))


def _skin(rng: np.random.Generator, melanin: float, age: float) -> SkinLook:
    """Draw the skin: colours between light, medium and dark are geometric means, with a warm or cool undertone."""
    logs = np.log([_LIGHT, _MEDIUM, _DARK])
    tone = np.array([np.interp(melanin, [0.0, 0.5, 1.0], logs[:, k]) for k in range(3)])
    warm, olive = 0.6 * rng.normal(), 0.6 * rng.normal()
    tone += warm * np.array([0.02, 0.0, -0.07]) + olive * np.array([-0.03, 0.03, 0.01])
    tone = np.exp(tone)
    pale_lips, dark_lips = np.array([0.78, 0.47, 0.50]), np.array([0.88, 0.66, 0.74])
    lips = (1.0 - melanin) * pale_lips + melanin * dark_lips
    lips = lips * np.exp(rng.normal(size=3) * (0.07, 0.12, 0.12))
    old = np.clip((age - 28.0) / 52.0, 0.0, 1.0)
    weathered = np.exp(0.3 * rng.normal())
    return SkinLook(
        tone=as_color(tone),
        lips=as_color(np.clip(tone * lips, 0.01, 0.8)),
        redness=float((1.15 - 0.75 * melanin) * np.exp(0.35 * rng.normal())),
        freckles=float(rng.uniform(0.0, 1.6) * (1.0 - melanin) ** 2),
        scatter=float(1.0 - 0.55 * melanin),
        shine=float(np.exp(0.3 * rng.normal())),
        wrinkles=float(np.clip(old * weathered * (1.0 - 0.25 * melanin), 0.0, 1.2)),
        sagging=float(np.clip(old * np.exp(0.3 * rng.normal()), 0.0, 1.2)),
        spots=float(np.clip((age - 50.0) / 35.0, 0.0, 1.0) * (1.0 - melanin) * rng.uniform(0.2, 1.0)),
    )


def _hair(rng: np.random.Generator, melanin: float, age: float, male: bool) -> HairLook:
    color = _pick(rng, _HAIR_COLORS, _HAIR_OF_LIGHT, _HAIR_OF_DARK, melanin)
    grey = float(np.clip((age - 42.0 + 9.0 * rng.normal()) / 38.0, 0.0, 1.0))
    grey = grey if male or rng.uniform() < 0.5 else 0.0  # dyed
    if grey < 0.08:
        grey = 0.0
    curly = rng.uniform() < 0.10 + 0.75 * np.clip(2.2 * melanin - 1.1, 0.0, 1.0)
    wave = float(rng.uniform(0.8, 4.0)) if rng.uniform() < 0.5 else 0.0
    styles = _CURLY_STYLES if curly else _STYLES
    shares = np.array([share_male if male else share_female for _, share_female, share_male in styles])
    look = styles[rng.choice(len(styles), p=shares / shares.sum())][0](rng, color)
    look = replace(look, grey=grey)
    if curly and look.kind in ("long", "fringe", "combed_back", "short"):
        look = replace(look, wave=float(rng.uniform(3.5, 6.0)), wavelength=float(rng.uniform(18.0, 30.0)))
    elif wave and look.kind in ("long", "fringe"):
        look = replace(look, wave=wave, wavelength=float(rng.uniform(30.0, 60.0)))
    loss = rng.uniform()
    if male and look.kind not in ("long", "fringe", "tied") and loss < 0.75 * np.clip((age - 25.0) / 40.0, 0.0, 1.0):
        look = replace(look, recession=float(np.clip(rng.uniform(0.25, 0.4 + (age - 25.0) / 70.0), 0.0, 1.0)))
        if look.recession > 0.55:  # who has a wreath of hair wears it short
            short = float(rng.uniform(8.0, 22.0))
            look = replace(look, kind="buzz", length=short, side_length=short, wave=0.0)
    return look


def _cropped(rng: np.random.Generator, color: Color) -> HairLook:
    top = rng.uniform(28.0, 62.0)
    part = rng.choice([-1.0, 1.0]) * rng.uniform(18.0, 36.0)
    return HairLook("short", color, top, top * rng.uniform(0.25, 0.6), part=part, volume=rng.uniform(0.8, 1.5))


def _buzz(rng: np.random.Generator, color: Color) -> HairLook:
    top = rng.uniform(4.0, 13.0)
    return HairLook("buzz", color, top, top * rng.uniform(0.5, 1.0))


def _crew(rng: np.random.Generator, color: Color) -> HairLook:
    top = rng.uniform(14.0, 34.0)
    return HairLook("crew", color, top, top * rng.uniform(0.25, 0.5))


def _shaved(rng: np.random.Generator, color: Color) -> HairLook:
    return HairLook("none", color, 0.0, 0.0, scalp=rng.uniform(0.05, 0.30))


def _combed_back(rng: np.random.Generator, color: Color) -> HairLook:
    top = rng.uniform(70.0, 130.0)
    return HairLook("combed_back", color, top, top * rng.uniform(0.2, 0.35), volume=rng.uniform(0.8, 1.6))


def _long(rng: np.random.Generator, color: Color) -> HairLook:
    part = rng.uniform(-32.0, 32.0)
    end = rng.uniform(-128.0, -84.0)
    return HairLook("long", color, 245.0, 245.0, end=end, part=part, volume=rng.uniform(0.7, 1.4))


def _bob(rng: np.random.Generator, color: Color) -> HairLook:
    part = rng.uniform(-32.0, 32.0)
    end = rng.uniform(-76.0, -20.0)
    return HairLook("long", color, 230.0, 230.0, end=end, part=part, volume=rng.uniform(0.8, 1.5))


def _fringe(rng: np.random.Generator, color: Color) -> HairLook:
    end, fringe = rng.uniform(-120.0, -30.0), rng.uniform(57.0, 70.0)
    return HairLook("fringe", color, 235.0, 235.0, end=end, part=rng.uniform(-5.0, 5.0), fringe=fringe)


def _tail(rng: np.random.Generator, color: Color) -> HairLook:
    return HairLook("tied", color, rng.uniform(120.0, 240.0), 0.0, end=rng.uniform(-125.0, -40.0), tail="tail")


def _bun(rng: np.random.Generator, color: Color) -> HairLook:
    return HairLook("tied", color, rng.uniform(150.0, 280.0), 0.0, tail="bun")


def _afro(rng: np.random.Generator, color: Color) -> HairLook:
    length = rng.uniform(18.0, 55.0)
    return HairLook("afro", color, length, length, wave=rng.uniform(2.5, 4.0), wavelength=rng.uniform(9.0, 14.0))


def _curls(rng: np.random.Generator, color: Color) -> HairLook:
    length = rng.uniform(28.0, 50.0)
    return HairLook("afro", color, length, length, wave=rng.uniform(3.5, 5.5), wavelength=rng.uniform(18.0, 26.0))


_STYLES = (
    (_cropped, 0.10, 0.34), (_buzz, 0.02, 0.13), (_crew, 0.03, 0.17), (_shaved, 0.01, 0.06), (_combed_back, 0.06, 0.13),
    (_long, 0.25, 0.05), (_bob, 0.17, 0.05), (_fringe, 0.13, 0.03), (_tail, 0.10, 0.02), (_bun, 0.10, 0.02),
)  # fmt: skip
"""Styles of straight and wavy hair, and their shares among women and men."""
_CURLY_STYLES = (
    (_buzz, 0.08, 0.35), (_shaved, 0.02, 0.10), (_afro, 0.28, 0.25), (_curls, 0.20, 0.15), (_long, 0.16, 0.05),
    (_tail, 0.10, 0.03), (_bun, 0.14, 0.05), (_combed_back, 0.02, 0.02),
)  # fmt: skip
"""The same for curly hair."""


def _brows(rng: np.random.Generator, hair: HairLook, male: bool) -> BrowLook:
    lightened = np.asarray(hair.color) * (1.0 - 0.35 * hair.grey) + 0.35 * hair.grey * np.array([0.3, 0.29, 0.28])
    return BrowLook(
        color=as_color(np.minimum(lightened * rng.uniform(0.55, 0.95), 0.30)),
        num_hairs=int(rng.uniform(110, 200) + 90 * male),
        thickness=float(rng.uniform(0.55, 1.05) + 0.35 * male),
        arch=float(rng.uniform(4.5, 8.5) - 1.5 * male),
        raised=float(0.9 * rng.normal()),
        tilt=float(1.0 * rng.normal() + 0.4),
        length=float(rng.uniform(0.75, 1.1) + 0.1 * male),
        shade=float(rng.uniform(0.15, 0.45)),
    )


def _beard(rng: np.random.Generator, hair: HairLook, age: float, male: bool) -> BeardLook:
    kind = str(rng.choice(["shaved", "stubble", "moustache", "goatee", "full"], p=[0.38, 0.20, 0.09, 0.10, 0.23]))
    length, shade, curl = rng.uniform(), rng.uniform(), rng.uniform()
    color = as_color(np.asarray(hair.color) * (0.8, 0.72, 0.70) * rng.uniform(0.75, 1.1))
    if not male:
        return BeardLook(color)
    grey = float(np.clip(1.2 * hair.grey + 0.15 * (age > 45.0), 0.0, 1.0))
    curled = 1.5 + 1.5 * curl if hair.kind == "afro" else 0.0
    looks = {
        "shaved": BeardLook(color, shade=0.02 + 0.22 * shade),
        "stubble": BeardLook(color, "full", 2.0 + 2.5 * length, 0.20 + 0.3 * shade, grey),
        "moustache": BeardLook(color, "moustache", 7.0 + 7.0 * length, 0.05 + 0.2 * shade, grey),
        "goatee": BeardLook(color, "goatee", 6.0 + 22.0 * length, 0.05 + 0.2 * shade, grey, curled),
        "full": BeardLook(color, "full", 7.0 + 28.0 * length**1.5, 0.15, grey, curled),
    }
    return looks[kind]


def _shift(male: bool, age: float) -> tuple[tuple[str, float], ...]:
    """Return how faces of men and women, and of old people, differ from the mean face, in standard deviations."""
    way = 1.0 if male else -1.0
    old = float(np.clip((age - 30.0) / 50.0, 0.0, 1.0))
    return (
        ("jaw_width", 0.6 * way), ("chin_width", 0.4 * way), ("brow_ridge", 0.7 * way), ("neck_width", 0.9 * way),
        ("lip_fullness", -0.4 * way - 0.9 * old), ("head_size", 0.4 * way), ("nose_length", 0.25 * way + 0.5 * old),
        ("nose_tip_lift", -0.2 * way - 0.6 * old), ("ear_size", 0.2 * way + 1.0 * old), ("cheek_fullness", -0.4 * old),
        ("brow_height", -0.3 * way - 0.4 * old),
    )  # fmt: skip
