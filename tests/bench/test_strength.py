from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sage_ns.bench.strength import StrengthPoint, bin_means, strength_curves, write_strength_plot
from tests.bench.results import image, result


def measured(timestep: int, camera: int, face: float | None, strength: float | None):
    return replace(image(timestep, camera, 30.0, face), strength=strength)


def test_a_point_per_moment_by_strength_over_cameras_and_seeds() -> None:
    pictures = (measured(5, 1, 20.0, 3.0), measured(5, 2, 24.0, 3.0), measured(6, 1, 30.0, 1.0))
    more = (*pictures, measured(6, 2, None, 1.0), measured(7, 1, 10.0, None))
    first = result("sage", 30.0, reenactment=more)
    second = result("sage", 30.0, seed=2, reenactment=(measured(6, 1, 32.0, 1.0),))
    curves = strength_curves([first, second, result("surfels-single", 20.0)])
    assert curves == {"sage": [StrengthPoint(6, 1.0, 31.0), StrengthPoint(5, 3.0, 22.0)]}


def test_bins_hold_a_quarter_of_the_moments() -> None:
    curve = [StrengthPoint(index, float(index), 10.0 * index) for index in range(8)]
    assert bin_means(curve) == [(0.5, 5.0), (2.5, 25.0), (4.5, 45.0), (6.5, 65.0)]
    assert bin_means(curve[:1]) == [(0.0, 0.0)]


def test_the_plot(tmp_path: Path) -> None:
    path = tmp_path / "head" / "strength.png"
    assert not write_strength_plot(path, "head", {}) and not path.exists()
    curve = [StrengthPoint(index, float(index), 30.0 - index) for index in range(8)]
    assert write_strength_plot(path, "a $head_1", {"sage": curve, "_theirs": curve[:1]})
    with Image.open(path) as picture:
        assert picture.format == "PNG" and min(picture.size) > 400


@pytest.mark.parametrize("share", [1, 4])
def test_the_hardest_view_holds_the_strongest_quarter(share: int) -> None:
    pictures = tuple(measured(timestep, 3, float(timestep), float(timestep)) for timestep in range(1, 4 * share + 1))
    made = result("sage", 30.0, reenactment=pictures)
    strongest = [each.timestep for each in pictures][-share:]
    assert made.figures("hardest")["psnr_face"] == pytest.approx(sum(strongest) / share)
