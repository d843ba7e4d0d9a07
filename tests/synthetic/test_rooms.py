"""Light of the generator's rooms: ordinary in brightness, warmth and direction."""

from __future__ import annotations

import numpy as np
import pytest

from sage_ns.synthetic.light import Light, Studio
from sage_ns.synthetic.rooms import frontal_light, random_room, warmth


def test_warm_light_is_red_and_cold_light_blue() -> None:
    for kelvin in (2500.0, 4000.0, 6500.0, 9000.0):
        assert warmth(kelvin) @ (0.2126, 0.7152, 0.0722) == pytest.approx(1.0)
    np.testing.assert_allclose(warmth(6500.0), 1.0, atol=0.06)
    ratios = [warmth(kelvin)[0] / warmth(kelvin)[2] for kelvin in (2500.0, 3999.0, 4001.0, 6500.0, 9000.0)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[1] == pytest.approx(ratios[2], rel=0.02)


def test_frontal_light_adds_lamps_and_surroundings() -> None:
    dark = Studio((), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert frontal_light(dark) == 0.0
    lamps = (Light((0.0, 0.0, 1.0), (2.0, 2.0, 2.0), 0.1), Light((0.0, 0.0, -1.0), (5.0, 5.0, 5.0), 0.1))
    assert frontal_light(Studio(lamps, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))) == pytest.approx(2.5)


def test_rooms_are_lit_as_rooms_are_and_differ() -> None:
    rooms = [random_room(np.random.default_rng(number), 1.0) for number in range(200)]
    stops = np.log2([frontal_light(room) / frontal_light(Studio()) for room in rooms])
    assert stops.min() >= -0.351 and stops.max() <= 0.151 and stops.std() > 0.1
    keys = np.array([room.lights[0].direction for room in rooms])
    assert (keys[:, 2] > 0.2).all() and (keys[:, 1] > 0.0).all()
    assert 0.35 < (keys[:, 0] > 0.0).mean() < 0.65
    tint = np.array([np.log2(room.lights[0].color[0] / room.lights[0].color[2]) for room in rooms])
    assert tint.std() > 0.1 and np.abs(tint).max() < 1.5
    share = [sum(light.color[1] for light in room.lights[:1]) / (room.sky[1] + room.ground[1]) for room in rooms]
    assert max(share) > 3.0 * min(share), "contrast"
    assert random_room(np.random.default_rng(1), 0.5).wrap == tuple(0.5 * np.array(Studio().wrap))
