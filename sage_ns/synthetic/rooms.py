"""Rooms that people of the generator are filmed in: lamps and windows that differ in direction, warmth and contrast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sage_ns.synthetic.light import Light, Studio
from sage_ns.synthetic.person_look import as_color

_FRONT = np.array([0.0, 0.0, 1.0])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def warmth(kelvin: float) -> Float[np.ndarray, "3"]:
    """Return the colour (linear sRGB, luminance 1) of a black body: Planckian locus of Kim et al. 2002, 1667..25000 K.

    Args:
        kelvin: temperature; 6500 is about white, lower is warmer.
    """
    t = 1e3 / kelvin
    if kelvin < 4000.0:
        x = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        x = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1.0 - x - y) / y])
    matrix = (
        (3.2404542, -1.5371385, -0.4985314),
        (-0.9692660, 1.8760108, 0.0415560),
        (0.0556434, -0.2040259, 1.0572252),
    )
    rgb = np.clip(np.array(matrix) @ xyz, 0.02, None)
    return rgb / (rgb @ _LUMINANCE)


def frontal_light(room: Studio) -> float:
    """Return the luminance that a white surface which faces the front camera would have."""
    total = np.asarray(room.surround(_FRONT[None]))[0]
    for light in room.lights:
        total = total + max(float(light.direction @ _FRONT), 0.0) * np.asarray(light.color)
    return float(total @ _LUMINANCE)


def random_room(rng: np.random.Generator, scatter: float) -> Studio:
    """Draw an ordinary room: a key light from the front half, a weaker one from the other side, two behind.

    Args:
        rng: random numbers.
        scatter: factor on how far light reaches into the skin's shadow.
    """
    kelvin = float(np.exp(rng.uniform(np.log(3600.0), np.log(8500.0))))
    balance = warmth(float(np.clip(5600.0 + 0.55 * (kelvin - 5600.0), 3000.0, 9000.0)))  # the camera's white balance
    contrast = rng.uniform(0.25, 1.0)
    side = rng.choice([-1.0, 1.0])
    key = side * rng.uniform(8.0, 62.0)
    lamps: list[tuple[float, float, float, float, float]] = [
        (key, rng.uniform(15.0, 55.0), 0.55 + 0.85 * contrast, kelvin, rng.uniform(0.10, 0.35)),
        (-side * rng.uniform(35.0, 75.0), rng.uniform(0.0, 30.0), 0.55 - 0.35 * contrast, 6000.0, 0.30),
        (180.0 + rng.uniform(-50.0, 0.0), rng.uniform(20.0, 50.0), rng.uniform(0.15, 0.75), 6500.0, 0.22),
        (180.0 + rng.uniform(0.0, 60.0), rng.uniform(0.0, 30.0), rng.uniform(0.05, 0.45), kelvin, 0.22),
    ]
    lights = tuple(
        _lamp(azimuth, elevation, strength, warmth(temperature) / balance, spread)
        for azimuth, elevation, strength, temperature, spread in lamps
    )
    around = rng.uniform(0.40, 0.80) * (1.25 - 0.5 * contrast)
    sky = around * warmth(rng.uniform(5500.0, 8000.0)) / balance
    ground = around * rng.uniform(0.35, 0.75) * warmth(rng.uniform(4200.0, 6000.0)) / balance
    room = Studio(lights, as_color(sky), as_color(ground))
    gain = frontal_light(Studio()) * 2.0 ** rng.uniform(-0.35, 0.15) / frontal_light(room)
    brighter = tuple(replace(light, color=as_color(gain * np.asarray(light.color))) for light in lights)
    wrap = as_color(scatter * np.asarray(room.wrap))
    return Studio(brighter, as_color(gain * sky), as_color(gain * ground), wrap)


def _lamp(azimuth: float, elevation: float, strength: float, color: np.ndarray, spread: float) -> Light:
    a, e = np.radians([azimuth, elevation])
    toward = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    return Light(as_color(toward), as_color(strength * color), spread)
